"""The pretend IRMA server as a process of its own."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from orchestrator.sandbox import StepStatus, Wallet, share
from schemas.irma import SessionPointer
from tests.contract.sandbox_lab import BOUND_S, Json

pytestmark = pytest.mark.e2e

DISCLOSURE = {
    "@context": "https://irma.app/ld/request/disclosure/v2",
    "disclose": [[["irma-demo.gemeente.personalData.fullname"]]],
}


@asynccontextmanager
async def sandbox_process(*options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A sandbox on a free port, ended with the test at the latest."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "orchestrator.sandbox", "--port", "0", *options),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def log_line(process: asyncio.subprocess.Process) -> Json:
    """The next line of the process's log."""
    assert process.stderr is not None
    return json.loads(await process.stderr.readline())


async def test_whole_life(tmp_path: Path, jwt_privkey: str) -> None:
    """It reports READY, serves a session, logs no secrets and ends at once on SIGTERM."""
    key_file, notify = tmp_path / "key.pem", str(tmp_path / "notify")
    key_file.write_text(jwt_privkey)
    options = ("--token", "s3cret", "--jwt-privkey", str(key_file))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as ready:
        ready.bind(notify)
        async with (
            asyncio.timeout(3 * BOUND_S),
            sandbox_process(*options, "--notify-socket", notify) as process,
        ):
            assert await asyncio.get_running_loop().sock_recv(ready, 100) == b"READY=1"
            port = (await log_line(process))["port"]
            token = await _one_session(f"http://127.0.0.1:{port}", "s3cret")
            process.send_signal(signal.SIGTERM)
            _, log = await process.communicate()
            assert process.returncode == 0
            for secret in ("s3cret", token, "W.L. de Bruijn"):
                assert secret.encode() not in log
            assert b'"event": "stopped"' in log


async def _one_session(server: str, key: str) -> str:
    """Play one session to its end; its requestor token."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(
            f"{server}/session", json=DISCLOSURE, headers={"Authorization": key}
        ) as response,
    ):
        package = await response.json()
    pointer = SessionPointer.model_validate(package["sessionPtr"])
    outcome = await Wallet().run(pointer, share)
    assert outcome.status is StepStatus.SUCCESS
    token: str = package["token"]
    return token


async def test_configuration_file(tmp_path: Path) -> None:
    """Options without a flag of their own come from a file."""
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"url": "https://irma.example", "disclose_perms": []}))
    async with (
        asyncio.timeout(2 * BOUND_S),
        sandbox_process("--config", str(file)) as process,
        aiohttp.ClientSession() as http,
    ):
        port = (await log_line(process))["port"]
        url = f"http://127.0.0.1:{port}/session"
        async with http.post(url, json=DISCLOSURE) as response:
            assert response.status == 403


async def test_faults_on_the_command_line(tmp_path: Path) -> None:
    """What goes wrong, and where the page's wallet is kept, are options as well."""
    options = ("--faults", '{"lost_update": {"times": 2}}')
    wallet = ("--wallet-file", str(tmp_path / "wallet.json"))
    async with (
        asyncio.timeout(2 * BOUND_S),
        sandbox_process(*options, *wallet) as process,
        aiohttp.ClientSession() as http,
    ):
        port = (await log_line(process))["port"]
        async with http.get(f"http://127.0.0.1:{port}/sandbox/faults") as response:
            assert (await response.json())["lost_update"] == {"times": 2}


@pytest.mark.parametrize(
    "option, content, reason",
    [
        ("--faults", '{"slow": {}}', b"slow: Extra inputs are not permitted"),
        ("--wallet-file", "not JSON", b"content: Invalid JSON"),
    ],
)
async def test_mistakes_are_told(
    tmp_path: Path, option: str, content: str, reason: bytes
) -> None:
    """A sandbox that cannot do what it is told says why, and ends."""
    file = tmp_path / "wallet.json"
    file.write_text(content)
    value = content if option == "--faults" else str(file)
    async with asyncio.timeout(2 * BOUND_S), sandbox_process(option, value) as process:
        _, log = await process.communicate()
        assert process.returncode not in {0, None}
    assert reason in log
    assert b"Traceback" not in log
