"""Secrets are nowhere in plain text: database, logs, broker files, open events (G6)."""

from __future__ import annotations

import asyncio
import json
import secrets
from base64 import b64encode, urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aiohttp import web

from orchestrator.broker.connection import connect
from orchestrator.cli.endpoints import pause_endpoint
from orchestrator.domain.chain import ChainState, Slot, StepState
from orchestrator.local.endpoint import FULLNAME
from orchestrator.local.postgresql import Postgresql
from orchestrator.local.rabbitmq import Broker
from orchestrator.local.stack import Plan
from orchestrator.ports import Queues, work_message
from orchestrator.proof.callbacks import Callbacks
from orchestrator.proof.endpoints import Received, endpoint_at_work
from orchestrator.proof.lab import (
    BOUND_S,
    Lab,
    Started,
    disclosure,
    eventually,
    issuance,
    lab_at_work,
)
from orchestrator.sandbox.credentials import Credential, default_credentials
from orchestrator.sandbox.wallet import Wallet
from orchestrator.settings import load_settings
from schemas.events import Purpose, dump_event
from schemas.irma import session_result_from
from tests.support.searching import found, spelled

pytestmark = pytest.mark.e2e

#: How long the bridge waits, so that an endpoint is soon too slow for it.
BUDGET_S = 2.0
TOO_SLOW_S = 2.5


@dataclass
class Secrets:
    """What may be in plain text nowhere, each with a part that is like no other.

    Attributes:
        value: of the attribute that the user discloses.
        path: of the endpoint's URLs.
        tokens: session tokens and the secret ends of pointers and capability URLs.
    """

    value: str = field(default_factory=lambda: f"value{secrets.token_hex(8)}")
    path: str = field(default_factory=lambda: f"path{secrets.token_hex(8)}")
    tokens: list[str] = field(default_factory=list)

    def note_session(self, token: str, pointer_url: str) -> None:
        """One more session."""
        self.tokens.append(token)
        self.note_url(pointer_url)

    def note_url(self, url: str) -> None:
        """One more URL whose last part is the secret."""
        self.tokens.append(url.rsplit("/", 1)[-1])

    def wallet(self) -> Wallet:
        """A user's wallet with the value in it."""
        return Wallet(_with_fullname(self.value))

    def spellings(self) -> list[bytes]:
        """All of them, in all ways in which they might be written."""
        return [s for one in (self.value, self.path, *self.tokens) for s in spelled(one)]


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest) -> Postgresql | None:
    """Where the installation keeps its rows; None for a file of its own."""
    if request.param == "sqlite":
        return None
    running: Postgresql = request.getfixturevalue("postgresql")
    return running


@pytest.fixture
def database_url(server: Postgresql | None, request: pytest.FixtureRequest) -> str | None:
    """A database of the test's own there."""
    url: str | None = request.getfixturevalue("postgresql_url") if server else None
    return url


@pytest.fixture
async def talkative(
    vhost_url: str, tmp_path: Path, database_url: str | None
) -> AsyncIterator[Lab]:
    """An installation that logs all it can."""
    plan = Plan(
        endpoint=False,
        database_url=database_url,
        overrides={"bridge_budget_s": BUDGET_S, "logs": {"level": "debug"}},
        sandbox={"sweep_s": 0.5},
    )
    async with lab_at_work(tmp_path, vhost_url, plan) as running:
        yield running


async def test_no_value_token_or_path_rests_in_plain_text(
    talkative: Lab,
    broker: Broker,
    server: Postgresql | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Whatever way callbacks and sessions go.

    Success, retry, failure, detached, answered later, parked, dead: of each the chain's
    id is found where things rest, and nothing that is secret.
    """
    lab, hidden = talkative, Secrets()
    ids = await _go_all_ways(lab, hidden)
    base = tmp_path_factory.getbasetemp()
    places = {
        "logs": list(_logs_of_ours(lab.stack.config_file.parent)),
        "database": _database_files(lab, server),
        "broker": list(base.glob("broker*")) if broker.node is not None else [],
    }
    for name, where in places.items():
        if where:
            assert not set(ids) - found(ids, where), name
        assert not found(hidden.spellings(), where), name
    told = await _told(lab)
    assert all(one in told for one in ids)
    assert not [one for one in hidden.spellings() if one in told]


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    """In any file of a folder, plain or in the middle of what is base64."""
    marker = Secrets().value
    assert found(spelled(marker), [tmp_path]) == set()
    for lead in range(3):
        for code in (b64encode, urlsafe_b64encode):
            folder = tmp_path / f"{lead}-{code.__name__}"
            folder.mkdir()
            (folder / "file").write_bytes(code(b"\xfb" * lead + f"{marker}?".encode()))
            assert found(spelled(marker), [folder]), (lead, code)
    (tmp_path / "file").write_text(f"no {marker}.")
    assert marker.encode() in found(spelled(marker), [tmp_path / "file"])


# -------------------------------------------------------------------------- the ways


async def _go_all_ways(lab: Lab, hidden: Secrets) -> list[bytes]:
    """Let callbacks go every way there is; the ids of their chains."""
    async with (
        endpoint_at_work(lambda _, request: _answer(hidden, base, request)) as endpoint,
        endpoint_at_work() as paused,
    ):
        base = f"{endpoint.url}/{hidden.path}"
        await _pause(lab, paused.url)
        urls = [f"{base}/{way}" for way in ("next", "gone", "busy", "slow", "later")]
        chains = await asyncio.gather(
            *(_played(lab, hidden, url) for url in (*urls, f"{paused.url}/{hidden.path}"))
        )
        success, failed, busy, slow, later, parked = chains
        (reply_to,) = (
            request.headers["Chain-Reply-To"]
            for request in endpoint.received
            if "/later" in request.path
        )
        hidden.note_url(reply_to)
        body = json.dumps(issuance(f"{base}/end")).encode()
        async with lab.http.post(reply_to, data=body) as response:
            assert response.status == 204
        await _die(lab, hidden, f"{base}/dead")
        await asyncio.gather(
            *(_play_second(lab, hidden, chain) for chain in (success, slow, later)),
            _waits(lab, busy, "retry"),
            _waits(lab, parked, "parked"),
        )
        for chain in (success, slow, later):
            assert (await lab.ended(chain.id)).state is ChainState.COMPLETED
        assert (await lab.ended(failed.id)).state is ChainState.FAILED
        await _unused(lab, hidden)
    return [chain.id.encode() for chain in chains]


async def _answer(hidden: Secrets, base: str, request: Received) -> web.Response:
    """What the endpoint says by the last part of the path; failures repeat secrets."""
    secret = f"{hidden.value} {hidden.path}"
    match request.path.partition("?")[0].rpartition("/")[-1]:
        case "next":
            return web.json_response(issuance(f"{base}/end"))
        case "slow":
            await asyncio.sleep(TOO_SLOW_S)
            return web.json_response(issuance(f"{base}/end"))
        case "later":
            return web.Response(status=202)
        case "busy":
            return web.Response(status=503, text=secret, headers={"Retry-After": "600"})
        case "gone":
            return web.Response(status=410, text=secret, reason=secret)
        case _:
            return web.Response(status=204)


async def _played(lab: Lab, hidden: Secrets, url: str) -> Started:
    """A chain whose callback goes to this URL, its first session played."""
    started = await lab.start(disclosure(f"{url}?q={hidden.path}"))
    hidden.note_session(started.token, started.pointer.u)
    outcome = await hidden.wallet().run(started.pointer)
    assert hidden.value in str(outcome)
    return started


async def _play_second(lab: Lab, hidden: Secrets, chain: Started) -> None:
    """The second session, unless it came in flow; it asks for the value once more."""
    row = await lab.row(chain.id, 2, StepState.LIVE, StepState.FINISHED)
    package = lab.rows.package(row)
    if package is not None:
        hidden.note_session(package.token, package.session_ptr.u)
        await hidden.wallet().run(package.session_ptr)


async def _pause(lab: Lab, url: str) -> None:
    """As an operator does."""
    await pause_endpoint(load_settings(lab.stack.config_file, {}), url, None)
    await lab.watch.until_endpoint(url, "endpoint.paused")


async def _waits(lab: Lab, chain: Started, kind: str) -> None:
    async def look() -> bool | None:
        rows = await lab.store.waiting(chain_id=chain.id, limit=9)
        return kind in {row.kind for row in rows} or None

    await eventually(look)


async def _die(lab: Lab, hidden: Secrets, url: str) -> None:
    """A callback under another id than it was sealed for; nobody can open it."""
    attribute = {"rawvalue": hidden.value, "id": FULLNAME, "status": "PRESENT"}
    token = secrets.token_hex(10)
    hidden.tokens.append(token)
    result = session_result_from(
        {
            "token": token,
            "status": "DONE",
            "type": "disclosing",
            "proofStatus": "VALID",
            "disclosed": [[attribute]],
        }
    )
    async with Callbacks.of(lab.stack) as callbacks:
        work = callbacks.make.callback(
            Slot(chain_id="DEADCHAIN", step=1),
            "demo",
            result,
            purpose=Purpose.NEXT,
            url=url,
            validity_s=120,
        )
        wrong = work.model_copy(update={"id": f"{work.id}-another"})
        await callbacks.publisher.publish(work_message(wrong))


async def _unused(lab: Lab, hidden: Secrets) -> None:
    """A chain's page is a secret address too."""
    body = json.dumps(disclosure()).encode()
    async with lab.post_session(body) as response:
        hidden.note_url(response.headers["Chain-Page"])


# ------------------------------------------------------------------------ the search


def _logs_of_ours(run_dir: Path) -> Iterator[Path]:
    """What gateway and workers wrote; the pretend IRMA server's is its own affair."""
    yield from (run_dir / "stack").rglob("*.log")


def _database_files(lab: Lab, postgresql: Postgresql | None) -> list[Path]:
    """SQLite's file with its log, or the data of a server that is ours."""
    if postgresql is None:
        return list(lab.stack.config_file.parent.glob("chains.db*"))
    return [postgresql.server._cluster.data] if postgresql.server else []


async def _told(lab: Lab) -> bytes:
    """What is told: to subscribers, in the stream, as metrics, of the dead message."""
    events = [dump_event(event) for event in lab.watch.events]
    _, metrics = await lab.get("/metrics")
    async with (
        await connect(lab.stack.broker_url, "privacy") as connection,
        connection.channel() as channel,
    ):
        logged = await _logged(channel, len(events))
        queue = await channel.get_queue(Queues.DEAD, ensure=False)
        dead = await queue.get(timeout=10)
    assert dead is not None
    headers = f"{dead.headers}".encode()
    return b"".join((*events, *logged, dead.body, headers, metrics.encode()))


async def _logged(channel: AbstractChannel, count: int) -> list[bytes]:
    """The first messages of `chain.log`."""
    await channel.set_qos(prefetch_count=100)
    log = await channel.get_queue(Queues.LOG, ensure=False)
    arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    await log.consume(arrived.put, arguments={"x-stream-offset": "first"})
    bodies = []
    async with asyncio.timeout(BOUND_S):
        for _ in range(count):
            message = await arrived.get()
            await message.ack()
            bodies.append(message.body)
    return bodies


def _with_fullname(value: str) -> list[Credential]:
    """The wallet's usual credentials, the full name being this."""
    return [
        replace(held, attributes={**held.attributes, "fullname": value})
        if "fullname" in held.attributes
        else held
        for held in default_credentials()
    ]
