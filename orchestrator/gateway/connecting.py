"""Tells that a user's app has connected, once somebody asks how a session is.

Only its backend knows, and nobody asks it for the event's sake: of a session that no
requestor and no page follows here, it is not told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from orchestrator.domain import happenings
from orchestrator.domain.errors import Refused, Unavailable, Unroutable
from orchestrator.ports import event_message
from schemas.irma import Status

if TYPE_CHECKING:
    from orchestrator.domain.chain import Chain, Step
    from orchestrator.gateway.desk import Desk
    from schemas.events import SessionConnected

_log = structlog.get_logger(__name__)

#: How many sessions are kept in mind as told; one that is told again has the same id.
TOLD_MAX: Final = 10_000


class Connections:
    """Of which sessions this process has told."""

    def __init__(self, told_max: int = TOLD_MAX) -> None:
        """Of none yet."""
        self._told_max = told_max
        self._told: dict[str, None] = {}

    def add(self, event_id: str) -> bool:
        """Whether it is told for the first time, as far as is known."""
        if event_id in self._told:
            return False
        if len(self._told) >= self._told_max:
            del self._told[next(iter(self._told))]
        self._told[event_id] = None
        return True

    def forget(self, event_id: str) -> None:
        """It was not told after all."""
        self._told.pop(event_id, None)


def noticed(desk: Desk, chain: Chain, step: Step, status: Status | None) -> None:
    """Tell it beside the caller, who does not wait, if that is what the status says."""
    live = chain.takes(step.slot) and step.announced and step.completed_at is None
    if status is not Status.CONNECTED or not live:
        return
    event = happenings.session_connected(chain, step, desk.clock())
    if desk.connections.add(event.id):
        desk.background.spawn(_tell(desk, event))


async def _tell(desk: Desk, event: SessionConnected) -> None:
    """What cannot be told now is seen again with the next look."""
    try:
        await desk.publisher.publish(event_message(event))
    except (Unavailable, Unroutable, Refused) as error:
        desk.connections.forget(event.id)
        _log.warning("connected.untold", why=type(error).__name__)
