"""The IRMA server loses what it had: an update, or everything it knew."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import pytest
from aiohttp import web

from orchestrator.domain.chain import ChainState, StepState
from orchestrator.proof.endpoints import Received, endpoint_at_work
from orchestrator.proof.lab import BOUND_S, LOOK_S, Lab, disclosure, issuance
from orchestrator.sandbox.wallet import StepStatus, Wallet

pytestmark = pytest.mark.faults


@pytest.mark.trap("T38")
async def test_a_session_whose_update_was_lost_is_started_again(lab: Lab) -> None:
    """The app was handed the next session and cut off: ours requires the same values."""

    async def script(_: int, __: Received) -> web.StreamResponse:
        return web.json_response(issuance())

    async with endpoint_at_work(script) as endpoint:
        await _put_faults(lab, {"lost_update": {"times": 1}})
        started = await lab.start(disclosure(f"{endpoint.url}/"))
        (cut_off,) = (await Wallet().run(started.pointer)).steps
        row = await lab.row(started.id, 2, StepState.LIVE)
        package = lab.rows.package(row)
        assert package is not None
        (again,) = (await Wallet().run(package.session_ptr)).steps
        chain = await lab.ended(started.id)

    assert cut_off.status is StepStatus.FAILURE
    assert again.status is StepStatus.SUCCESS
    assert again.disclosed == cut_off.disclosed
    assert chain.state is ChainState.COMPLETED
    assert lab.watch.types(started.id).count((2, "session.started")) == 1


async def test_a_live_session_that_a_restart_has_lost_expires_its_chain(lab: Lab) -> None:
    """The clock looks every 20 s; the chain can be replayed (H6)."""
    started = await lab.start(disclosure())
    url = f"{lab.stack.irma_server_url}/sandbox/restart"
    async with lab.http.post(url) as response:
        assert response.status == HTTPStatus.NO_CONTENT
    either = (StepState.LIVE, StepState.EXPIRED)
    async with asyncio.timeout(2 * BOUND_S):
        while (  # noqa: ASYNC110 - rows make no noise
            await lab.row(started.id, 1, *either)
        ).state is StepState.LIVE:
            await asyncio.sleep(LOOK_S)
    assert (await lab.ended(started.id)).state is ChainState.EXPIRED


async def _put_faults(lab: Lab, faults: dict[str, dict[str, int]]) -> None:
    url = f"{lab.stack.irma_server_url}/sandbox/faults"
    async with lab.http.put(url, json=faults) as response:
        assert response.status == HTTPStatus.OK
