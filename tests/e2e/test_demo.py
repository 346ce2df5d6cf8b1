"""The demonstration as its user runs it: what it shows, and that it leaves nothing."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from pydantic import BaseModel, TypeAdapter
from yarl import URL

from orchestrator.cli.demo import EXPECTED, FINISHED
from orchestrator.local.rabbitmq import Broker
from orchestrator.proof.lab import LOOK_S, Lab

pytestmark = pytest.mark.e2e

#: A busy machine needs this long for all of it.
RUN_S = 50.0


class Vhost(BaseModel):
    """The part of `GET /api/vhosts` that is of use here."""

    name: str


@asynccontextmanager
async def demo(
    folder: Path, broker: Broker, *options: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`chainctl demo` in this folder; killed if the test does not see its end."""
    root = Path(__file__).parents[2]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "orchestrator.cli.main", "demo", *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env={
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(root),
            "COLUMNS": "200",
            "RABBITMQ_URL": broker.amqp_url,
            "RABBITMQ_MANAGEMENT_URL": _management_url(broker),
        },
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _management_url(broker: Broker) -> str:
    url = URL(broker.management_url)
    return str(url.with_user(broker.user).with_password(broker.password))


async def vhosts(broker: Broker) -> set[str]:
    """The vhosts of installations like the demonstration's."""
    login = aiohttp.encode_basic_auth(broker.user, broker.password)
    async with (
        aiohttp.ClientSession(headers={"Authorization": login}) as http,
        http.get(f"{broker.management_url}/api/vhosts") as response,
    ):
        found = TypeAdapter(list[Vhost]).validate_json(await response.read())
    return {one.name for one in found if one.name.startswith("session-chain-")}


def command_lines(folder: Path) -> list[bytes]:
    """The command lines of all processes that work somewhere in this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            works_here = (process / "cwd").readlink().is_relative_to(folder)
            if works_here:
                found.append((process / "cmdline").read_bytes())
        except OSError:  # it has ended, or is somebody else's
            continue
    return found


async def output(process: asyncio.subprocess.Process) -> str:
    """All that it prints from now until it ends."""
    async with asyncio.timeout(RUN_S):
        written, _ = await process.communicate()
    return written.decode()


async def test_every_step_is_shown_and_nothing_is_left(
    broker: Broker, tmp_path: Path
) -> None:
    """Each event of the chain, success, and neither process nor vhost nor file."""
    before = await vhosts(broker)
    async with demo(tmp_path, broker) as process:
        printed = await output(process)
    assert process.returncode == 0, printed
    for _, event_type in (*EXPECTED, *FINISHED):
        assert event_type in printed
    assert "every step happened" in printed
    assert "FAILED" not in printed
    assert command_lines(tmp_path) == []
    assert await vhosts(broker) <= before
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize("moment", ["nothing", "gateway"])
async def test_ctrl_c_leaves_its_files_and_nothing_else(
    broker: Broker, tmp_path: Path, moment: str
) -> None:
    """Cut short before anything runs or between, it ends what it has started."""
    before = await vhosts(broker)
    async with demo(tmp_path, broker) as process:
        assert process.stdout is not None
        await process.stdout.readline()
        async with asyncio.timeout(RUN_S):
            while moment not in {"nothing", *_words(tmp_path)}:  # noqa: ASYNC110 - /proc is silent
                await asyncio.sleep(LOOK_S)
        process.send_signal(signal.SIGINT)
        printed = await output(process)
    assert process.returncode == 130, printed
    assert "stopped" in printed
    assert "Traceback" not in printed
    assert "chainctl:" not in printed
    assert command_lines(tmp_path) == []
    assert await vhosts(broker) <= before
    (run_dir,) = (tmp_path / "run").iterdir()
    assert f"files and logs are in {run_dir}" in printed
    assert (run_dir / "secrets" / "secrets.json").exists() or moment == "nothing"


def _words(folder: Path) -> set[str]:
    """Every word on a command line there."""
    lines = command_lines(folder)
    return {word for line in lines for word in line.decode().split("\0")}


async def test_keys_and_data_are_for_nobody_elses_eyes(lab: Lab) -> None:
    """No key stands on a command line, and other users can read no file."""
    run_dir = lab.stack.config_file.parent
    kept = json.loads((run_dir / "secrets" / "secrets.json").read_text())
    lines = command_lines(run_dir)
    assert any(b"orchestrator.sandbox" in line for line in lines)
    for secret in (*kept.values(), lab.stack.broker_url):
        assert not any(secret.encode() in line for line in lines)
    for name in ("around", "stack", "secrets"):
        assert stat.S_IMODE((run_dir / name).stat().st_mode) == 0o700
    files = [path for path in run_dir.iterdir() if path.is_file()]
    assert {"chains.db", "orchestrator.json", "sandbox.json"} <= {f.name for f in files}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
