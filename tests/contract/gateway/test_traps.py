"""Traps of an IRMA server (reference irma.md §10) that no recorded chain walks into."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from orchestrator.domain.chain import ChainState, StepState
from orchestrator.proof.endpoints import Endpoint, Received, Script, endpoint_at_work
from orchestrator.sandbox.app_client import AppClient, Failed
from orchestrator.sandbox.credentials import Credential
from orchestrator.sandbox.wallet import StepStatus, Wallet
from schemas.irma import SessionType
from tests.contract.gateway.installations import Begun, Installation
from tests.contract.request_jwts import Json
from tests.contract.sandbox_lab import claims_of
from tests.contract.test_sandbox import STUDENT_CARD

pytestmark = [pytest.mark.contract, pytest.mark.broker, pytest.mark.e2e]

STUDENT_ID = "irma-demo.RU.studentCard.studentID"
PREFIX = "irma-demo.MijnOverheid.fullName.prefix"
DISCLOSURE = "https://irma.app/ld/request/disclosure/v2"

#: How long anything may take that the test waits for.
BOUND_S = 20


def disclosure(attribute: str = STUDENT_ID, **extended: Json) -> Json:
    """A request for one attribute."""
    request = {"@context": DISCLOSURE, "disclose": [[[attribute]]]}
    return {"request": request, **extended}


def issuance_for_disclosure() -> Json:
    """A membership for a student card."""
    attributes = {"fullname": "J", "type": "premium", "id": "1"}
    return {
        "@context": "https://irma.app/ld/request/issuance/v2",
        "credentials": [
            {"credential": "irma-demo.IRMATube.member", "attributes": attributes}
        ],
        "disclose": [[[STUDENT_ID]]],
    }


def expired() -> list[list[Json]]:
    """The student card, no longer valid."""
    return [[{"id": STUDENT_ID, "rawvalue": "456", "expired": True}]]


def valid() -> list[list[Json]]:
    """The student card as it should be."""
    return [[{"id": STUDENT_ID, "rawvalue": "456"}]]


@asynccontextmanager
async def connected(begun: Begun) -> AsyncIterator[AppClient]:
    """An app that has fetched the session request and does as the test says."""
    async with aiohttp.ClientSession() as http:
        app = AppClient(http, begun.pointer.u)
        await app.connect()
        yield app


def asking(*answers: Json) -> Script:
    """An endpoint with these next requests in turn, then 204; repeats get the same."""
    known: list[str] = []

    async def script(_: int, received: Received) -> web.StreamResponse:
        callback = received.headers["webhook-id"]
        if callback not in known:
            known.append(callback)
        number = known.index(callback)
        if number < len(answers):
            return web.json_response(answers[number])
        return web.Response(status=204)

    return script


async def chained(
    installation: Installation, endpoint: Endpoint, attribute: str = STUDENT_ID
) -> Begun:
    """A chain whose first session asks for this attribute."""
    url = {"url": f"{endpoint.url}/next"}
    return await installation.start(disclosure(attribute, nextSession=url))


@pytest.mark.trap("T2", "T3", "T27")
async def test_done_is_no_success_without_valid_proofs(
    wallet_server: Installation,
) -> None:
    """Expired proofs end a disclosure DONE, values and all; the chain has failed."""
    begun = await wallet_server.start(disclosure())
    async with connected(begun) as app:
        await app.prove(SessionType.DISCLOSING, expired())
    chain = await wallet_server.lab.ended(begun.chain_id)
    result = await wallet_server.result(begun.token)
    assert chain.state is ChainState.FAILED
    assert (result["status"], result["proofStatus"]) == ("DONE", "EXPIRED")
    assert result["disclosed"][0][0]["rawvalue"] == "456"


@pytest.mark.trap("T27")
async def test_nothing_is_issued_for_expired_proofs(
    wallet_server: Installation,
) -> None:
    """The issuing session is CANCELLED with the reason, and so is the chain."""
    begun = await wallet_server.start(issuance_for_disclosure())
    async with connected(begun) as app:
        with pytest.raises(Failed):
            await app.prove(SessionType.ISSUING, expired())
    chain = await wallet_server.lab.ended(begun.chain_id)
    result = await wallet_server.result(begun.token)
    assert chain.state is ChainState.CANCELLED
    assert result["status"] == "CANCELLED"
    assert result["error"]["error"] == "ATTRIBUTES_EXPIRED"
    assert result.keys().isdisjoint({"disclosed", "proofStatus"})


@pytest.mark.trap("T4", "T7")
async def test_both_spellings_of_a_callback_are_served(
    wallet_server: Installation,
) -> None:
    """With and without the IRMA server's slash, a signed CANCELLED is taken in."""
    lab = wallet_server.lab
    begun = await wallet_server.start(disclosure())
    step = await lab.row(begun.chain_id, 1, StepState.LIVE)
    url = lab.rows.prepared(step).callback_url
    assert url is not None
    session = f"{wallet_server.irma_server_url}/session/{begun.token}"
    await wallet_server.call("DELETE", session)
    async with lab.http.get(f"{session}/result-jwt") as response:
        signed = await response.text()
    for spelling in (url, f"{url}/"):
        async with lab.http.post(
            spelling,
            data=signed,
            headers={"Content-Type": "text/plain"},
            allow_redirects=False,
        ) as response:
            assert response.status == 204
    chain = await lab.ended(begun.chain_id)
    assert chain.state is ChainState.CANCELLED


@pytest.mark.trap("T9")
async def test_a_repeated_bridge_post_has_one_effect(
    wallet_server: Installation,
) -> None:
    """One callback id, one next session, and the user goes on in the flow."""
    async with (
        endpoint_at_work(asking(disclosure())) as endpoint,
        wallet_server.faults(duplicate_post={"times": 1}),
    ):
        begun = await chained(wallet_server, endpoint)
        outcome = await Wallet([STUDENT_CARD]).run(begun.pointer)
        chain = await wallet_server.lab.ended(begun.chain_id)
    assert [step.status for step in outcome.steps] == [StepStatus.SUCCESS] * 2
    assert chain.state is ChainState.COMPLETED
    assert len({one.headers["webhook-id"] for one in endpoint.received}) == 1
    types = wallet_server.lab.watch.types(begun.chain_id)
    assert types.count((2, "session.started")) == 1


@pytest.mark.trap("T20")
async def test_cancelling_the_first_session_leaves_the_live_one(
    wallet_server: Installation,
) -> None:
    """A browser's cancel hits a session that is DONE; the user finishes the chain."""
    asked = 0

    async def cancelled_meanwhile(_: Json) -> bool:
        nonlocal asked
        asked += 1
        if asked > 1:
            await wallet_server.call("DELETE", begun.pointer.u)
        return True

    async with endpoint_at_work(asking(disclosure())) as endpoint:
        begun = await chained(wallet_server, endpoint)
        await Wallet([STUDENT_CARD]).run(begun.pointer, cancelled_meanwhile)
        chain = await wallet_server.lab.ended(begun.chain_id)
    assert asked == 2
    assert chain.state is ChainState.COMPLETED
    results = await wallet_server.results(begun.token)
    assert [result["status"] for result in results] == ["DONE", "DONE"]


@pytest.mark.trap("T6", "T21")
async def test_one_frontend_token_for_all_steps(wallet_server: Installation) -> None:
    """The browser follows three sessions with what it was given for the first."""
    async with endpoint_at_work() as endpoint:
        following = {"url": f"{endpoint.url}/next"}
        endpoint.script = asking(disclosure(nextSession=following), disclosure())
        begun = await chained(wallet_server, endpoint)
        await Wallet([STUDENT_CARD]).run(begun.pointer)
    statuses = [await wallet_server.frontend(begun)]
    while (pointer := statuses[-1].get("nextSession")) is not None:
        statuses.append(await wallet_server.frontend(begun, pointer["u"]))
    assert [status["status"] for status in statuses] == ["DONE"] * 3


@pytest.mark.trap("T24")
async def test_a_null_attribute_stays_null(wallet_server: Installation) -> None:
    """It satisfies a plain request, and the next step discloses it again as null."""
    names = {"firstname": "J", "familyname": "S", "firstnames": "J", "prefix": None}
    wallet = Wallet([STUDENT_CARD, Credential("irma-demo.MijnOverheid.fullName", names)])
    async with endpoint_at_work(asking(disclosure())) as endpoint:
        begun = await chained(wallet_server, endpoint, PREFIX)
        await wallet.run(begun.pointer)
        await wallet_server.lab.ended(begun.chain_id)
    (posted,) = claims_of(endpoint.received[0].body)["disclosed"][0]
    second = (await wallet_server.results(begun.token))[1]
    assert (posted["rawvalue"], posted["value"]) == (None, None)
    assert posted["status"] == "NULL"
    assert second["disclosed"][1] == [posted]


@pytest.mark.trap("T28")
async def test_timeout_is_for_the_time_before_the_app(
    wallet_server: Installation,
) -> None:
    """When an unscanned session has timed out, an older one with an app goes on."""
    begun = await wallet_server.start(disclosure(timeout=1))
    async with connected(begun) as app:
        younger = await wallet_server.start(disclosure(timeout=1))
        chain = await wallet_server.lab.ended(younger.chain_id)
        assert chain.state is ChainState.EXPIRED
        await app.prove(SessionType.DISCLOSING, valid())
    chain = await wallet_server.lab.ended(begun.chain_id)
    assert chain.state is ChainState.COMPLETED


@pytest.mark.trap("T29")
async def test_results_outlive_the_irma_server(wallet_server: Installation) -> None:
    """An IRMA server that restarted knows no session any more; we do."""
    begun = await wallet_server.start(disclosure())
    async with connected(begun) as app:
        await app.prove(SessionType.DISCLOSING, valid())
    await wallet_server.lab.ended(begun.chain_id)
    before = await wallet_server.result(begun.token)
    url = f"{wallet_server.irma_server_url}/sandbox/restart"
    async with wallet_server.lab.http.post(url) as response:
        assert response.status == 204
    session = f"{wallet_server.irma_server_url}/session/{begun.token}"
    async with wallet_server.lab.http.get(f"{session}/result") as response:
        assert (await response.json())["error"] == "SESSION_UNKNOWN"
    assert await wallet_server.result(begun.token) == before
    assert before["proofStatus"] == "VALID"


@pytest.mark.trap("T30", "T31")
async def test_proofs_of_a_failed_chain_are_seen_until_it_is_cancelled(
    wallet_server: Installation,
) -> None:
    """Before the app deletes its session it is CONNECTED and VALID, then bare."""

    async def gone(_: int, __: Received) -> web.StreamResponse:
        return web.Response(status=410)

    async with endpoint_at_work(gone) as endpoint:
        begun = await chained(wallet_server, endpoint)
        async with connected(begun) as app:
            with pytest.raises(Failed):
                await app.prove(SessionType.DISCLOSING, valid())
            pending = await wallet_server.result(begun.token)
            await app.delete()
        over = await wallet_server.result(begun.token)
    assert (pending["status"], pending["proofStatus"]) == ("CONNECTED", "VALID")
    assert over == {"token": begun.token, "status": "CANCELLED", "type": "disclosing"}


@pytest.mark.trap("T37")
async def test_events_do_not_begin_with_the_state(wallet_server: Installation) -> None:
    """Who subscribes to a CONNECTED session hears of DONE only, and has to look once."""
    begun = await wallet_server.start(disclosure())
    session = f"{wallet_server.gateway_url}/session/{begun.token}"
    async with (
        asyncio.timeout(BOUND_S),
        connected(begun) as app,
        wallet_server.lab.http.get(f"{session}/statusevents") as stream,
    ):
        assert stream.content_type == "text/event-stream"
        assert (await stream.content.readline()).startswith(b"event: open")
        assert await wallet_server.call("GET", f"{session}/status") == "CONNECTED"
        await app.prove(SessionType.DISCLOSING, valid())
        rest = (await stream.content.read()).decode()
    assert [line for line in rest.splitlines() if line] == ['data: "DONE"']
