"""Looks at chains for all who have their pages open.

A gateway gets no events, so rows and backend are asked: by one poller per chain and
process, which stops with the last viewer. Viewers see the latest state, not each one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from orchestrator.domain.errors import Refused, Unavailable
from orchestrator.gateway.sse import Place, Places
from schemas.chain_page import ChainPage

_log = structlog.get_logger(__name__)

#: How often a chain is looked at: twice a second, as the stock frontend polls.
LOOK_S: Final = 0.5

#: How long a stream stays silent; proxies cut what says nothing for a minute.
QUIET_S: Final = 15.0

#: Viewers per process: each chain among them is two queries per `LOOK_S`.
VIEWERS_MAX: Final = 500
VIEWERS_EACH_MAX: Final = 20

#: While nothing changes a chain is looked at less and less often, by this factor, down to
#: once in so many seconds.
SLOWER: Final = 1.2
LOOK_MAX_S: Final = 2.0

#: What a chain's page shows now, given what it showed before; None: there is no page.
Look = Callable[[str, ChainPage | None], Awaitable[ChainPage | None]]


class _Chain:
    """One chain that is looked at, and what was last seen of it."""

    def __init__(self) -> None:
        self.viewers = 0
        self.seen: ChainPage | None = None
        self.gone = False
        self.news = asyncio.Condition()
        self.poller: asyncio.Task[None] | None = None

    async def show(self, page: ChainPage | None) -> None:
        async with self.news:
            self.seen, self.gone = page or self.seen, page is None
            self.news.notify_all()


class PageWatch:
    """Who looks at which chains in this process."""

    def __init__(
        self,
        look: Look,
        *,
        look_s: float = LOOK_S,
        quiet_s: float = QUIET_S,
        viewers_max: int = VIEWERS_MAX,
        each_max: int = VIEWERS_EACH_MAX,
    ) -> None:
        self._look = look
        self._look_s = look_s
        self._quiet_s = quiet_s
        self._places = Places(places_max=viewers_max, each_max=each_max)
        self._chains: dict[str, _Chain] = {}

    @property
    def viewers(self) -> int:
        """How many look."""
        return sum(chain.viewers for chain in self._chains.values())

    def admit(self, chain_id: str) -> Place:
        """A place for one more viewer of this chain.

        Raises:
            Overloaded: too many look already (G8).
        """
        return self._places.take(chain_id)

    async def once(self, chain_id: str) -> ChainPage | None:
        """What the page shows now, or None when there is none.

        Raises:
            Unavailable: it cannot be known just now.
            Refused: as its secrets are just being deleted.
        """
        chain = self._chains.get(chain_id)
        return await self._look(chain_id, chain.seen if chain else None)

    async def pages(self, chain_id: str) -> AsyncGenerator[ChainPage | None, None]:
        """What the page shows, now and whenever that changes, until the chain is over.

        None is a sign of life: nothing has changed for a while.
        """
        with self._viewing(chain_id) as chain:
            told = ""
            while True:
                page = await self._next(chain, told)
                if page is not None:
                    told = page.revision
                if chain.gone or (page is None and _stopped(chain)):
                    return
                yield page
                if page is not None and page.state.over:
                    return

    @contextmanager
    def _viewing(self, chain_id: str) -> Iterator[_Chain]:
        chain = self._chains.setdefault(chain_id, _Chain())
        chain.viewers += 1
        if chain.poller is None:
            chain.poller = asyncio.create_task(self._poll(chain_id, chain))
            chain.poller.add_done_callback(_log_defect)
        try:
            yield chain
        finally:
            chain.viewers -= 1
            if not chain.viewers:
                chain.poller.cancel()
                self._chains.pop(chain_id, None)

    async def _next(self, chain: _Chain, told: str) -> ChainPage | None:
        """The page once it is another one; None when that takes too long."""

        def changed() -> bool:
            return chain.gone or (chain.seen is not None and chain.seen.revision != told)

        try:
            async with asyncio.timeout(self._quiet_s), chain.news:
                await chain.news.wait_for(changed)
        except TimeoutError:
            return None
        return chain.seen

    async def _poll(self, chain_id: str, chain: _Chain) -> None:
        """Show every change until the chain is over, or nobody looks any more."""
        page: ChainPage | None = None
        pause_s = self._look_s
        while page is None or not page.state.over:
            before = chain.seen
            try:
                page = await self._look(chain_id, chain.seen)
            except (Unavailable, Refused) as error:
                _log.warning(
                    "page.not_known", chain_id=chain_id, error=type(error).__name__
                )
            else:
                await chain.show(page)
                if page is None:
                    return
            if chain.seen is not before:
                pause_s = self._look_s
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * SLOWER, max(LOOK_MAX_S, self._look_s))


def _stopped(chain: _Chain) -> bool:
    """Whether nobody looks for its viewers; they come back and have it looked at."""
    return chain.poller is None or chain.poller.done()


def _log_defect(poller: asyncio.Task[None]) -> None:
    if not poller.cancelled() and (error := poller.exception()) is not None:
        _log.error("page.watch_failed", error=type(error).__name__)
