"""A number of places for each endpoint, and one small waiting room for all (DESIGN §4).

Without the room a short burst would be parked at once; with a big one, an endpoint that
hangs would fill the prefetch with its own messages.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How many attempts at a time at one endpoint, who may wait for one, how long."""

    attempts: int = 16
    room: int = 32
    room_per_requestor: int = 16
    wait_s: float = 1.0


class Places:
    """Who is in, and who waits, in order of coming."""

    def __init__(self, limits: Limits) -> None:
        """Begin with nobody in."""
        self._limits = limits
        self._busy: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[bool]]] = {}
        self._room: Counter[str] = Counter()

    async def take(self, origin: str, requestor: str) -> bool:
        """Get a place, within the time; False when there is none or no room to wait."""
        if self._busy[origin] < self._limits.attempts:
            self._busy[origin] += 1
            return True
        if not self._has_room_for(requestor):
            return False
        self._room[requestor] += 1
        try:
            return await self._wait(origin)
        finally:
            _subtract(self._room, requestor)

    def leave(self, origin: str) -> None:
        """Give a place back: to who waits longest, or to nobody."""
        if waiting := self._waiting.get(origin):
            self._next_of(origin, waiting).set_result(True)
        else:
            _subtract(self._busy, origin)

    def shut(self, origin: str) -> None:
        """Nobody gets in for now: who waits need not."""
        while waiting := self._waiting.get(origin):
            self._next_of(origin, waiting).set_result(False)

    def _has_room_for(self, requestor: str) -> bool:
        limits = self._limits
        full = self._room.total() >= limits.room
        return not full and self._room[requestor] < limits.room_per_requestor

    async def _wait(self, origin: str) -> bool:
        place: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(origin, deque()).append(place)
        try:
            await asyncio.wait((place,), timeout=self._limits.wait_s)
        except asyncio.CancelledError:
            if self._answered(origin, place):
                self.leave(origin)
            raise
        return self._answered(origin, place)

    def _answered(self, origin: str, place: asyncio.Future[bool]) -> bool:
        """Whether the place was given; if nobody has spoken, wait no longer."""
        if place.done():
            return place.result()
        waiting = self._waiting[origin]
        waiting.remove(place)
        if not waiting:
            del self._waiting[origin]
        return False

    def _next_of(
        self, origin: str, waiting: deque[asyncio.Future[bool]]
    ) -> asyncio.Future[bool]:
        place = waiting.popleft()
        if not waiting:
            del self._waiting[origin]
        return place


def _subtract(counter: Counter[str], key: str) -> None:
    """One less; what is at zero takes no memory."""
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
