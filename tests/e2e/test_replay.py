"""The morning after an outage: one command replays all that has failed, each once."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from orchestrator.domain.chain import ChainState
from orchestrator.local.stack import Plan
from orchestrator.proof.endpoints import Endpoint, Received, endpoint_at_work
from orchestrator.proof.lab import Lab, disclosure, eventually, lab_at_work
from orchestrator.sandbox.wallet import Wallet
from schemas.messages import Lane
from workers.replay import AT_ONCE

pytestmark = pytest.mark.e2e

#: Chains that fail at each of the two endpoints.
EACH = 10


@pytest.fixture
async def installed(vhost_url: str, tmp_path: Path) -> AsyncIterator[Lab]:
    """An installation with the lane and the worker for replays."""
    plan = Plan(endpoint=False, lanes=(Lane.REPLAY,), replays=True)
    async with lab_at_work(tmp_path, vhost_url, plan) as running:
        yield running


@pytest.mark.timeout(180)
async def test_failed_chains_are_replayed_once_though_the_worker_is_killed(
    installed: Lab,
) -> None:
    """All end as they would have; whoever follows the replay sees its end."""
    well = asyncio.Event()

    async def outage(_: int, __: Received) -> web.StreamResponse:
        return web.Response(status=204 if well.is_set() else 404)

    async with endpoint_at_work(outage) as one, endpoint_at_work(outage) as other:
        ids = [
            chain_id
            for endpoint in (one, other)
            for chain_id in await _failed_at(installed, endpoint)
        ]
        shown = await _output(await _replay(installed, "plan", "--json"))
        groups = json.loads(shown)["groups"]
        assert [(group["status"], group["toReplay"]) for group in groups] == [
            (404, EACH),
            (404, EACH),
        ]
        well.set()
        following = await _replay(
            installed, "run", "--all", "--yes", "--json", "--pace", "10"
        )
        await eventually(lambda: _came(one, other, 2 * EACH + 4))
        await installed.stack.processes.kill("replay")
        await installed.stack.start_worker("replay")
        plan = json.loads(await _output(following))
        chains = [await installed.ended(chain_id) for chain_id in ids]

    assert (plan["state"], plan["claimed"], plan["replayed"]) == ("done", 20, 20)
    assert (plan["refused"], plan["left"], plan["wentWell"]) == (0, 0, 20)
    assert {(chain.state, chain.generation) for chain in chains} == {
        (ChainState.COMPLETED, 1)
    }
    posts = [_of(request) for request in (*one.received, *other.received)]
    callbacks = Counter(chain_id for chain_id, _ in set(posts))
    assert callbacks == dict.fromkeys(ids, 2)
    # What was published and not yet noted as such goes out again, under the same id.
    assert len(posts) - len(set(posts)) <= AT_ONCE


async def _failed_at(lab: Lab, endpoint: Endpoint) -> list[str]:
    """Chains that fail as this endpoint refuses what it is told."""

    async def fails() -> str:
        started = await lab.start(disclosure(f"{endpoint.url}/next"))
        await Wallet().run(started.pointer)
        chain = await lab.ended(started.id)
        assert chain.state is ChainState.FAILED
        return started.id

    return await asyncio.gather(*(fails() for _ in range(EACH)))


def _of(request: Received) -> tuple[str, str]:
    """The chain and the callback that a request belongs to."""
    return request.headers["Chain-Id"], request.headers["webhook-id"]


async def _came(one: Endpoint, other: Endpoint, count: int) -> bool | None:
    return len(one.received) + len(other.received) >= count or None


async def _replay(lab: Lab, *words: str) -> Process:
    config = str(lab.stack.config_file)
    argv = [sys.executable, "-m", "orchestrator.cli.main", "replay", *words]
    return await asyncio.create_subprocess_exec(*argv, "--config", config, stdout=PIPE)


async def _output(process: Process) -> str:
    """What it has said at the end of a good run."""
    async with asyncio.timeout(90):
        output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()
