"""Whoever follows a requestor's events: what it has got, and how often it was cut off."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol, TypedDict

from orchestrator.local.wire import Wire
from orchestrator.proof.events_books import Sighting

#: How long a subscriber that is to be cut off may take to come back from the last time:
#: whoever posts to it may have paused.
_BACK_S: Final = 180.0


class Way(StrEnum):
    """How a subscriber gets its events."""

    QUEUE = "queue of its own"
    STREAM = "stream of its own"
    SSE = "SSE"
    URL = "URL of its own"
    TAIL = "chainctl tail"


class _Event(TypedDict):
    id: str
    subject: str
    type: str


class Event(_Event, total=False):
    """What of an event is looked at; one of an endpoint has no more than the first."""

    requestor: str
    step: int
    sequence: int


@dataclass(kw_only=True)
class Subscriber:
    """One subscriber and its journal.

    Attributes:
        seen: events in the order in which they came, each id once.
        again: how many came once more and were passed over.
        cuts: how often it was cut off.
        chains_away: most chains that were played while it was cut off.
        silence_s: the longest time in which nothing came.
        subscribed: set when it misses nothing from now on.
    """

    way: Way
    requestor: str
    seen: list[Sighting] = field(default_factory=list)
    again: int = 0
    cuts: int = 0
    away_s: float = 0.0
    chains_away: int = 0
    silence_s: float = 0.0
    subscribed: asyncio.Event = field(default_factory=asyncio.Event)
    _ids: set[str] = field(default_factory=set)
    _last_s: float | None = None

    def take(self, body: bytes | str) -> None:
        """Note one event."""
        self.note(json.loads(body))

    def note(self, event: Event) -> None:
        """Note one event that was read already; one that is known is passed over."""
        id_ = sys.intern(event["id"])  # all subscribers have the same ids
        if id_ in self._ids:
            self.again += 1
            return
        self._ids.add(id_)
        self.seen.append(sighting(event))
        now_s = time.monotonic()
        if self._last_s is not None:
            self.silence_s = max(self.silence_s, now_s - self._last_s)
        self._last_s = now_s


def sighting(event: Event) -> Sighting:
    """What of an event is compared; one of an endpoint has no requestor and no chain."""
    return Sighting(
        id=sys.intern(event["id"]),
        requestor=sys.intern(event.get("requestor", "")),
        chain_id=sys.intern(event["subject"]),
        step=event.get("step", 0),
        type=sys.intern(event["type"]),
        sequence=event.get("sequence", 0),
    )


@dataclass
class InOrder:
    """Hands out the events of each chain by their numbers, as none promises their order.

    Those of others are not kept back: nothing of them should come.

    Attributes:
        early: by chain, what came before its turn.
    """

    requestor: str
    take: Callable[[Event], None]
    early: dict[str, dict[int, Event]] = field(default_factory=dict)
    _next: dict[str, int] = field(default_factory=dict)

    def came(self, event: Event) -> None:
        """One event came, maybe once more."""
        if event.get("requestor") != self.requestor:
            self.take(event)
            return
        chain_id = event["subject"]
        following = self._next.setdefault(chain_id, 1)
        if event["sequence"] < following:
            self.take(event)  # which passes it over, or finds that its number was used
            return
        early = self.early.setdefault(chain_id, {})
        early[event["sequence"]] = event
        while (found := early.pop(following, None)) is not None:
            self.take(found)
            following += 1
        self._next[chain_id] = following


class Line(Protocol):
    """What a subscriber hangs on; it comes back by itself."""

    async def away(self, until: Callable[[], Awaitable[None]]) -> bool:
        """Cut it off until then; false: there was nothing to cut."""


@dataclass(frozen=True)
class Wired:
    """Connected by TCP: connections are reset, and none is let through meanwhile."""

    wire: Wire

    async def away(self, until: Callable[[], Awaitable[None]]) -> bool:
        """Cut off whatever is connected."""
        try:
            await asyncio.wait_for(self.wire.used.wait(), _BACK_S)
        except TimeoutError:
            return False
        self.wire.cut()
        await until()
        self.wire.mend()
        return True


@dataclass(frozen=True, kw_only=True)
class Following:
    """A subscriber at work.

    Attributes:
        line: None for one that is never cut off.
        at_work: follows for ever.
    """

    subscriber: Subscriber
    line: Line | None
    at_work: Callable[[], Coroutine[None, None, None]]
