"""Where tasks wait for the machine, which thereby decides who goes on, and when."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

#: How many turns of the loop anybody needs at most to come to the store, or to an end.
_TURNS: Final = 30

#: The store works on threads of its own.
_STORE_S: Final = 0.0002


@dataclass
class Point:
    """A task that waits, e.g. for an endpoint; by what it is told it goes on."""

    kind: str
    name: str
    told: asyncio.Future[object]


@dataclass
class Points:
    """All that wait, in order of coming; `busy` counts who is at the store."""

    waiting: list[Point] = field(default_factory=list)
    busy: int = 0

    def of(self, kind: str) -> list[Point]:
        """Those of a kind that were not told yet."""
        return [p for p in self.waiting if p.kind == kind and not p.told.done()]

    async def wait(self, kind: str, name: str = "") -> object:
        """Wait here until told."""
        point = Point(kind, name, asyncio.get_running_loop().create_future())
        self.waiting.append(point)
        try:
            return await point.told
        finally:
            self.waiting.remove(point)

    async def settle(self) -> None:
        """Return when everybody has come to an end, or to a point.

        Nothing but the store takes time of its own, so whoever does not move waits.
        """
        turns = 0
        while turns < _TURNS:
            turns += 1
            await asyncio.sleep(0)
            while self.busy:
                turns = 0
                await asyncio.sleep(_STORE_S)
