"""When a chain's stream of events ends: the chain is over, and nothing more is to come.

After its end a requestor is still told of sessions, at its `callbackUrl` and for as long
as it takes, and the end of a session may be found by a later look-up. Who was told once
that this was all never comes back (204, HTML §9.2.3).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog

from orchestrator.domain.errors import Unavailable
from orchestrator.gateway.desk import Desk
from orchestrator.gateway.events_stream import PAGE, QUIET_S, Whose
from orchestrator.ports import Queues, Recorded, Store, WaitingFilter, WaitingRow
from schemas.events import Purpose

_log = structlog.get_logger(__name__)

#: The types that end a chain; a replay takes that back.
_ENDS: Final = frozenset(
    {"chain.completed", "chain.failed", "chain.cancelled", "chain.expired"}
)
_REPLAYED: Final = "chain.replayed"

#: Of a notification: what is followed by another of its events, and what is not.
_ON_ITS_WAY: Final = frozenset({"callback.retrying", "callback.parked"})
_ARRIVED: Final = frozenset({"callback.answered", "callback.failed"})

#: For how long at least nothing has happened to a chain when its stream ends. The first
#: attempt at a notification, which is told only afterwards, does not hang for as long.
_SILENCE: Final = timedelta(seconds=2 * QUIET_S)

#: How many of a chain's waiting rows are looked at in one go.
_ROWS: Final = 100


@dataclass
class Story:
    """What a chain's events tell of its end.

    Attributes:
        over: it has ended, and was not replayed since.
        last: the number of its newest event.
        active_at: when that happened, or something of the chain was seen to wait.
        notifying: the sessions whose end its requestor was told in vain so far.
    """

    over: bool = False
    last: int = 0
    active_at: datetime | None = None
    notifying: set[tuple[int, int]] = field(default_factory=set)

    def take(self, page: Iterable[Recorded]) -> None:
        """Read on."""
        for one in page:
            event = json.loads(one.body)
            type_: str = event["type"]
            self.over = type_ in _ENDS or (self.over and type_ != _REPLAYED)
            self.last = one.number
            at = datetime.fromisoformat(event["time"])
            self.active_at = max(self.active_at or at, at)
            if event["data"].get("purpose") == Purpose.NOTIFY:
                self._notified(type_, (event["generation"], event["step"]))

    def _notified(self, type_: str, session: tuple[int, int]) -> None:
        if type_ in _ON_ITS_WAY:
            self.notifying.add(session)
        elif type_ in _ARRIVED:
            self.notifying.discard(session)


async def all_told(desk: Desk, whose: Whose, number: int) -> bool:
    """Whether nothing more comes of a chain, and its newest event has this number."""
    story = Story()
    while True:
        page = await desk.store.recorded(
            whose.requestor, chain_id=whose.chain_id, after=story.last, limit=PAGE
        )
        story.take(page)
        if len(page) < PAGE:
            return story.last == number and await _nothing_comes(desk, whose, story)


async def ends(desk: Desk, whose: Whose, story: Story) -> bool:
    """Whether nothing more is to come; who cannot be told that now goes on listening."""
    try:
        return await _nothing_comes(desk, whose, story)
    except Unavailable as error:
        _log.warning("events.end_not_known", error=type(error).__name__)
        return False


async def _nothing_comes(desk: Desk, whose: Whose, story: Story) -> bool:
    """Whether a chain is over, and what of it goes on after that is, too.

    What is just in the broker or on its way to an endpoint has no row: it is known by
    the events that it follows, or makes itself heard before the silence is long enough.
    """
    now = desk.clock()
    if not story.over or story.active_at is None or whose.chain_id is None:
        return False
    if now - story.active_at < _SILENCE:
        return False
    if await _goes_on(desk.store, whose.chain_id, story, now):
        story.active_at = now
        return False
    return True


async def _goes_on(store: Store, chain_id: str, story: Story, now: datetime) -> bool:
    """Whether a chain was replayed, or some session or message of it is not done with."""
    chain = await store.chain(chain_id)
    if chain is None or chain.ended_at is None:
        return True
    if story.notifying and chain.purged_at is None:  # deleted, nobody is told it any more
        return True
    if any(step.check_at is not None for step in await store.steps(chain_id)):
        return True
    return await _waits(store, chain_id, now)


async def _waits(store: Store, chain_id: str, now: datetime) -> bool:
    """Whether something waits that is told of; how events are delivered is not."""
    of_chain = WaitingFilter(chain_id=chain_id)
    last: WaitingRow | None = None
    while rows := await store.waiting_rows(of_chain, now, after=last, limit=_ROWS):
        queues = {row.waiting.message.routing_key for row in rows}
        if queues != {Queues.CALLBACKS_EVENTS}:
            return True
        last = rows[-1]
    return False
