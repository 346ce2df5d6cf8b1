"""The history worker: writes events in batches, numbers them, then tells subscribers.

One instance is active (single active consumer), one batch at a time, so that a chain's
events keep their order; of each part, if the history is in several (`domain/parting`).
What is told is read from what is written: a crash in between tells it again, under the
same id and sequence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from orchestrator.domain.telling import EventUrls
from orchestrator.ports import (
    EVENTS_EXCHANGE,
    BatchDelivery,
    BatchOutcome,
    Message,
    Publisher,
    Queues,
    Store,
    Subscribers,
    work_message,
)
from orchestrator.work import event_work
from schemas.events import (
    CLOUDEVENTS_JSON,
    EndpointChanged,
    Event,
    EventInvalid,
    dump_event,
    parse_event,
)

#: An event whose cause is not there yet waits this long for it (DESIGN §5).
CAUSE_WAIT_S: Final = 2.0

#: In place of a requestor's key in the routing keys of events for operators.
OPERATOR: Final = "_operator"

#: How many events are told at a time; a full batch is less than that.
PORTION: Final = 1_000

#: How many ids are kept in mind: most causes are from the batches just before.
RECENT: Final = 10_000


@dataclass(frozen=True, kw_only=True)
class HistoryWorker:
    """Handles a part of the history; `urls` is where requestors want events POSTed.

    `subscribers` is a way of its own: the broker looks for a message's queues in the
    channel that it came by, and what integrators bind there can make that slow.
    """

    store: Store
    publisher: Publisher
    subscribers: Subscribers
    urls: EventUrls = field(default_factory=dict)
    part: int = 0
    _recent: Recent = field(
        init=False, repr=False, default_factory=lambda: Recent(RECENT)
    )

    async def __call__(self, batch: Sequence[BatchDelivery]) -> BatchOutcome:
        """Write one batch and tell it."""
        events, dead = _decoded(batch)
        ready, deferred = await self._in_order(batch, events)
        new = [events[index] for index in ready]
        written = await self.store.append_events(new, self.part)
        self._recent.add(event.id for event in new)
        await self._tell(written)
        return BatchOutcome(done=ready, deferred=deferred, dead=dead)

    async def _in_order(
        self, batch: Sequence[BatchDelivery], events: dict[int, Event]
    ) -> tuple[list[int], list[int]]:
        """The indexes that may be written, causes first, and those that have to wait."""
        known = await self._known(events.values())
        ready: list[int] = []
        pending = list(events)
        while pending:
            blocked: list[int] = []
            for index in pending:
                if _follows(events[index], known):
                    known.add(events[index].id)
                    ready.append(index)
                else:
                    blocked.append(index)
            if len(blocked) == len(pending):
                late = {n for n in blocked if batch[n].waited_s >= CAUSE_WAIT_S}
                if (overdue := _overdue(blocked, events, late)) is None:
                    break
                known.add(events[overdue].id)
                ready.append(overdue)
                blocked.remove(overdue)
            pending = blocked
        return ready, pending

    async def _known(self, events: Iterable[Event]) -> set[str]:
        """The causes that are written, by memory where they are in it."""
        causes = {e.causationid for e in events if e.causationid is not None}
        known = {cause for cause in causes if cause in self._recent}
        if rest := causes - known:
            known |= await self.store.known_events(sorted(rest))
        return known

    async def _tell(self, written: Sequence[Event]) -> None:
        """Publish what is written and not told yet, ours or a dead predecessor's.

        Which that is, and in which order, the store says after the commit; only what it
        says of our own events is not read once more.
        """
        ours = {event.id: event for event in written}
        while ids := await self.store.unpublished_ids(PORTION, self.part):
            if ours.keys() >= set(ids):
                events = [ours[event_id] for event_id in ids]
            else:
                events = await self.store.unpublished_events(PORTION, self.part)
            await self._publish(events)
            await self.store.mark_published([event.id for event in events])
            if len(events) < PORTION:
                return

    async def _publish(self, events: Sequence[Event]) -> None:
        """What has to be confirmed, and beside it what subscribers get."""
        bodies = [(event, dump_event(event)) for event in events]
        ours = [m for event, body in bodies for m in _ours(event, body, self.urls)]
        told = [_told(event, body) for event, body in bodies]
        outcomes = await asyncio.gather(
            self.publisher.publish(*ours),
            self.subscribers.tell(*told),
            return_exceptions=True,
        )
        for outcome in outcomes:
            if outcome is not None:
                raise outcome


class Recent:
    """The ids that were written last, as many as fit."""

    def __init__(self, size: int) -> None:
        """Keep so many; older ones are in the store all the same."""
        self._size = size
        self._ids: dict[str, None] = {}

    def __contains__(self, event_id: str) -> bool:
        """Whether it is one of these."""
        return event_id in self._ids

    def add(self, ids: Iterable[str]) -> None:
        """Take these in, and forget the oldest."""
        self._ids |= dict.fromkeys(ids)
        for event_id in list(islice(self._ids, max(len(self._ids) - self._size, 0))):
            del self._ids[event_id]


def _decoded(batch: Sequence[BatchDelivery]) -> tuple[dict[int, Event], dict[int, str]]:
    events: dict[int, Event] = {}
    dead: dict[int, str] = {}
    for index, delivery in enumerate(batch):
        try:
            events[index] = parse_event(delivery.body)
        except EventInvalid as error:
            dead[index] = str(error)
    return events, dead


def _follows(event: Event, known: set[str]) -> bool:
    return event.causationid is None or event.causationid in known


def _overdue(
    blocked: Sequence[int], events: Mapping[int, Event], late: set[int]
) -> int | None:
    """The first that has waited for long enough, and whose cause is not here either.

    However late they are, what is here goes in its order. Only if all are late and have
    their causes here, the causes go round in a circle, and one has to begin.
    """
    here = {events[index].id for index in blocked}
    alone = (index for index in blocked if events[index].causationid not in here)
    found = next((index for index in alone if index in late), None)
    if found is None and late.issuperset(blocked):
        return blocked[0]
    return found


def _audience(event: Event) -> str:
    """Whose event it is; no requestor's key begins with an underscore."""
    return OPERATOR if isinstance(event, EndpointChanged) else event.requestor


def _ours(event: Event, body: bytes, urls: EventUrls) -> list[Message]:
    """The event for the operators' stream, and for the requestor's own URL."""
    log = Message(
        id=f"{event.id}:log",
        routing_key=Queues.LOG,
        body=body,
        content_type=CLOUDEVENTS_JSON,
    )
    return [log, *_posted(event, body, urls)]


def _told(event: Event, body: bytes) -> Message:
    """The event for subscribers, by type and requestor."""
    return Message(
        id=event.id,
        exchange=EVENTS_EXCHANGE,
        routing_key=f"{event.type}.{_audience(event)}",
        body=body,
        content_type=CLOUDEVENTS_JSON,
    )


def _posted(event: Event, body: bytes, urls: EventUrls) -> list[Message]:
    """Nothing of endpoints is POSTed, so nothing of how events are told is told."""
    if isinstance(event, EndpointChanged):
        return []
    asked = urls.get(event.requestor)
    if asked is None or not asked.wanted.takes(event.type):
        return []
    return [work_message(event_work(event, body, asked.url))]
