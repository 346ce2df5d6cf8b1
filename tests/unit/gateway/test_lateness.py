"""How late a process says that it is."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI
from starlette.types import Message

from orchestrator.gateway.application import create_app
from orchestrator.gateway.lateness import COUNTS_S, Lateness
from tests.support.workshop import Workshop

#: How long anything that has to come may take on a busy machine.
BOUND_S = 10.0


@asynccontextmanager
async def alive(app: FastAPI) -> AsyncIterator[None]:
    """From its start to its end, as a server tells it of both."""
    told: asyncio.Queue[Message] = asyncio.Queue()
    said: asyncio.Queue[Message] = asyncio.Queue()
    running = asyncio.create_task(app({"type": "lifespan"}, told.get, said.put))
    for moment in ("startup", "shutdown"):
        told.put_nowait({"type": f"lifespan.{moment}"})
        async with asyncio.timeout(BOUND_S):
            assert (await said.get())["type"] == f"lifespan.{moment}.complete"
        if moment == "startup":
            yield
    await running


def test_a_process_that_nobody_looked_at_is_not_late() -> None:
    """Nor is one whose clock went back."""
    lateness = Lateness()
    assert lateness.longest_s == 0.0
    lateness.note(-1.0, 5.0)
    assert lateness.longest_s == 0.0


def test_the_longest_of_the_last_seconds_counts() -> None:
    """And no longer than that, however seldom is looked."""
    lateness = Lateness()
    lateness.note(0.3, 1.0)
    lateness.note(0.1, 0.9 + COUNTS_S)
    assert lateness.longest_s == 0.3
    lateness.note(0.2, 1.0 + COUNTS_S)
    assert lateness.longest_s == 0.2


async def test_a_gateway_sees_who_holds_its_event_loop(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its start on: what was due meanwhile ran so much later."""
    seen, hold_s = asyncio.Event(), 0.3
    desk = workshop.desk()
    note = Lateness.note

    def noted(lateness: Lateness, late_s: float, at_s: float) -> None:
        note(lateness, late_s, at_s)
        if lateness is desk.lateness and lateness.longest_s >= hold_s / 2:
            seen.set()

    monkeypatch.setattr(Lateness, "note", noted)
    async with alive(create_app(desk)):
        await asyncio.sleep(0)  # it has begun to look
        until = time.monotonic() + hold_s
        while time.monotonic() < until:
            pass
        async with asyncio.timeout(BOUND_S):
            await seen.wait()
