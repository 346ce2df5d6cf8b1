"""What waits in the store tells of a session that nothing stored tells of (H2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from orchestrator.domain import lookup
from orchestrator.domain.chain import Slot
from orchestrator.ports import LANES, Queues, Store, Waiting
from orchestrator.sealing import Sealer
from schemas.irma import session_result_from
from schemas.messages import IntakeSecrets, IntakeWork, parse_work

#: How many waiting rows of a chain are looked through; it has hardly ever more than one.
WAITING_MAX: Final = 100


@dataclass(frozen=True, kw_only=True)
class Told:
    """What waits: anything, and the token of a session whose state is all that waits.

    A completion is better than a state: it will mark the row by itself.
    """

    waits: bool
    token: str | None


@dataclass(frozen=True, kw_only=True)
class Hearsay:
    """Looks through waiting rows."""

    store: Store
    sealer: Sealer

    async def of(self, slot: Slot) -> Told:
        """What is told of this slot's session."""
        rows = await self.store.waiting(chain_id=slot.chain_id, limit=WAITING_MAX)
        works = [parse_work(row.message.body) for row in rows if _is_work(row)]
        told = [work for work in works if lookup.tells_of(work, slot)]
        states = [work for work in told if isinstance(work, IntakeWork)]
        only_states = bool(states) and len(states) == len(told)
        token = self._token_in(states[0]) if only_states else None
        return Told(waits=bool(told), token=token)

    def _token_in(self, work: IntakeWork) -> str:
        secrets = self.sealer.open_model(IntakeSecrets, work.sealed, bound_to=work.id)
        return session_result_from(secrets.result).token


def _is_work(row: Waiting) -> bool:
    """Whether a row holds work; what waits for the history is an event."""
    return row.message.routing_key in {*LANES.values(), Queues.SESSIONS}
