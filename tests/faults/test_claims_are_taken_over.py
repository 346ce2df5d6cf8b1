"""A worker dies with something in hand that is its own; another one takes it over."""

from __future__ import annotations

import asyncio
import json
import signal

import pytest
from aiohttp import web

from orchestrator.domain.chain import ChainState, StepState
from orchestrator.proof.endpoints import Received, endpoint_at_work
from orchestrator.proof.lab import BOUND_S, LOOK_S, Lab, disclosure, issuance
from orchestrator.sandbox.wallet import StepStatus, Wallet

pytestmark = pytest.mark.faults


async def test_a_start_whose_worker_was_killed_is_taken_over(lab: Lab) -> None:
    """It had the lease, and the IRMA server was silent: one session is announced (G2)."""

    async def later(_: int, __: Received) -> web.StreamResponse:
        return web.Response(status=202)

    async with endpoint_at_work(later) as endpoint:
        started = await lab.start(disclosure(f"{endpoint.url}/"))
        await Wallet().run(started.pointer)
        url = endpoint.received[0].headers["Chain-Reply-To"]
    lab.stack.around.signal("sandbox", signal.SIGSTOP)
    async with lab.http.post(url, data=json.dumps(issuance())) as response:
        assert response.status == 204
    await lab.row(started.id, 2, StepState.STARTING)
    await lab.stack.processes.kill("session")
    lab.stack.around.signal("sandbox", signal.SIGCONT)
    await lab.stack.start_worker("session")

    async with asyncio.timeout(2 * BOUND_S):
        while (  # noqa: ASYNC110 - rows make no noise
            row := await lab.row(started.id, 2, StepState.STARTING, StepState.LIVE)
        ).state is StepState.STARTING:
            await asyncio.sleep(LOOK_S)
    package = lab.rows.package(row)
    assert package is not None
    (second,) = (await Wallet().run(package.session_ptr)).steps
    assert second.status is StepStatus.SUCCESS
    assert (await lab.ended(started.id)).state is ChainState.COMPLETED
    assert lab.watch.types(started.id).count((2, "session.started")) == 1
