"""How far the chains are, and how many are in progress: fewer where apps have to wait."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

#: An app that waits longer for a session has a machine that is too busy. The IRMA server
#: breaks off after 4.2 s (reference irma.md §1.2), and what followed nobody has seen.
SLOW_S: Final = 1.5

#: Fewer at once by this share after each slow chain, more by so much after any other.
_LESS: Final = 0.8
_MORE: Final = 0.05

_LEAST: Final = 2.0


@dataclass(kw_only=True)
class Progress:
    """How many chains are over for their users, for whoever waits for a moment."""

    done: int = 0
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def one_more(self) -> None:
        """Another one is over."""
        async with self._news:
            self.done += 1
            self._news.notify_all()

    async def reached(self, count: int) -> None:
        """Wait until so many are over."""
        async with self._news:
            await self._news.wait_for(lambda: self.done >= count)


@dataclass(kw_only=True)
class Places:
    """Places for chains in progress, never more than `most`."""

    most: int
    open: float = 2 * _LEAST
    taken: int = 0
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self) -> None:
        """Wait for a place."""
        async with self._news:
            await self._news.wait_for(lambda: self.taken < int(self.open))
            self.taken += 1

    async def leave(self, waited_s: float) -> None:
        """Give it back; so long did the app wait for its slowest session."""
        async with self._news:
            self.taken -= 1
            if waited_s > SLOW_S:
                self.open = max(self.open * _LESS, _LEAST)
            else:
                self.open = min(self.open + _MORE, self.most)
            self._news.notify_all()
