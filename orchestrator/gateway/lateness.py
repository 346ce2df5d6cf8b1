"""How late this process is: who lets an app go in time has to begin the earlier then."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

#: How often is looked, and for how long what was seen counts.
BEAT_S: Final = 0.1
COUNTS_S: Final = 2.0


@dataclass(frozen=True)
class Lateness:
    """By how much the event loop ran late with what was due, in the last two seconds."""

    _seen: deque[tuple[float, float]] = field(default_factory=deque)

    @property
    def longest_s(self) -> float:
        """The worst of it; 0 where nobody looks."""
        return max((late_s for _, late_s in self._seen), default=0.0)

    def note(self, late_s: float, at_s: float) -> None:
        """It was so late just now; what was seen long before counts no more."""
        while self._seen and self._seen[0][0] <= at_s - COUNTS_S:
            self._seen.popleft()
        self._seen.append((at_s, max(late_s, 0.0)))

    async def look(self) -> None:
        """Look all the time."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + BEAT_S
            await asyncio.sleep(BEAT_S)
            now = loop.time()
            self.note(now - due, now)


@asynccontextmanager
async def looking(lateness: Lateness) -> AsyncIterator[None]:
    """Look while the context is open."""
    task = asyncio.create_task(lateness.look())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
