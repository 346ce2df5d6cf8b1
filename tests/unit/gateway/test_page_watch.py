"""One poller per chain for all who look at its page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest

from orchestrator.domain.errors import SealBroken, StoreUnavailable
from orchestrator.gateway.faults import Overloaded
from orchestrator.gateway.page_watch import PageWatch
from schemas.chain_page import ChainPage, PageState
from schemas.irma import SessionType

#: Between two looks in these tests; nothing here waits for it more than a few times.
LOOK_S = 0.001
BOUND_S = 5.0


def shown(state: PageState, step: int = 1) -> ChainPage:
    """A page in this state."""
    return ChainPage(
        revision=f"{step}-{state}",
        state=state,
        step=step,
        session_type=SessionType.DISCLOSING,
    )


@dataclass
class Chains:
    """What is to be seen of all chains, and how often it was looked at."""

    page: ChainPage | None = field(default_factory=lambda: shown(PageState.INITIALIZED))
    fault: Exception | None = None
    looks: int = 0
    seen: list[ChainPage | None] = field(default_factory=list)
    looked: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, chain_id: str, seen: ChainPage | None) -> ChainPage | None:
        """Look."""
        assert chain_id == "C1"
        self.looks += 1
        self.seen.append(seen)
        self.looked.set()
        if self.fault is not None:
            raise self.fault
        return self.page

    async def once_more(self) -> None:
        """Wait for another look."""
        self.looked.clear()
        async with asyncio.timeout(BOUND_S):
            await self.looked.wait()


async def following(pages: AsyncGenerator[ChainPage | None, None]) -> ChainPage | None:
    """What is shown next."""
    async with asyncio.timeout(BOUND_S):
        return await anext(pages)


async def test_a_viewer_sees_what_is_now_and_each_change() -> None:
    """Up to the end of the chain, which ends it."""
    chains = Chains()
    watch = PageWatch(chains, look_s=LOOK_S)
    async with aclosing(watch.pages("C1")) as pages:
        assert await following(pages) == chains.page
        await chains.once_more()
        chains.page = shown(PageState.WAITING)
        assert await following(pages) == chains.page
        chains.page = shown(PageState.COMPLETED)
        assert await following(pages) == chains.page
        with pytest.raises(StopAsyncIteration):
            await following(pages)
    assert watch.viewers == 0


async def test_many_viewers_are_one_poller() -> None:
    """All see the same, whenever they come; nobody looks when the last has gone."""
    chains = Chains()
    watch = PageWatch(chains, look_s=3600)
    views = [watch.pages("C1") for _ in range(5)]
    assert [await following(pages) for pages in views] == [chains.page] * 5
    assert (chains.looks, watch.viewers) == (1, 5)
    for pages in views:
        await pages.aclose()
    assert watch.viewers == 0
    async with aclosing(watch.pages("C1")) as pages:
        assert await following(pages) == chains.page
    assert chains.looks == 2


async def test_a_silent_chain_gives_signs_of_life() -> None:
    """Proxies cut a stream that says nothing."""
    watch = PageWatch(Chains(), look_s=3600, quiet_s=0.01)
    async with aclosing(watch.pages("C1")) as pages:
        assert await following(pages) is not None
        assert await following(pages) is None
        assert await following(pages) is None


@pytest.mark.parametrize("fault", [StoreUnavailable("away"), SealBroken("changed")])
async def test_what_cannot_be_known_is_no_change(fault: Exception) -> None:
    """The page stays as it is until the database is back."""
    chains = Chains()
    async with aclosing(PageWatch(chains, look_s=LOOK_S).pages("C1")) as pages:
        await following(pages)
        chains.fault = fault
        await chains.once_more()
        await chains.once_more()
        chains.page, chains.fault = shown(PageState.CONNECTED), None
        assert await following(pages) == chains.page


async def test_a_page_that_is_gone_ends_its_streams() -> None:
    """Its chain was purged."""
    chains = Chains()
    async with aclosing(PageWatch(chains, look_s=LOOK_S).pages("C1")) as pages:
        await following(pages)
        chains.page = None
        with pytest.raises(StopAsyncIteration):
            await following(pages)


async def test_a_defect_ends_the_streams() -> None:
    """Viewers come back to a new poller rather than to look at something dead."""
    chains = Chains(fault=ZeroDivisionError())
    watch = PageWatch(chains, look_s=LOOK_S, quiet_s=0.01)
    async with aclosing(watch.pages("C1")) as pages:
        with pytest.raises(StopAsyncIteration):
            await following(pages)
    assert watch.viewers == 0


async def test_a_look_knows_what_was_seen() -> None:
    """So a backend that is away need not change what is shown."""
    chains = Chains()
    watch = PageWatch(chains, look_s=3600)
    assert await watch.once("C1") == chains.page
    async with aclosing(watch.pages("C1")) as pages:
        await following(pages)
        await watch.once("C1")
    assert chains.seen == [None, None, chains.page]


async def test_viewers_are_bounded() -> None:
    """One too many is refused, until somebody goes (G8)."""
    watch = PageWatch(Chains(), viewers_max=1)
    place = watch.admit("C1")
    with pytest.raises(Overloaded):
        watch.admit("C2")
    place.free()
    watch.admit("C2")


async def test_one_page_keeps_nobody_else_out() -> None:
    """Who knows one address takes only so many places."""
    watch = PageWatch(Chains(), viewers_max=3, each_max=2)
    for _ in range(2):
        watch.admit("C1")
    with pytest.raises(Overloaded):
        watch.admit("C1")
    watch.admit("C2")
