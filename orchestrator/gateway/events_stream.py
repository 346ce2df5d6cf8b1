"""Follows the history for requestors that listen: read from rows, page by page.

The rows are the only source, so who comes back and names the last event it has had gets
what follows, however long ago that was. One poller per process looks who has something
new, and stops with the last listener; each listener reads on from its own place, as fast
as its client takes it and no faster.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from orchestrator.domain.errors import Unavailable
from orchestrator.gateway.desk import Desk
from orchestrator.gateway.sse import Place, Places
from orchestrator.ports import Recorded

_log = structlog.get_logger(__name__)

#: How often the history is looked at while somebody listens.
LOOK_S: Final = 0.25

#: How long a stream stays silent; proxies cut what says nothing for a minute. Then it is
#: read on as well, whatever the poller has seen.
QUIET_S: Final = 15.0

#: When to look again after the store was away.
AGAIN_S: Final = 2.0

#: Events that a listener has in memory at a time.
PAGE: Final = 100

#: Listeners per process, and of one requestor.
LISTENERS_MAX: Final = 500
LISTENERS_EACH_MAX: Final = 50


@dataclass(frozen=True, kw_only=True)
class Whose:
    """Which events: all of a requestor's, or those of one chain of its."""

    requestor: str
    chain_id: str | None = None


class EventsWatch:
    """Who listens to whose events in this process."""

    def __init__(
        self,
        desk: Desk,
        *,
        look_s: float = LOOK_S,
        quiet_s: float = QUIET_S,
        listeners_max: int = LISTENERS_MAX,
        each_max: int = LISTENERS_EACH_MAX,
    ) -> None:
        self._desk = desk
        self._look_s = look_s
        self._quiet_s = quiet_s
        self._places = Places(places_max=listeners_max, each_max=each_max)
        self._listeners: dict[str, set[asyncio.Event]] = {}
        self._poller: asyncio.Task[None] | None = None

    @property
    def listeners(self) -> int:
        """How many listen."""
        return sum(map(len, self._listeners.values()))

    def admit(self, requestor: str) -> Place:
        """A place for one more listener of this requestor.

        Raises:
            Overloaded: too many listen already (G8).
        """
        return self._places.take(requestor)

    async def pages(
        self, whose: Whose, after: int
    ) -> AsyncGenerator[list[Recorded], None]:
        """The events behind a number, without end: those there are, then each that comes.

        None is left out and none comes twice. An empty page says that there was nothing
        new for a while.
        """
        with self._listening(whose.requestor) as news:
            while True:
                news.clear()  # before the rows are read: what comes now is seen next time
                page = await self._read(whose, after)
                if page:
                    after = page[-1].number
                    yield page
                quiet_s = AGAIN_S if page is None else self._quiet_s
                full = page is not None and len(page) == PAGE
                if not full and not await _woken(news, quiet_s):
                    yield []

    async def _read(self, whose: Whose, after: int) -> list[Recorded] | None:
        """The next page; None when it cannot be read just now."""
        try:
            return await self._desk.store.recorded(
                whose.requestor, chain_id=whose.chain_id, after=after, limit=PAGE
            )
        except Unavailable as error:
            _log.warning("events.unread", error=type(error).__name__)
            return None

    @contextmanager
    def _listening(self, requestor: str) -> Iterator[asyncio.Event]:
        news = asyncio.Event()
        self._listeners.setdefault(requestor, set()).add(news)
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
            self._poller.add_done_callback(_log_defect)
        try:
            yield news
        finally:
            self._listeners[requestor].discard(news)
            if not self._listeners[requestor]:
                del self._listeners[requestor]
            if not self._listeners:
                self._poller.cancel()
                self._poller = None

    async def _poll(self) -> None:
        """Wake who has something new; at first all, as they may have read before."""
        number: int | None = None
        while True:
            pause_s = self._look_s
            try:
                highest, whose = await self._desk.store.recorded_since(number)
            except Unavailable as error:
                _log.warning("events.not_known", error=type(error).__name__)
                pause_s = max(pause_s, AGAIN_S)
            else:
                self._wake(set(self._listeners) if number is None else whose)
                number = highest
            await asyncio.sleep(pause_s)

    def _wake(self, whose: set[str]) -> None:
        for requestor in whose:
            for news in self._listeners.get(requestor, ()):
                news.set()


async def _woken(news: asyncio.Event, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await news.wait()
    except TimeoutError:
        return False
    return True


def _log_defect(poller: asyncio.Task[None]) -> None:
    """A defect is logged; listeners read on by themselves, only later."""
    if not poller.cancelled() and (error := poller.exception()) is not None:
        _log.error("events.watch_failed", error=type(error).__name__)
