"""Secrets are nowhere in plain text: database, logs, broker files, open events (G6)."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from orchestrator.local.rabbitmq import Broker
from orchestrator.sandbox.credentials import Credential, default_credentials
from orchestrator.sandbox.wallet import Wallet
from schemas.events import dump_event
from tests.contract.sandbox_lab import Received, endpoint_at_work
from tests.support.lab import Lab, disclosure, issuance

pytestmark = pytest.mark.e2e


async def test_no_value_token_or_path_rests_in_plain_text(
    lab: Lab, broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A success, a refused next session and a waiting retry leave no marker behind."""
    value, path = (f"marker{secrets.token_hex(8)}" for _ in range(2))
    wallet = Wallet(_with_fullname(value))

    async def script(n: int, _: Received) -> web.StreamResponse:
        if n == 0:
            return web.json_response(issuance(f"{endpoint.url}/{path}"))
        return web.Response(status=410, text=f"{value} {path}")

    async with endpoint_at_work(script) as endpoint:
        started = await lab.start(disclosure(f"{endpoint.url}/{path}?q={path}"))
        outcome = await wallet.run(started.pointer)
        await lab.ended(started.id)
        waiting = await lab.start(disclosure(f"http://127.0.0.1:9/{path}"))
        await wallet.run(waiting.pointer)
        assert await lab.store.waiting(chain_id=waiting.id, limit=1)

    assert value in str(outcome)  # the user did share it
    markers = [value, path, started.token, waiting.token]
    markers += [
        pointer.u.rsplit("/", 1)[-1] for pointer in (started.pointer, waiting.pointer)
    ]
    folders = [lab.stack.config_file.parent]
    if broker.node is not None:
        folders.append(tmp_path_factory.getbasetemp())
    for folder in folders:
        for file in _files_of_ours(folder):
            content = file.read_bytes()
            for marker in markers:
                assert marker.encode() not in content, (file.name, marker)
    told = b"".join(dump_event(event) for event in lab.watch.events)
    for marker in markers:
        assert marker.encode() not in told, marker


def _files_of_ours(folder: Path) -> list[Path]:
    """Everything written there, but for the pretend IRMA server's own."""
    return [
        file
        for file in folder.rglob("*")
        if file.is_file() and not file.name.startswith("sandbox")
    ]


def _with_fullname(value: str) -> list[Credential]:
    """The wallet's usual credentials, the full name being this."""
    return [
        replace(held, attributes={**held.attributes, "fullname": value})
        if "fullname" in held.attributes
        else held
        for held in default_credentials()
    ]
