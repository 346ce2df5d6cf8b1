"""A backlog of the history: chains that went on while nobody wrote what happened.

Each chain is told as the product tells it, every event with its cause; many chains are
under way at once, so that their events lie mixed in the queue.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from typing import Final

from orchestrator.domain.chain import Slot
from orchestrator.ports import Message, Publisher, event_message
from schemas.events import (
    CallbackAnswered,
    CallbackAnsweredData,
    CallbackRetrying,
    CallbackRetryingData,
    ChainEnded,
    ChainEndedData,
    ChainEvent,
    ChainStarted,
    ChainStartedData,
    EnvelopeFields,
    Purpose,
    SessionCompleted,
    SessionCompletedData,
    SessionEnded,
    SessionEndedData,
    SessionRequested,
    SessionRequestedData,
    SessionStarted,
    SessionStartedData,
)

#: Chains that are under way at once, and the requestors they belong to.
CHAINS_AT_ONCE: Final = 300
REQUESTORS: Final = ("acme", "demo", "school")

_BEGAN: Final = datetime(2030, 1, 1, tzinfo=UTC)
_ENDPOINT: Final = "https://shop.example:443"
_ATTRIBUTES: Final = (
    "pbdf.gemeente.personalData.fullname",
    "pbdf.gemeente.personalData.over18",
)
_TYPE: Final = "disclosing"
_BACKEND: Final = "irma"

#: Messages that are published at a time, and how long the broker may take over them.
_PORTION: Final = 1_000
_PATIENCE_S: Final = 60.0


class Story:
    """One chain of two sessions, as ten to fourteen events."""

    def __init__(self, number: int, chance: random.Random) -> None:
        """Decide how it goes."""
        self._chain_id = f"01BACKLOG{number:017}"
        self._requestor = REQUESTORS[number % len(REQUESTORS)]
        self._retries = chance.randrange(3)
        self._told = chance.choice((True, False))
        self._now = _BEGAN + timedelta(milliseconds=7 * number)

    def events(self) -> Iterator[ChainEvent]:
        """What happens, in its order."""
        first = Slot(chain_id=self._chain_id, step=1)
        begun = self._common(first, "chain.started", None)
        yield ChainStarted(**begun, data=ChainStartedData(backend=_BACKEND))
        cause = begun["id"]
        for slot, posted in ((first, True), (first.following, self._told)):
            yield from self._session(slot, cause)
            cause = slot.event_id("session.started")
            if posted:
                yield from self._callback(slot)
                cause = slot.event_id("callback.answered", 1 + self._retries)
            yield self._finished(slot)
            self._retries = 0
        yield ChainEnded(
            type="chain.completed",
            **self._common(first.following, "chain.completed", cause),
            data=ChainEndedData(steps=2, duration_s=9.125),
        )

    def _session(self, slot: Slot, cause: str) -> Iterator[ChainEvent]:
        yield SessionRequested(
            **self._common(slot, "session.requested", cause),
            data=SessionRequestedData(
                session_type=_TYPE,
                backend=_BACKEND,
                attributes=_ATTRIBUTES,
                chained=slot.step == 1 or self._told,
                in_flow=slot.step > 1,
            ),
        )
        requested = slot.event_id("session.requested")
        yield SessionStarted(
            **self._common(slot, "session.started", requested),
            data=SessionStartedData(
                session_type=_TYPE, backend=_BACKEND, in_flow=slot.step > 1
            ),
        )

    def _callback(self, slot: Slot) -> Iterator[ChainEvent]:
        started = slot.event_id("session.started")
        completed = self._common(slot, "session.completed", started)
        yield SessionCompleted(
            **completed,
            data=SessionCompletedData(
                session_type=_TYPE, proof_status="VALID", disclosed=_ATTRIBUTES
            ),
        )
        for attempt in range(1, self._retries + 1):
            yield CallbackRetrying(
                **self._common(slot, "callback.retrying", completed["id"], attempt),
                data=CallbackRetryingData(
                    endpoint=_ENDPOINT,
                    purpose=Purpose.NEXT,
                    attempt=attempt,
                    clock="live",
                    delay_ms=250,
                    next_at=self._now + timedelta(milliseconds=250),
                    status=503,
                ),
            )
        last = self._retries + 1
        yield CallbackAnswered(
            **self._common(slot, "callback.answered", completed["id"], last),
            data=CallbackAnsweredData(
                endpoint=_ENDPOINT,
                purpose=Purpose.NEXT,
                attempt=last,
                status=200,
                duration_ms=31,
                answer="next" if slot.step == 1 else "end",
            ),
        )

    def _finished(self, slot: Slot) -> ChainEvent:
        started = slot.event_id("session.started")
        return SessionEnded(
            type="session.finished",
            **self._common(slot, "session.finished", started),
            data=SessionEndedData(
                session_type=_TYPE, status="DONE", proof_status="VALID"
            ),
        )

    def _common(
        self, slot: Slot, event_type: str, cause: str | None, ordinal: int = 0
    ) -> EnvelopeFields:
        self._now += timedelta(milliseconds=40)
        return {
            "id": slot.event_id(event_type, ordinal),
            "subject": slot.chain_id,
            "time": self._now,
            "chainid": slot.chain_id,
            "step": slot.step,
            "generation": slot.generation,
            "requestor": self._requestor,
            "causationid": cause,
        }


def backlog(events: int, seed: int = 1) -> Iterator[ChainEvent]:
    """So many events of chains that go on side by side; the last ones are cut short."""
    chance = random.Random(seed)  # noqa: S311 - a mixture, not a secret
    numbers = count(1)
    under_way = [Story(next(numbers), chance).events() for _ in range(CHAINS_AT_ONCE)]
    for _ in range(events):
        place = chance.randrange(CHAINS_AT_ONCE)
        event = next(under_way[place], None)
        if event is None:
            under_way[place] = Story(next(numbers), chance).events()
            event = next(under_way[place])
        yield event


async def fill(publisher: Publisher, events: int) -> None:
    """Publish a backlog into `history`."""
    for portion in batched(map(event_message, backlog(events)), _PORTION):
        await publisher.publish(*portion, timeout_s=_PATIENCE_S)


def batched(items: Iterator[Message], size: int) -> Iterator[list[Message]]:
    """So many at a time, and the rest."""
    while portion := list(islice(items, size)):
        yield portion
