"""One endpoint's trouble is nobody else's (guarantee G5), over real processes."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import JsonValue

from orchestrator.domain.breaker import BreakerState
from orchestrator.domain.endpoint import origin_of
from orchestrator.local.stack import Plan
from orchestrator.ports import PARKED, EndpointRow
from orchestrator.proof.callbacks import Callbacks
from orchestrator.proof.endpoints import Endpoint, Received, endpoint_at_work
from orchestrator.proof.lab import Lab, eventually, lab_at_work
from schemas.events import EndpointChanged

pytestmark = pytest.mark.e2e

#: Attempts at a time at one endpoint in one of the two workers.
LIMIT = 4

#: How long the endpoint that hangs is waited for.
TIMEOUT_S = 3.0

#: Everything is quicker than it would be in earnest, in the same proportions.
OVERRIDES: dict[str, JsonValue] = {
    "callbacks": {"timeout_s": TIMEOUT_S, "concurrency": 4 * LIMIT},
    "retry": {"background_delays_s": [0.5] * 8},
    "isolation": {
        "limit": LIMIT,
        "wait_s": 0.2,
        "attempts_min": LIMIT,
        "pause_s": 1.0,
        "pause_max_s": 1.0,
    },
}


@pytest.fixture
async def isolating(
    vhost_url: str, postgresql_url: str, tmp_path: Path
) -> AsyncIterator[Lab]:
    """Two callback workers that soon lose patience with an endpoint, on PostgreSQL."""
    plan = Plan(
        callbacks=2, endpoint=False, database_url=postgresql_url, overrides=OVERRIDES
    )
    async with lab_at_work(tmp_path, vhost_url, plan) as running:
        yield running


@pytest.fixture
async def callbacks(isolating: Lab) -> AsyncIterator[Callbacks]:
    """Makes callbacks for them."""
    async with Callbacks.of(isolating.stack) as made:
        yield made


async def test_a_hanging_endpoint_is_left_alone_until_it_is_well_again(
    isolating: Lab, callbacks: Callbacks
) -> None:
    """The healthy one's callbacks come at once; the others wait, and none is lost."""
    well = asyncio.Event()

    async def hang(_: int, __: Received) -> web.Response:
        await well.wait()
        return web.Response(status=204)

    async with endpoint_at_work(hang) as ill, endpoint_at_work() as healthy:
        waiting_for_it = [callbacks.next(f"{ill.url}/") for _ in range(24)]
        await callbacks.publish(*waiting_for_it)
        for _ in range(20):
            began = asyncio.get_running_loop().time()
            ids = await callbacks.publish(callbacks.next(f"{healthy.url}/"))
            await _received(healthy, ids)
            assert healthy.received[-1].at_s - began < TIMEOUT_S / 2

        opened = await _endpoint(isolating, ill, BreakerState.OPEN)
        assert opened.parked > 0
        asked = len(ill.received)
        parked = await _parked(isolating)

        well.set()
        await _endpoint(isolating, ill, BreakerState.CLOSED)
        answered = await _received(ill, [work.id for work in waiting_for_it], asked)
        closed = await eventually(lambda: _drained(isolating, ill))

    assert closed.parked == 0
    assert len(answered) == len(set(answered))
    _in_portions(parked, answered)
    told = _told(isolating, ill)
    assert told[0] == "endpoint.opened"
    assert told[-1] == "endpoint.closed"
    types = isolating.watch.types(waiting_for_it[-1].chain_id)
    assert types == [(1, "callback.parked"), (1, "callback.answered")]


async def test_operators_pause_and_resume_an_endpoint(
    isolating: Lab, callbacks: Callbacks
) -> None:
    """Nothing comes meanwhile, nothing is lost, and the first parked come first."""
    async with endpoint_at_work() as endpoint:
        url = f"{endpoint.url}/path?secret=MARKER"
        await _chainctl(isolating, "endpoints", "pause", url, "--note", "moving house")
        await isolating.watch.until_endpoint(endpoint.url, "endpoint.paused")
        ids = await callbacks.publish(*(callbacks.next(url) for _ in range(3 * LIMIT)))
        await eventually(lambda: _all_parked(isolating, len(ids)))
        parked = await _parked(isolating)

        listed = json.loads(await _chainctl(isolating, "endpoints", "list", "--json"))
        assert listed[0]["endpoint"] == origin_of(endpoint.url)
        assert (listed[0]["paused"], listed[0]["parked"]) == (True, len(ids))
        assert (listed[0]["note"], listed[0]["failureRatio"]) == ("moving house", None)
        assert endpoint.received == []

        await _chainctl(isolating, "endpoints", "resume", url)
        answered = await _received(endpoint, ids)
        shown = await _chainctl(isolating, "endpoints", "show", url)

    assert sorted(answered) == sorted(ids)
    _in_portions(parked, answered)
    assert "endpoint.paused" in shown
    assert "endpoint.resumed" in shown
    assert "MARKER" not in shown


def _in_portions(parked: list[str], answered: list[str]) -> None:
    """Each second the oldest go out; within a portion who is first is chance."""
    order = [id_ for id_ in answered if id_ in parked]
    for place, id_ in enumerate(order):
        assert abs(parked.index(id_) - place) <= LIMIT


async def _received(endpoint: Endpoint, ids: list[str], after: int = 0) -> list[str]:
    """The ids that came after so many requests, once all of these have."""

    async def look() -> list[str] | None:
        came = [request.headers["webhook-id"] for request in endpoint.received[after:]]
        return came if set(ids) <= set(_answered(endpoint)) else None

    return await eventually(look)


def _answered(endpoint: Endpoint) -> list[str]:
    return [request.headers["webhook-id"] for request in endpoint.received]


async def _endpoint(lab: Lab, endpoint: Endpoint, state: BreakerState) -> EndpointRow:
    async def look() -> EndpointRow | None:
        row = await _row(lab, endpoint)
        return row if row and row.endpoint.state is state else None

    return await eventually(look)


async def _drained(lab: Lab, endpoint: Endpoint) -> EndpointRow | None:
    row = await _row(lab, endpoint)
    return row if row and not row.parked else None


async def _row(lab: Lab, endpoint: Endpoint) -> EndpointRow | None:
    rows = await lab.store.endpoint_rows()
    return next((r for r in rows if r.endpoint.origin == origin_of(endpoint.url)), None)


async def _parked(lab: Lab) -> list[str]:
    """The ids of parked callbacks, the first parked first."""
    rows = [row for row in await lab.store.waiting(limit=1000) if row.kind == PARKED]
    rows.sort(key=lambda row: row.created_at)
    return [row.id.partition("-parked-")[0] for row in rows]


async def _all_parked(lab: Lab, count: int) -> bool | None:
    return len(await _parked(lab)) == count or None


def _told(lab: Lab, endpoint: Endpoint) -> list[str]:
    return [
        event.type
        for event in lab.watch.events
        if isinstance(event, EndpointChanged) and event.subject == origin_of(endpoint.url)
    ]


async def _chainctl(lab: Lab, *words: str) -> str:
    config = str(lab.stack.config_file)
    argv = [sys.executable, "-m", "orchestrator.cli.main", *words, "--config", config]
    process = await asyncio.create_subprocess_exec(*argv, stdout=PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()
