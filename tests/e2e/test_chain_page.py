"""The chain page as the app's way back: its own installation, with the option set."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from orchestrator.local.rabbitmq import Broker
from orchestrator.local.stack import Plan
from orchestrator.proof.endpoints import Received, endpoint_at_work
from orchestrator.proof.lab import (
    BOUND_S,
    Json,
    Lab,
    disclosure,
    issuance,
    lab_at_work,
)
from orchestrator.sandbox.wallet import StepStatus, Wallet
from schemas.chain_page import ChainPage, PageState
from schemas.irma import parse_session_package

pytestmark = pytest.mark.e2e

SHOP = "https://shop.example/back?order=1"


@pytest.fixture(scope="module")
async def paged(
    broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Lab]:
    """An installation whose apps return to the chain page."""
    overrides = {"augment_chain_page": True, "augment_client_return_url": True}
    plan = Plan(endpoint=False, overrides=overrides)
    run_dir = tmp_path_factory.mktemp("paged")
    async with (
        broker.vhost(f"paged-{secrets.token_hex(6)}") as url,
        lab_at_work(run_dir, url, plan) as running,
    ):
        yield running


def returning(request: Json) -> Json:
    """The request, to return to the shop with the session's token."""
    plain = request["request"]
    assert isinstance(plain, dict)
    more: Json = {"clientReturnUrl": SHOP, "augmentReturnUrl": True}
    return request | {"request": plain | more}


async def told(lab: Lab, page: str) -> list[ChainPage]:
    """All that the page's events tell, until they end by themselves."""
    async with lab.http.get(f"{page}/statusevents") as response:
        assert response.status == 200
        return [
            ChainPage.model_validate_json(line.removeprefix(b"data: "))
            async for line in response.content
            if line.startswith(b"data: ")
        ]


async def test_the_app_returns_to_the_page_and_the_page_to_the_shop(paged: Lab) -> None:
    """In both steps, whoever started them; the token is that of the last session."""

    async def script(n: int, _: Received) -> web.StreamResponse:
        if n == 0:
            return web.json_response(returning(issuance(f"{endpoint.url}/2")))
        return web.Response(status=204)

    async with endpoint_at_work(script) as endpoint:
        request = returning(disclosure(f"{endpoint.url}/1"))
        async with paged.post_session(json.dumps(request).encode()) as response:
            package = parse_session_package(await response.read())
            page, chain_id = response.headers["Chain-Page"], response.headers["Chain-Id"]
        telling = asyncio.create_task(told(paged, page))
        outcome = await Wallet().run(package.session_ptr)
        await paged.ended(chain_id)
        async with asyncio.timeout(BOUND_S):
            states = await telling
    assert [step.status for step in outcome.steps] == [StepStatus.SUCCESS] * 2
    for step in outcome.steps:
        assert step.requested is not None
        assert step.requested["clientReturnUrl"] == page
    rows = [row for row in await paged.store.steps(chain_id) if row.slot.step == 2]
    token = paged.rows.token(rows[0])
    assert states[-1].state is PageState.COMPLETED
    assert states[-1].return_url == f"{SHOP}&token={token}"
    assert len({state.revision for state in states}) == len(states)
