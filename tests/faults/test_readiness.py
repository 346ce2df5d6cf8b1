"""The database is stopped: processes say that they are not ready, and when they are."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import pytest
from pydantic import JsonValue

from orchestrator.domain.chain import ChainState
from orchestrator.local.ports import LOOPBACK, free_ports
from orchestrator.local.postgresql import Postgresql
from orchestrator.local.stack import Plan, worker_argv
from orchestrator.proof.lab import LOOK_S, Lab, disclosure, eventually, lab_at_work
from orchestrator.sandbox.wallet import Wallet

pytestmark = pytest.mark.faults

#: Within so long every probe tells it.
SOON_S = 10.0

READY: JsonValue = {"ready": True}


async def test_processes_tell_that_the_store_is_away_and_are_not_restarted(
    stoppable: Postgresql, vhost_url: str, tmp_path: Path
) -> None:
    """The gateway and a session worker; whichever has a result in hand pauses."""
    assert stoppable.server is not None
    async with (
        stoppable.database(f"test-{uuid.uuid4()}") as url,
        _lab(tmp_path, vhost_url, url) as (lab, worker_url),
    ):
        probes = (f"{lab.stack.gateway_url}/readyz", f"{worker_url}/readyz")
        pid = lab.stack.processes.pid("probed")
        started = await lab.start(disclosure())
        for probe in probes:
            assert await _until(lab, probe, HTTPStatus.OK) == READY

        await stoppable.server.stop()
        told = await _until(lab, probes[1], HTTPStatus.SERVICE_UNAVAILABLE)
        assert isinstance(told, dict)
        assert told["faults"] == ["store"]
        await _until_told(lab, probes[0], {"ready": True, "degraded": ["store"]})
        async with lab.http.get(f"{worker_url}/livez") as alive:
            assert alive.status == HTTPStatus.OK
        await Wallet().run(started.pointer)
        await _until_logged(lab, "worker.paused")

        await stoppable.server.start()
        for probe in probes:
            await _until_told(lab, probe, READY)
        await _until_logged(lab, "worker.resumed")
        assert (await lab.ended(started.id)).state is ChainState.COMPLETED
        assert lab.stack.processes.pid("probed") == pid
        assert lab.stack.processes.exited() == ()


@asynccontextmanager
async def _lab(
    run_dir: Path, vhost_url: str, database_url: str
) -> AsyncIterator[tuple[Lab, str]]:
    """An installation with one more session worker, which has a port for probes."""
    plan = Plan(
        endpoint=False,
        database_url=database_url,
        overrides={"irma_server": {"check_attribute": ""}},
    )
    async with lab_at_work(run_dir, vhost_url, plan) as lab:
        (port,) = free_ports(1, random.SystemRandom())
        settings = json.loads(lab.stack.config_file.read_text())
        settings["health"] = {"listen": {"host": LOOPBACK, "port": port}}
        config_file = run_dir / "probed.json"
        config_file.touch(mode=0o600)
        config_file.write_text(json.dumps(settings))
        argv = worker_argv("session", config_file)
        await lab.stack.processes.start("probed", argv)
        yield lab, f"http://{LOOPBACK}:{port}"


async def _until_logged(lab: Lab, event: str) -> None:
    """Wait until the session worker that had the result says so."""

    async def look() -> bool | None:
        logs = (lab.stack.processes.log(name) for name in ("session", "probed"))
        return any(f'"{event}"' in log.read_text() for log in logs) or None

    await eventually(look)


async def _until_told(lab: Lab, url: str, expected: JsonValue) -> None:
    async with asyncio.timeout(SOON_S):
        while await _until(lab, url, HTTPStatus.OK) != expected:  # noqa: ASYNC110 - a probe makes no noise
            await asyncio.sleep(LOOK_S)


async def _until(lab: Lab, url: str, status: HTTPStatus) -> JsonValue:
    """What a probe is told, once it is told so."""
    async with asyncio.timeout(SOON_S):
        while True:
            async with lab.http.get(url) as answer:
                told: JsonValue = await answer.json(content_type=None)
                if answer.status == status:
                    return told
            await asyncio.sleep(LOOK_S)
