"""What a worker tells of itself, to its service manager and to probes.

The probe is the one of an orchestrator: HTTP over a real socket, on this machine.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import cast

import aiohttp
import pytest
from pydantic import JsonValue

from orchestrator.app.health import WorkerHealth
from orchestrator.app.probes import probed
from orchestrator.domain.errors import NotConfigured
from orchestrator.ports import Store
from orchestrator.readiness import Readiness
from orchestrator.settings.sections import HealthListen


class _Answering:
    """A database that is there."""

    async def ping(self) -> None:
        """Answer."""


def _readiness() -> Readiness:
    return Readiness(store=cast("Store", _Answering()), connected=lambda: True)


async def _get(port: int, path: str) -> tuple[int, str, JsonValue]:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{port}{path}") as answer,
    ):
        is_text = answer.content_type == "text/plain"
        body = await (answer.text() if is_text else answer.json(content_type=None))
        return answer.status, answer.content_type, cast("JsonValue", body)


async def test_a_held_worker_is_unready_and_alive() -> None:
    """The routes are those of the gateway."""
    readiness = _readiness()
    async with probed(readiness, HealthListen(port=0)) as port:
        assert await _get(port, "/readyz") == (200, "application/json", {"ready": True})
        readiness.told(frozenset({"SealKeyUnknown"}))
        status, kind, body = await _get(port, "/readyz")
        assert (status, kind) == (503, "application/problem+json")
        assert isinstance(body, dict)
        assert body["faults"] == ["keys"]
        assert await _get(port, "/livez") == (200, "text/plain", "OK")


async def test_a_port_that_is_taken_is_told_at_start() -> None:
    """All processes of a machine may have read the same configuration."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = HealthListen(port=taken.getsockname()[1])
        with pytest.raises(NotConfigured, match=r"health\.listen"):
            async with probed(_readiness(), listen):
                pass


async def test_the_service_manager_hears_what_holds_the_worker(tmp_path: Path) -> None:
    """And that it is over; `/readyz` knows the same."""
    address = str(tmp_path / "notify")
    readiness = _readiness()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(5)
        listener.bind(address)
        health = WorkerHealth(readiness, address)
        health.told(frozenset({"StoreUnavailable", "BrokerUnavailable"}))
        held = listener.recv(100)
        assert (await readiness.health()).faults == ("broker", "store")
        health.told(frozenset())
        assert listener.recv(100) == b"STATUS=ready"
    assert held == b"STATUS=held: BrokerUnavailable, StoreUnavailable"
    assert (await readiness.health()).ready
