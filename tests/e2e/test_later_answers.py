"""202 over real processes: the endpoint answers later, once, or the chain expires."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import JsonValue

from orchestrator.domain.chain import ChainState, StepState
from orchestrator.local.postgresql import Postgresql
from orchestrator.local.rabbitmq import Broker
from orchestrator.local.stack import Plan
from orchestrator.ports import Waiting
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
from orchestrator.sandbox.wallet import StepStatus, Wallet

pytestmark = pytest.mark.e2e


async def later(_: int, __: Received) -> web.StreamResponse:
    """The endpoint answers later."""
    return web.Response(status=202)


async def put_off(lab: Lab) -> tuple[Started, str]:
    """A chain whose endpoint has said 202 in flow, and where its answer is taken."""
    async with endpoint_at_work(later) as endpoint:
        started = await lab.start(disclosure(f"{endpoint.url}/"))
        outcome = await Wallet().run(started.pointer)
        await lab.watch.until(started.id, "callback.answered", 1)
    assert [step.status for step in outcome.steps] == [StepStatus.SUCCESS]
    assert outcome.steps[0].ended_at_s < 3.0
    (received,) = endpoint.received
    url = received.headers["Chain-Reply-To"]
    assert url.startswith(f"{lab.stack.gateway_url}/reply/")
    return started, url


async def reply(lab: Lab, url: str, body: bytes) -> tuple[int, str]:
    """The endpoint's answer, and what the gateway says to it."""
    async with lab.http.post(url, data=body) as response:
        return response.status, await response.text()


async def deadlines(lab: Lab, chain_id: str) -> list[Waiting]:
    """The chain's rows that wait for an answer."""
    rows = await lab.store.waiting(chain_id=chain_id, limit=10)
    return [row for row in rows if row.kind == "deadline"]


@pytest.fixture(scope="module")
async def on_postgresql(
    broker: Broker, postgresql: Postgresql, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Lab]:
    """An installation like the one that all tests share, but for the database."""
    run_dir = tmp_path_factory.mktemp("on-postgresql")
    async with (
        broker.vhost(f"e2e-{secrets.token_hex(6)}") as url,
        postgresql.database(f"e2e-{secrets.token_hex(6)}") as database_url,
        lab_at_work(
            run_dir, url, Plan(endpoint=False, database_url=database_url)
        ) as running,
    ):
        yield running


@pytest.fixture(params=["lab", "on_postgresql"])
def either(request: pytest.FixtureRequest) -> Lab:
    """On SQLite, and on PostgreSQL."""
    running: Lab = request.getfixturevalue(request.param)
    return running


async def test_the_reply_goes_on_with_the_chain(either: Lab) -> None:
    """The user's first session ends well at 202; the reply's session is live on its own.

    The deadline is visible meanwhile. What is wrong is told and changes nothing, and the
    second answer comes too late.
    """
    lab = either
    started, url = await put_off(lab)
    assert len(await deadlines(lab, started.id)) == 1
    request = json.dumps(issuance()).encode()

    status, text = await reply(lab, url, b"{}")
    assert (status, json.loads(text)["status"]) == (400, 400)
    assert (await reply(lab, url, request))[0] == 204
    assert (await reply(lab, url, request))[0] == 204
    assert (await reply(lab, url, b""))[0] == 409

    package = lab.rows.package(await lab.row(started.id, 2, StepState.LIVE))
    assert package is not None
    second = await Wallet().run(package.session_ptr)
    chain = await lab.ended(started.id)
    assert [step.status for step in second.steps] == [StepStatus.SUCCESS]
    assert chain.state is ChainState.COMPLETED
    assert await deadlines(lab, started.id) == []
    told = [step for step in lab.watch.types(started.id) if step[0] == 1]
    assert told.count((1, "callback.answered")) == 2
    events = lab.watch.of(started.id)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))


async def test_of_two_different_answers_one_counts(either: Lab) -> None:
    """The endpoint replies, then answers: one session is live, the log names the other.

    The reply's 2xx was a promise, so it is the answer that is lost.
    """
    lab, asked, go = either, asyncio.Event(), asyncio.Event()

    async def script(_: int, __: Received) -> web.StreamResponse:
        asked.set()
        await go.wait()
        return web.json_response(issuance())

    async with endpoint_at_work(script) as endpoint:
        started = await lab.start(disclosure(f"{endpoint.url}/"))
        playing = asyncio.create_task(Wallet().run(started.pointer))
        await asyncio.wait_for(asked.wait(), BOUND_S)
        url = endpoint.received[0].headers["Chain-Reply-To"]
        assert (await reply(lab, url, json.dumps(disclosure()).encode()))[0] == 204
        go.set()
        outcome = await playing
    assert [step.status for step in outcome.steps] == [StepStatus.SUCCESS]
    package = lab.rows.package(await lab.row(started.id, 2, StepState.LIVE))
    assert package is not None
    assert package.session_ptr.irmaqr == "disclosing"
    await Wallet().run(package.session_ptr)
    assert (await lab.ended(started.id)).state is ChainState.COMPLETED
    assert lab.watch.types(started.id).count((2, "session.started")) == 1
    assert await eventually(lambda: lost_answers(lab, started)) == 1


async def lost_answers(lab: Lab, started: Started) -> int | None:
    """How many of a chain's answers the session worker has logged as lost."""
    log = lab.stack.processes.log("session").read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    lost = [line for line in lines if line.get("event") == "session.answer_lost"]
    return sum(line["chain_id"] == started.id for line in lost) or None


async def test_an_empty_reply_completes_the_chain(either: Lab) -> None:
    """As 204 does; afterwards there is nothing more to say."""
    lab = either
    started, url = await put_off(lab)
    assert (await reply(lab, url, b""))[0] == 204
    assert (await lab.ended(started.id)).state is ChainState.COMPLETED
    assert (await reply(lab, url, b""))[0] == 204
    assert (await reply(lab, url, json.dumps(issuance()).encode()))[0] == 409


@pytest.fixture
async def hasty(
    vhost_url: str, postgresql_url: str, tmp_path: Path
) -> AsyncIterator[Lab]:
    """An installation in which later answers have two seconds."""
    overrides: dict[str, JsonValue] = {"callbacks": {"reply_s": 2.0}}
    plan = Plan(endpoint=False, database_url=postgresql_url, overrides=overrides)
    async with lab_at_work(tmp_path, vhost_url, plan) as running:
        yield running


async def test_without_a_reply_the_chain_expires(hasty: Lab) -> None:
    """At the deadline, with the reason; the address is gone then."""
    started, url = await put_off(hasty)
    chain = await hasty.ended(started.id)
    assert chain.state is ChainState.EXPIRED
    assert "202" in (chain.reason or "")

    async def gone() -> str | None:
        status, text = await reply(hasty, url, b"")
        return text if status == 410 else None

    assert "detail" in json.loads(await eventually(gone))
