"""The history worker: writes events in batches, numbers them, then tells subscribers.

One instance is active (single active consumer), one batch at a time, so that a chain's
events keep their order. What is told is read from what is written: a crash in between
tells it again, under the same id and sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.ports import (
    EVENTS_EXCHANGE,
    BatchDelivery,
    BatchOutcome,
    Message,
    Publisher,
    Queues,
    Store,
)
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

#: How many events are told at a time.
PORTION: Final = 500


@dataclass(frozen=True, kw_only=True)
class HistoryWorker:
    """Handles the queue `history`."""

    store: Store
    publisher: Publisher

    async def __call__(self, batch: Sequence[BatchDelivery]) -> BatchOutcome:
        """Write one batch and tell it."""
        events, dead = _decoded(batch)
        ready, deferred = await self._in_order(batch, events)
        await self.store.append_events([events[index] for index in ready])
        await self._tell()
        return BatchOutcome(done=ready, deferred=deferred, dead=dead)

    async def _in_order(
        self, batch: Sequence[BatchDelivery], events: dict[int, Event]
    ) -> tuple[list[int], list[int]]:
        """The indexes that may be written, causes first, and those that have to wait."""
        causes = {e.causationid for e in events.values() if e.causationid is not None}
        known = await self.store.known_events(sorted(causes))
        ready: list[int] = []
        pending = list(events)
        while pending:
            free = [i for i in pending if _may_go(events[i], batch[i].waited_s, known)]
            if not free:
                break
            ready += free
            known |= {events[index].id for index in free}
            pending = [index for index in pending if index not in free]
        return ready, pending

    async def _tell(self) -> None:
        """Publish what is written and not told yet, ours or a dead predecessor's."""
        while events := await self.store.unpublished_events(PORTION):
            messages = [message for event in events for message in _messages(event)]
            await self.publisher.publish(*messages)
            await self.store.mark_published([event.id for event in events])


def _decoded(batch: Sequence[BatchDelivery]) -> tuple[dict[int, Event], dict[int, str]]:
    events: dict[int, Event] = {}
    dead: dict[int, str] = {}
    for index, delivery in enumerate(batch):
        try:
            events[index] = parse_event(delivery.body)
        except EventInvalid as error:
            dead[index] = str(error)
    return events, dead


def _may_go(event: Event, waited_s: float, known: set[str]) -> bool:
    cause = event.causationid
    return cause is None or cause in known or waited_s >= CAUSE_WAIT_S


def _audience(event: Event) -> str:
    """Whose event it is; no requestor's key begins with an underscore."""
    return OPERATOR if isinstance(event, EndpointChanged) else event.requestor


def _messages(event: Event) -> tuple[Message, Message]:
    """The event for the operators' stream, and for subscribers by type and requestor."""
    body = dump_event(event)
    log = Message(
        id=f"{event.id}:log",
        routing_key=Queues.LOG,
        body=body,
        content_type=CLOUDEVENTS_JSON,
    )
    told = Message(
        id=event.id,
        exchange=EVENTS_EXCHANGE,
        routing_key=f"{event.type}.{_audience(event)}",
        body=body,
        content_type=CLOUDEVENTS_JSON,
    )
    return log, told
