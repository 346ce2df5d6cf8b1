"""Judges session states that came in beside the bridge: callbacks and look-ups (H3)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from orchestrator.domain import lookup, settling
from orchestrator.domain.chain import Slot, Step, View
from orchestrator.domain.ruling import Ruling, telling_overtaken
from orchestrator.domain.settling import Report, Settled
from orchestrator.ports import Clock, Message, Store
from orchestrator.rows import RowSecrets
from orchestrator.rulings import Rulings
from orchestrator.work import put_off, waits_already
from schemas.irma import SessionResult, session_result_from
from schemas.messages import IntakeSecrets, IntakeWork
from workers.cancelling import Canceller
from workers.notifying import Notifier

_log = structlog.get_logger(__name__)

#: A state whose session is not known yet waits for the look-up, then is judged again:
#: soon at first, as the session is most likely being stored this moment.
UNRESOLVED_PAUSE: Final = timedelta(milliseconds=500)
UNRESOLVED_PAUSE_MAX: Final = timedelta(seconds=30)

#: How many waiting rows of a chain are looked through; it has hardly ever more than one.
WAITING_MAX: Final = 100


@dataclass(frozen=True, kw_only=True)
class IntakeDesk:
    """Takes in final states of sessions."""

    store: Store
    rulings: Rulings
    rows: RowSecrets
    notifier: Notifier
    canceller: Canceller
    clock: Clock

    async def take(self, slot: Slot, work: IntakeWork) -> None:
        """Settle the step's row by the state that came in, if it may have an effect.

        Where it is that of another session of the step, whose proof counts, the row's own
        session is given up.
        """
        secrets = self.rows.sealer.open_model(
            IntakeSecrets, work.sealed, bound_to=work.id
        )
        result = session_result_from(secrets.result)
        if not result.status.final:
            _log.info("intake.not_final", status=result.status)
            return
        outcome = await self._settled(slot, work, result)
        _log.info("intake.settled", status=result.status, outcome=outcome.name)
        if outcome is Settled.UNRESOLVED:
            await self._wait(slot, work)
        elif result.next_session is not None:
            await self._look_soon(slot.following)

    async def _settled(
        self, slot: Slot, work: IntakeWork, result: SessionResult
    ) -> Settled:
        report = Report(
            status=result.status,
            proof_status=result.proof_status,
            token_hash=self.rows.sealer.token_hash(result.token),
            sealed_token=self.rows.seal_token(slot, result.token),
            sealed_result=self.rows.seal_result(slot, result),
            stored=work.source == "poll",
        )

        def rule(view: View) -> Ruling[tuple[Settled, Step | None]]:
            return telling_overtaken(view, settling.settle(view, slot, report))

        def told(outcome: tuple[Settled, Step | None], view: View) -> list[Message]:
            settled, given_up = outcome
            return [
                *self._notification(slot, settled, view, result),
                *self.canceller.of(given_up, view),
            ]

        settled, _ = await self.rulings.by_outbox(slot, rule, told)
        return settled

    def _notification(
        self, slot: Slot, outcome: Settled, view: View, result: SessionResult
    ) -> list[Message]:
        """The delivery to the requestor's own `callbackUrl`, if it gave one: once."""
        if outcome is Settled.STORED:
            return self.notifier.as_reported(slot, view, result)
        if outcome is Settled.KEPT:
            return self.notifier.as_taken_in(slot, view)
        return []

    async def _wait(self, slot: Slot, work: IntakeWork) -> None:
        """Whose session this was is not known before its predecessor is looked up.

        TIMEOUT is announced at every access (trap T9), but waits once.
        """
        now = self.clock()
        row = await self.store.step(slot)
        since = (row.forwarded_at if row else None) or now
        pause = min(max((now - since) / 2, UNRESOLVED_PAUSE), UNRESOLVED_PAUSE_MAX)
        waiting = await self.store.waiting(chain_id=slot.chain_id, limit=WAITING_MAX)
        if not waits_already(work, waiting):
            await self.store.put_waiting(put_off(work, pause, now))
        await self._look_soon(slot)

    async def _look_soon(self, slot: Slot) -> None:
        """A forwarded session should be stored by now: look it up at once (H1, H5)."""
        await self.rulings.by_message(slot, lookup.look_soon)
