"""Fewer chains are in progress where apps have to wait; moments come by chains."""

from __future__ import annotations

import asyncio

from orchestrator.proof.events_pace import SLOW_S, Places, Progress


async def test_slow_chains_leave_fewer_places_and_quick_ones_more() -> None:
    """Never more than said, and never so few that two requestors could not be mixed."""
    places = Places(most=10)
    for _ in range(200):
        await places.take()
        await places.leave(0.1)
    assert places.open == 10
    for _ in range(20):
        await places.take()
        await places.leave(SLOW_S + 0.1)
    assert places.open == 2


async def test_who_finds_no_place_waits_for_one() -> None:
    """Until somebody leaves."""
    places = Places(most=10, open=1.9)
    await places.take()
    waiting = asyncio.create_task(places.take())
    await asyncio.sleep(0)
    assert not waiting.done()
    await places.leave(0.1)
    await waiting
    assert places.taken == 1


async def test_whoever_waits_for_a_moment_is_told_of_it() -> None:
    """One that has passed is there at once."""
    progress = Progress()
    await progress.reached(0)
    waiting = asyncio.create_task(progress.reached(2))
    await progress.one_more()
    assert not waiting.done()
    await progress.one_more()
    await waiting
