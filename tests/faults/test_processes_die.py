"""Processes are killed or frozen at the worst moment; every chain is carried on."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from aiohttp import web

from orchestrator.domain.chain import Chain, ChainState, StepState
from orchestrator.proof.endpoints import Endpoint, Received, endpoint_at_work
from orchestrator.proof.lab import Lab, Started, disclosure, eventually, issuance
from orchestrator.sandbox.wallet import Outcome, StepStatus, Wallet
from tests.contract.sandbox_lab import claims_of

pytestmark = pytest.mark.faults


async def test_a_killed_callback_workers_chain_is_finished_by_the_other(
    lab: Lab,
) -> None:
    """The endpoint sees the same id and result twice; one live session comes out."""
    async with _while_the_endpoint_answers(lab, only_first=True) as asked:
        await lab.stack.processes.kill(_worker_of(lab, asked.started))
        await asked.playing
        chain = await _finished(lab, asked.started)
        asked.release.set()

    assert chain.state is ChainState.COMPLETED
    first, second = asked.endpoint.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert claims_of(first.body)["disclosed"] == claims_of(second.body)["disclosed"]


async def test_a_gateway_killed_between_offer_and_claim_leaves_no_chain_behind(
    lab: Lab,
) -> None:
    """The offered row ends detached; one live session is announced and finished."""
    async with _while_the_endpoint_answers(lab) as asked:
        await _frozen_at_the_offer(lab, asked)
        await lab.stack.processes.kill("gateway")
        await asked.playing
        await lab.stack.start_gateway()
        chain = await _finished(lab, asked.started)
    assert chain.state is ChainState.COMPLETED


async def test_a_gateway_frozen_between_offer_and_claim_makes_no_second_session(
    lab: Lab,
) -> None:
    """After 10 s it goes on where it was, finds the row detached and forwards nothing."""
    async with _while_the_endpoint_answers(lab) as asked:
        await _frozen_at_the_offer(lab, asked)
        await lab.row(asked.started.id, 2, StepState.LIVE)
        await _seconds_after(lab, asked.started, 10)
        lab.stack.processes.signal("gateway", signal.SIGCONT)
        await asked.playing
        chain = await _finished(lab, asked.started)
    assert chain.state is ChainState.COMPLETED


async def test_a_gateway_killed_before_the_offer_is_noticed_by_the_return(
    lab: Lab,
) -> None:
    """The wake-up to its queue comes back, so the session is detached at once."""
    async with _while_the_endpoint_answers(lab) as asked:
        await lab.stack.processes.kill("gateway")
        asked.release.set()
        await asked.playing
        await lab.stack.start_gateway()
        chain = await _finished(lab, asked.started)
    assert chain.state is ChainState.COMPLETED


async def test_workers_end_with_0_on_sigterm(lab: Lab) -> None:
    """Every process of the installation ends in an orderly way when asked (G9)."""
    for name in ("gateway", "callback-1", "callback-2", "session", "history", "clock"):
        assert await lab.stack.processes.stop(name) == 0, name


@dataclass(frozen=True)
class _Asked:
    """A chain whose endpoint has been asked and answers when it is released."""

    started: Started
    playing: asyncio.Task[Outcome]
    endpoint: Endpoint
    release: asyncio.Event


@asynccontextmanager
async def _while_the_endpoint_answers(
    lab: Lab, *, only_first: bool = False
) -> AsyncIterator[_Asked]:
    """A disclosure was shared; the endpoint holds its answer, an issuance, back."""
    asked, release = asyncio.Event(), asyncio.Event()

    async def script(n: int, _: Received) -> web.StreamResponse:
        asked.set()
        if n == 0 or not only_first:
            await release.wait()
        return web.json_response(issuance())

    async with endpoint_at_work(script) as endpoint:
        started = await lab.start(disclosure(f"{endpoint.url}/"))
        playing = asyncio.create_task(Wallet().run(started.pointer))
        async with asyncio.timeout(10):
            await asked.wait()
        yield _Asked(started, playing, endpoint, release)


async def _frozen_at_the_offer(lab: Lab, asked: _Asked) -> None:
    """The gateway is frozen while the row of the next session is offered to it.

    Not before it has nothing to write: its locks would be frozen along with it.
    """
    chain_id = asked.started.id
    await lab.row(chain_id, 1, StepState.COMPLETED)

    async def look() -> bool | None:
        return None if await lab.store.waiting(chain_id=chain_id, limit=1) else True

    await eventually(look)
    lab.stack.processes.signal("gateway", signal.SIGSTOP)
    asked.release.set()
    await lab.row(chain_id, 2, StepState.OFFERED)


async def _finished(lab: Lab, started: Started) -> Chain:
    """Plays the second session where it is, and checks that there was never another."""
    await _play_what_is_live(lab, started)
    chain = await lab.ended(started.id)
    assert lab.watch.types(started.id).count((2, "session.started")) == 1
    assert _sessions_started(lab) == 2
    return chain


async def _play_what_is_live(lab: Lab, started: Started) -> None:
    """The user finishes the second session, if it did not come in flow."""
    row = await lab.row(started.id, 2, StepState.LIVE, StepState.FINISHED)
    if row.state is StepState.LIVE and (package := lab.rows.package(row)) is not None:
        outcome = await Wallet().run(package.session_ptr)
        assert [step.status for step in outcome.steps] == [StepStatus.SUCCESS]


async def _seconds_after(lab: Lab, started: Started, pause_s: float) -> None:
    """The freeze has to last this long: that is the fault itself, not a wait."""
    taken = await lab.watch.until(started.id, "session.completed", 1)
    lasted_s = (datetime.now(UTC) - taken.time).total_seconds()
    await asyncio.sleep(max(pause_s - lasted_s, 0))


def _worker_of(lab: Lab, started: Started) -> str:
    """Which callback worker is at this chain, by its own log."""
    for name in ("callback-1", "callback-2"):
        for line in lab.stack.processes.log(name).read_text().splitlines():
            entry = json.loads(line)
            if (
                entry.get("event") == "callback.posting"
                and entry.get("chain_id") == started.id
            ):
                return name
    raise AssertionError


def _sessions_started(lab: Lab) -> int:
    """How many sessions the pretend IRMA server has started, by its own log."""
    logs = lab.stack.config_file.parent / "around" / "logs" / "sandbox.log"
    text = logs.read_text()
    return text.count('"session_started"') + text.count('"next_session_started"')
