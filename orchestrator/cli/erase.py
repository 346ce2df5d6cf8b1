"""`chainctl erase`: the secrets of one chain are deleted now."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.app.tools import make_sealer, session_lifetime
from orchestrator.cli.chains import looked_at
from orchestrator.domain import erasing
from orchestrator.domain.chain import Chain, Step
from orchestrator.domain.erasing import Erasure
from orchestrator.domain.errors import NotConfigured, OrchestratorError, UnknownChain
from orchestrator.domain.lookup import HANDLER_MAX, lives_until
from orchestrator.ports import (
    Changes,
    Message,
    Queues,
    Waiting,
    event_message,
    work_message,
)
from orchestrator.rows import RowSecrets
from orchestrator.settings import Settings
from orchestrator.work import WorkMaker
from schemas.messages import CancelWork, MessageInvalid, parse_work


async def erase_chain(
    settings: Settings, chain_id: str, *, cancel: bool, as_json: bool
) -> None:
    """Erase a chain that is over, or end it first where that is asked for.

    Raises:
        NotConfigured: there is no such chain.
        OrchestratorError: it is not erased, and why.
    """
    if not chain_id.isprintable():  # nor could a database be asked for it
        raise NotConfigured(f"that is no id of a chain: {chain_id!a}")
    eraser = Eraser(settings, cancel=cancel)
    async with looked_at(settings) as store:
        if cancel:  # a cancellation is sealed
            await store.note_keys(used=[settings.sealing.key_id])
        try:
            erasure = await store.decide_chain(chain_id, eraser.rule)
        except UnknownChain:
            msg = f"chain {chain_id}: there is no such chain; see `chainctl list`"
            raise NotConfigured(msg) from None
    if erasure.chain is None:
        raise OrchestratorError(f"chain {chain_id} was not erased: {erasure.refusal}")
    _tell(erasure.chain, erasure, eraser.dropped, as_json=as_json)


def _tell(chain: Chain, erasure: Erasure, dropped: int, *, as_json: bool) -> None:
    if as_json:
        told = {
            "id": chain.id,
            "state": chain.state.value,
            "erasedAt": chain.purged_at.isoformat() if chain.purged_at else None,
            "rows": len(erasure.steps),
            "waiting": dropped,
            "sessionsGivenUp": len(erasure.given_up),
        }
        print(json.dumps(told))
        return
    print(f"chain {chain.id} ({chain.state}) was erased")
    print(
        f"rows     {len(erasure.steps)} without secrets now, {dropped} that waited gone"
    )
    if erasure.given_up:
        print(f"sessions {len(erasure.given_up)} to be cancelled by a session worker")


@dataclass
class Eraser:
    """The decision, and the messages that belong to it.

    Attributes:
        dropped: how many waiting rows went; a transaction that is repeated counts anew.
    """

    settings: Settings
    cancel: bool = field(kw_only=True)
    dropped: int = 0

    def rule(
        self, chain: Chain, steps: Sequence[Step], now: datetime
    ) -> tuple[Erasure, Changes]:
        """What becomes of the chain's rows."""
        self.dropped = 0
        erasure = erasing.erase(chain, steps, now, cancel=self.cancel)
        if erasure.chain is None:
            return erasure, Changes()
        messages = (*map(event_message, erasure.events), *self._given_up(chain, erasure))
        return erasure, Changes(
            steps=erasure.steps,
            chain=erasure.chain,
            forget=self._goes,
            outbox=messages,
        )

    def _goes(self, row: Waiting) -> bool:
        """Everything that waits, but for what holds no secret and what ends a session."""
        if row.message.routing_key == Queues.HISTORY:
            return False
        try:
            goes = not isinstance(parse_work(row.message.body), CancelWork)
        except MessageInvalid:
            goes = True
        self.dropped += goes
        return goes

    def _given_up(self, chain: Chain, erasure: Erasure) -> list[Message]:
        """Sessions that still run are cancelled, so that nobody is left in one (G2)."""
        if not erasure.given_up:
            return []
        sealer = make_sealer(self.settings)
        rows, make = RowSecrets(sealer=sealer), WorkMaker(sealer=sealer)
        lifetime = session_lifetime(self.settings)
        messages = []
        for row in erasure.given_up:
            token = rows.token(row)
            if token is not None:
                until = lives_until(row, lifetime) + HANDLER_MAX
                work = make.cancel(row.slot, chain.requestor, token, until=until)
                messages.append(work_message(work))
        return messages
