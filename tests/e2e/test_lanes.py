"""Live callbacks have a lane of their own: a backlog elsewhere is not in their way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import JsonValue

from orchestrator.local.stack import Plan
from schemas.messages import Lane
from tests.contract.sandbox_lab import Received, endpoint_at_work
from tests.support.callbacks import Callbacks
from tests.support.lab import Lab, eventually, lab_at_work

pytestmark = pytest.mark.e2e

OTHERS = (Lane.REPLAY, Lane.EVENTS)

#: Much more in each of the other lanes than a worker takes at once.
BACKLOG = 100

#: Attempts at a time at one endpoint in one worker.
LIMIT = 2

OVERRIDES: dict[str, JsonValue] = {
    "callbacks": {"concurrency": 4 * LIMIT},
    "isolation": {"limit": LIMIT},
}


@pytest.fixture
async def lanes(vhost_url: str, tmp_path: Path) -> AsyncIterator[Lab]:
    """One callback worker in each lane."""
    plan = Plan(callbacks=1, endpoint=False, overrides=OVERRIDES)
    async with lab_at_work(tmp_path, vhost_url, plan) as running:
        for lane in OTHERS:
            await running.stack.start_worker("callback", f"callback-{lane}", lane=lane)
        yield running


async def test_a_backlog_in_another_lane_does_not_slow_live_callbacks(
    lanes: Lab,
) -> None:
    """While the others are at work, and have far more to do, live ones come at once."""
    go = asyncio.Event()

    async def slow(_: int, __: Received) -> web.Response:
        await go.wait()
        return web.Response(status=204)

    async with (
        Callbacks.of(lanes.stack) as callbacks,
        endpoint_at_work(slow) as busy,
        endpoint_at_work() as live,
    ):
        backlog = [
            callbacks.next(f"{busy.url}/{lane}", lane=lane)
            for _ in range(BACKLOG)
            for lane in OTHERS
        ]
        await callbacks.publish(*backlog)
        await eventually(lambda: _asked(busy.received, 2 * LIMIT))
        assert {request.path for request in busy.received} == {"/replay", "/events"}

        for number in range(1, 11):
            await callbacks.publish(callbacks.next(f"{live.url}/"))
            await eventually(partial(_asked, live.received, number))
        assert len(busy.received) == 2 * LIMIT
        go.set()


async def _asked(received: list[Received], count: int) -> bool | None:
    return len(received) >= count or None
