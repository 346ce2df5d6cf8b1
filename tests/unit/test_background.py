"""Work beside an answer: it goes on, is waited for, and is never silently lost."""

from __future__ import annotations

import asyncio
import gc

import pytest
from structlog.testing import capture_logs

from orchestrator.background import Background


async def test_what_was_spawned_goes_on_by_itself() -> None:
    """It is kept alive without anybody holding it."""
    background, done = Background(), asyncio.Event()

    async def work() -> None:
        await asyncio.sleep(0)
        gc.collect()
        done.set()

    background.spawn(work())
    async with asyncio.timeout(5):
        await done.wait()


async def test_the_end_waits_for_what_is_running() -> None:
    """Draining returns when all of it is done."""
    background, go, done = Background(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await go.wait()
        done.set()

    background.spawn(work())
    draining = asyncio.create_task(background.drain(5))
    await asyncio.sleep(0)
    assert not draining.done()
    go.set()
    await draining
    assert done.is_set()


async def test_the_end_waits_for_what_that_has_spawned() -> None:
    """Work that leads to more work, as a mark that becomes a note, is not cut off."""
    background, done = Background(), asyncio.Event()

    async def note() -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        done.set()

    async def mark() -> None:
        await asyncio.sleep(0)
        background.spawn(note())

    background.spawn(mark())
    await background.drain(5)
    assert done.is_set()


async def test_the_end_does_not_wait_for_ever() -> None:
    """What is not done by then is cancelled, and has ended when draining returns."""
    background, ended = Background(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    background.spawn(work())
    await background.drain(0.01)
    assert ended.is_set()


async def test_nothing_to_wait_for_is_no_fault() -> None:
    """A process without background work ends at once."""
    await Background().drain(5)


async def test_a_failure_is_logged_by_its_type() -> None:
    """The text of an error may hold anything, so it is not told."""
    background = Background()

    async def work() -> None:
        await asyncio.sleep(0)
        raise ValueError("MARKER")

    with capture_logs() as logs:
        background.spawn(work())
        await background.drain(5)
    (line,) = logs
    assert (line["event"], line["error"]) == ("background.failed", "ValueError")
    assert "MARKER" not in str(logs)


@pytest.mark.parametrize("times", [1, 50])
async def test_many_go_on_at_once(times: int) -> None:
    """Tasks do not wait for each other."""
    background, barrier = Background(), asyncio.Barrier(times)

    async def work() -> None:
        await barrier.wait()

    for _ in range(times):
        background.spawn(work())
    async with asyncio.timeout(5):
        await background.drain(5)
