"""Whole chains over real processes: gateway, workers, sandbox, wallet, endpoint."""

from __future__ import annotations

import asyncio
import json

import jwt
import pytest
from aiohttp import web

from orchestrator.domain.chain import ChainState, StepState
from orchestrator.local.endpoint import FULLNAME
from orchestrator.ports import Waiting
from orchestrator.proof.endpoints import Received, endpoint_at_work
from orchestrator.proof.lab import Json, Lab, disclosure, eventually, issuance
from orchestrator.sandbox.user import decline
from orchestrator.sandbox.wallet import StepStatus, Wallet
from schemas.irma import SessionType
from tests.contract.sandbox_lab import claims_of

pytestmark = pytest.mark.e2e

NAME = {"irma-demo.gemeente.personalData.fullname"}


def answer(request: Json) -> web.Response:
    """The endpoint's 200 with a session request."""
    return web.json_response(request)


async def test_a_disclosed_name_is_issued_in_the_same_flow(lab: Lab) -> None:
    """Disclosure, issuance by the endpoint's answer, 204: all in one flow of the app."""

    async def script(n: int, _: Received) -> web.StreamResponse:
        return (
            answer(issuance(f"{endpoint.url}/done"))
            if n == 0
            else web.Response(status=204)
        )

    async with endpoint_at_work(script) as endpoint:
        started = await lab.start(disclosure(f"{endpoint.url}/first"))
        outcome = await Wallet().run(started.pointer)
        chain = await lab.ended(started.id)
        await lab.watch.until(started.id, "session.finished", 2)

    assert [(step.type, step.status) for step in outcome.steps] == [
        (SessionType.DISCLOSING, StepStatus.SUCCESS),
        (SessionType.ISSUING, StepStatus.SUCCESS),
    ]
    assert chain.state is ChainState.COMPLETED
    assert [received.path for received in endpoint.received] == ["/first", "/done"]
    told = [step for step in lab.watch.types(started.id) if "finished" not in step[1]]
    assert told == [
        (1, "chain.started"),
        (1, "session.requested"),
        (1, "session.started"),
        (1, "session.completed"),
        (1, "callback.answered"),
        (2, "session.requested"),
        (2, "session.started"),
        (2, "session.completed"),
        (2, "callback.answered"),
        (2, "chain.completed"),
    ]
    events = lab.watch.of(started.id)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))


async def test_the_posted_result_is_a_jwt_as_an_irma_server_signs_it(lab: Lab) -> None:
    """Header, claims and HTTP headers are an IRMA server's; ours are added."""
    async with endpoint_at_work() as endpoint:
        started = await lab.start(disclosure(f"{endpoint.url}/a%2Fb?c=d", validity=77))
        await Wallet().run(started.pointer)
        await lab.ended(started.id)
    (received,) = endpoint.received
    _, pem = await lab.get("/publickey")
    claims = jwt.decode(received.body, pem, algorithms=["RS256"])
    assert jwt.get_unverified_header(received.body) == {"alg": "RS256", "typ": "JWT"}
    assert claims["exp"] - claims["iat"] == 77
    assert claims["sub"] == "disclosing_result"
    assert claims["iss"] == "irmaserver"
    assert (claims["status"], claims["proofStatus"]) == ("CONNECTED", "VALID")
    assert claims["token"] == started.token
    assert received.path == "/a%2Fb?c=d"
    assert received.headers["Content-Type"] == "text/plain; charset=UTF-8"
    assert received.headers["User-Agent"] == "irmago"
    assert received.headers["Chain-Id"] == started.id
    assert received.headers["Chain-Step"] == "1"
    assert "." not in received.headers["webhook-id"]


async def test_a_plain_answer_ends_the_chain_with_its_session(lab: Lab) -> None:
    """The seed's own answer has no `nextSession`: the issuance is the last step."""

    async def script(_: int, __: Received) -> web.StreamResponse:
        return answer(issuance())

    async with endpoint_at_work(script) as endpoint:
        started = await lab.start(disclosure(f"{endpoint.url}/"))
        outcome = await Wallet().run(started.pointer)
        chain = await lab.ended(started.id)
    assert [step.status for step in outcome.steps] == [StepStatus.SUCCESS] * 2
    assert chain.state is ChainState.COMPLETED
    assert len(endpoint.received) == 1


async def test_204_at_once_ends_the_chain_at_its_first_step(lab: Lab) -> None:
    """The endpoint wants nothing more, so the user is done after one session."""
    async with endpoint_at_work() as endpoint:
        started = await lab.start(disclosure(f"{endpoint.url}/"))
        outcome = await Wallet().run(started.pointer)
        chain = await lab.ended(started.id)
    assert [step.status for step in outcome.steps] == [StepStatus.SUCCESS]
    assert chain.state is ChainState.COMPLETED


async def test_a_session_without_next_is_a_chain_of_one_step(lab: Lab) -> None:
    """Its final state ends the chain, and the requestor can read status and result."""
    started = await lab.start(disclosure())
    await Wallet().run(started.pointer)
    chain = await lab.ended(started.id)
    assert chain.state is ChainState.COMPLETED
    assert await lab.get(f"/session/{started.token}/status") == (200, '"DONE"')
    _, text = await lab.get(f"/session/{started.token}/result")
    result = json.loads(text)
    assert result["proofStatus"] == "VALID"
    assert result["disclosed"][0][0]["id"] == FULLNAME
    _, token = await lab.get(f"/session/{started.token}/result-jwt")
    assert claims_of(token)["disclosed"] == result["disclosed"]


async def test_three_steps_run_in_one_flow(lab: Lab) -> None:
    """Disclose, issue, disclose again; what was disclosed is disclosed along."""

    async def script(n: int, _: Received) -> web.StreamResponse:
        answers = {0: issuance(f"{endpoint.url}/2"), 1: disclosure(f"{endpoint.url}/3")}
        return answer(answers[n]) if n in answers else web.Response(status=204)

    async with endpoint_at_work(script) as endpoint:
        started = await lab.start(disclosure(f"{endpoint.url}/1"))
        outcome = await Wallet().run(started.pointer)
        chain = await lab.ended(started.id)
    assert [step.status for step in outcome.steps] == [StepStatus.SUCCESS] * 3
    assert chain.state is ChainState.COMPLETED
    assert [received.path for received in endpoint.received] == ["/1", "/2", "/3"]
    last = claims_of(endpoint.received[2].body)["disclosed"]
    assert [group[0]["id"] for group in last] == [FULLNAME, FULLNAME]


async def test_503_twice_is_retried_while_the_app_waits(lab: Lab) -> None:
    """Live retries after 250 and 500 ms keep the user in the flow, under one id."""

    async def script(n: int, _: Received) -> web.StreamResponse:
        if n < 2:
            return web.Response(status=503)
        return answer(issuance()) if n == 2 else web.Response(status=204)

    async with endpoint_at_work(script) as endpoint:
        started = await lab.start(disclosure(f"{endpoint.url}/"))
        outcome = await Wallet().run(started.pointer)
        await lab.ended(started.id)
    assert [step.status for step in outcome.steps] == [StepStatus.SUCCESS] * 2
    assert len({received.headers["webhook-id"] for received in endpoint.received}) == 1
    first, second, third = (received.at_s for received in endpoint.received)
    assert second - first >= 0.25
    assert third - second >= 0.5
    assert lab.watch.types(started.id).count((1, "callback.retrying")) == 2


async def test_an_endpoint_of_6_s_detaches_the_next_session(lab: Lab) -> None:
    """The user's session ends well; the next one is started on its own and finished."""

    async def script(_: int, __: Received) -> web.StreamResponse:
        await asyncio.sleep(6)
        return answer(issuance())

    async with endpoint_at_work(script) as endpoint:
        started = await lab.start(disclosure(f"{endpoint.url}/"))
        outcome = await Wallet().run(started.pointer)
        row = await lab.row(started.id, 2, StepState.LIVE)
        package = lab.rows.package(row)
        assert package is not None
        second = await Wallet().run(package.session_ptr)
        chain = await lab.ended(started.id)
    assert [step.status for step in outcome.steps] == [StepStatus.SUCCESS]
    assert outcome.steps[0].ended_at_s < 4.2
    assert [step.status for step in second.steps] == [StepStatus.SUCCESS]
    assert chain.state is ChainState.COMPLETED
    assert len(endpoint.received) == 1


@pytest.mark.parametrize("status", [410, 404, 302])
async def test_a_final_refusal_reaches_the_app_and_fails_the_chain(
    lab: Lab, status: int
) -> None:
    """In flow the app sees IRMA's own NEXT_SESSION error; the chain keeps the reason."""

    async def script(_: int, __: Received) -> web.StreamResponse:
        return web.Response(status=status)

    async with endpoint_at_work(script) as endpoint:
        started = await lab.start(disclosure(f"{endpoint.url}/"))
        outcome = await Wallet().run(started.pointer)
        chain = await lab.ended(started.id)
    assert outcome.status is StepStatus.FAILURE
    assert isinstance(outcome.steps[0].error, dict)
    assert outcome.steps[0].error["error"] == "NEXT_SESSION"
    assert chain.state is ChainState.FAILED
    assert chain.reason is not None
    assert str(status) in chain.reason
    assert len(endpoint.received) == 1


@pytest.mark.parametrize(
    "body,reason",
    [
        (b"", "the answer is no session request"),
        (b"{}", "Failed to JSON unmarshal"),
        (
            b'{"@context":"https://irma.app/ld/request/disclosure/v2","disclose":[[["a.b"]]]}',
            "disclose[0][0][0]: Expected attribute request to consist of 4 or 3 parts",
        ),
    ],
)
async def test_an_answer_that_is_no_request_fails_the_chain(
    lab: Lab, body: bytes, reason: str
) -> None:
    """The reason names the field; nothing is started and nothing retried."""

    async def script(_: int, __: Received) -> web.StreamResponse:
        return web.Response(body=body)

    async with endpoint_at_work(script) as endpoint:
        started = await lab.start(disclosure(f"{endpoint.url}/"))
        await Wallet().run(started.pointer)
        chain = await lab.ended(started.id)
    assert chain.state is ChainState.FAILED
    assert chain.reason is not None
    assert reason in chain.reason


async def test_a_user_who_declines_cancels_the_chain(lab: Lab) -> None:
    """The IRMA server's CANCELLED ends the chain; the endpoint is never asked."""
    async with endpoint_at_work() as endpoint:
        started = await lab.start(disclosure(f"{endpoint.url}/"))
        await Wallet().run(started.pointer, decline)
        chain = await lab.ended(started.id)
    assert chain.state is ChainState.CANCELLED
    assert endpoint.received == []


async def test_a_user_who_declines_the_second_step_cancels_the_chain(lab: Lab) -> None:
    """The session the app was forwarded to is known by look-up, then by its callback."""
    asked = 0

    async def only_the_first(_: Json) -> bool:
        nonlocal asked
        asked += 1
        return asked == 1

    async def script(_: int, __: Received) -> web.StreamResponse:
        return answer(issuance())

    async with endpoint_at_work(script) as endpoint:
        started = await lab.start(disclosure(f"{endpoint.url}/"))
        await Wallet().run(started.pointer, only_the_first)
        chain = await lab.ended(started.id)
    assert chain.state is ChainState.CANCELLED
    await lab.watch.until(started.id, "session.cancelled", 2)


async def test_a_session_nobody_scans_expires_the_chain(lab: Lab) -> None:
    """The IRMA server's TIMEOUT ends the chain, whoever notices it first."""
    started = await lab.start(disclosure("http://127.0.0.1:9/", timeout=1))
    chain = await lab.ended(started.id)
    assert chain.state is ChainState.EXPIRED
    await lab.watch.until(started.id, "session.expired", 1)


async def test_a_requestor_can_cancel_its_session(lab: Lab) -> None:
    """DELETE goes to the IRMA server, whose callback ends the chain."""
    started = await lab.start(disclosure("http://127.0.0.1:9/"))
    url = f"{lab.stack.gateway_url}/session/{started.token}"
    async with lab.http.delete(url) as response:
        assert (response.status, await response.text()) == (200, "")
    chain = await lab.ended(started.id)
    assert chain.state is ChainState.CANCELLED
    assert await lab.get(f"/session/{started.token}/status") == (200, '"CANCELLED"')


async def test_the_requestors_own_callback_url_gets_the_final_result(lab: Lab) -> None:
    """Once per final state, by the same engine; its answer is ignored."""
    got = asyncio.Event()

    async def script(_: int, __: Received) -> web.StreamResponse:
        got.set()
        return web.Response(status=200, text="thanks")

    async with endpoint_at_work(script) as endpoint:
        started = await lab.start(disclosure(callbackUrl=f"{endpoint.url}/cb?x=1"))
        await Wallet().run(started.pointer)
        async with asyncio.timeout(10):
            await got.wait()
        await lab.watch.until(started.id, "callback.answered", 1)
    (received,) = endpoint.received
    assert received.path == "/cb?x=1"
    assert claims_of(received.body)["status"] == "DONE"


async def test_an_unreachable_endpoint_leaves_a_waiting_row(lab: Lab) -> None:
    """Refused connections use up the live clock; the next try waits as a row."""
    started = await lab.start(disclosure("http://127.0.0.1:9/"))
    outcome = await Wallet().run(started.pointer)
    assert [step.status for step in outcome.steps] == [StepStatus.SUCCESS]
    assert outcome.steps[0].ended_at_s < 3.0  # nothing is waited for that cannot come

    async def look() -> Waiting | None:
        rows = await lab.store.waiting(chain_id=started.id, limit=10)
        return next((row for row in rows if row.kind == "retry"), None)

    row = await eventually(look)
    assert row.endpoint == "http://127.0.0.1:9"
