"""Several things at once."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.local.together import together


async def test_a_failure_waits_until_the_others_are_undone() -> None:
    """Nothing goes on behind the back of whoever is told of the failure."""
    undone = []

    async def long() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            undone.append("long")

    async def failing() -> None:
        await asyncio.sleep(0)
        raise LookupError("why")

    with pytest.raises(LookupError, match="why"):
        await together(long(), failing(), long())
    assert undone == ["long", "long"]


async def test_all_are_done_at_the_end() -> None:
    """Each runs while the others wait."""
    met = asyncio.Barrier(3)
    async with asyncio.timeout(1):
        await together(met.wait(), met.wait(), met.wait())
    assert met.n_waiting == 0
