"""Replays by HTTP on real processes: rehearsed, run, cancelled, the rest given up."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
from aiohttp import web

from orchestrator.local.stack import Plan
from orchestrator.proof.endpoints import Endpoint, Received, endpoint_at_work
from orchestrator.proof.lab import Lab, disclosure, eventually, lab_at_work
from orchestrator.sandbox.wallet import Wallet
from schemas.irma import JsonObject
from schemas.messages import Lane

pytestmark = pytest.mark.e2e

TOKEN = "the-token-of-anna-who-operates"
CHAINS = 12


@pytest.fixture
async def installed(vhost_url: str, tmp_path: Path) -> AsyncIterator[Lab]:
    """An installation with the lane and the worker for replays, and one operator."""
    plan = Plan(
        endpoint=False,
        lanes=(Lane.REPLAY,),
        replays=True,
        overrides={"operators": {"anna": {"key": TOKEN}}},
    )
    async with lab_at_work(tmp_path, vhost_url, plan) as running:
        yield running


async def api(lab: Lab, method: str, path: str, **body: object) -> JsonObject:
    """What an operator is answered."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    url = f"{lab.stack.gateway_url}{path}"
    data = json.dumps(body).encode()
    async with lab.http.request(method, url, data=data, headers=headers) as response:
        assert response.status < 300, await response.text()
        return cast("JsonObject", await response.json())


def count(plan: JsonObject, name: str) -> int:
    """One of a plan's figures."""
    value = plan[name]
    assert isinstance(value, int)
    return value


@pytest.mark.timeout(180)
async def test_a_plan_is_cancelled_halfway_and_the_rest_is_given_up(
    installed: Lab,
) -> None:
    """What was done, what was left and what was never started adds up exactly."""
    well = asyncio.Event()

    async def outage(_: int, __: Received) -> web.StreamResponse:
        return web.Response(status=204 if well.is_set() else 404)

    async def candidate(_: int, __: Received) -> web.StreamResponse:
        return web.Response(status=204)

    async with endpoint_at_work(outage) as one, endpoint_at_work(candidate) as other:
        ids = await asyncio.gather(*(_failed_at(installed, one) for _ in range(CHAINS)))
        rehearsed = await _rehearsed(installed, f"{other.url}/next")
        assert (rehearsed["posted"], rehearsed["differs"]) == (CHAINS, CHAINS)
        assert all(post.headers["Chain-Rehearsal"] == "true" for post in other.received)
        well.set()
        told = await api(installed, "POST", "/replays", filter={"status": 404})
        assert told["toReplay"] == CHAINS
        asked = {"filter": {"status": 404}, "dryRun": False, "cutOff": told["cutOff"]}
        plan = await api(installed, "POST", "/replays", **asked, pace=2, canary=False)
        path = f"/replays/{plan['id']}"

        async def halfway() -> JsonObject | None:
            now = await api(installed, "GET", path)
            return now if count(now, "replayed") >= 3 else None

        async def settled() -> JsonObject | None:
            now = await api(installed, "GET", path)
            return now if now["settled"] else None

        await eventually(halfway)
        await api(installed, "POST", f"{path}/cancel")
        ended = await eventually(settled)
        chains = [await installed.store.chain(chain_id) for chain_id in ids]
        again = [chain.id for chain in chains if chain and chain.generation == 1]
        done = [await installed.ended(chain_id) for chain_id in again]

        rest = await api(
            installed, "POST", "/replays", **asked, kind="handle", note="by hand"
        )
        path = f"/replays/{rest['id']}"
        given_up = await eventually(settled)
        after = await api(installed, "POST", "/replays")

    assert (ended["state"], ended["claimed"], ended["refused"]) == ("cancelled", 12, 0)
    replayed, left = count(ended, "replayed"), count(ended, "left")
    assert 3 <= replayed < CHAINS
    assert (len(again), replayed + left) == (replayed, CHAINS)
    assert {chain.state for chain in done} == {"completed"}
    assert (ended["madeBy"], ended["changedBy"]) == ("anna", "anna")
    assert (given_up["state"], given_up["handled"]) == ("done", left)
    assert (after["toReplay"], after["handled"]) == (0, left)
    assert len(one.received) == CHAINS + replayed


async def _failed_at(lab: Lab, endpoint: Endpoint) -> str:
    """A chain that fails as this endpoint refuses what it is told."""
    started = await lab.start(disclosure(f"{endpoint.url}/next"))
    await Wallet().run(started.pointer)
    chain = await lab.ended(started.id)
    assert chain.state == "failed"
    return started.id


async def _rehearsed(lab: Lab, shadow: str) -> JsonObject:
    config = str(lab.stack.config_file)
    words = ["replay", "rehearse", "--all", "--yes", "--json", "--pace", "100"]
    argv = ["-m", "orchestrator.cli.main", *words, "--shadow", shadow, "-c", config]
    process = await asyncio.create_subprocess_exec(sys.executable, *argv, stdout=PIPE)
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode == 0
    return cast("JsonObject", json.loads(output))
