"""Following and cancelling sessions by their tokens (irma.md §1)."""

from __future__ import annotations

import pytest

from orchestrator.domain.chain import StepState
from schemas.messages import End
from tests.support.asgi import Answer, call
from tests.support.fakes import token_of
from tests.support.samples import TARGET, disclosure, issuance, result_of
from tests.support.workshop import Begun, Workshop

#: What can be asked about a session.
ASKED = ("status", "result", "result-jwt")


async def get(workshop: Workshop, token: str, what: str = "result") -> Answer:
    """What is answered about a session."""
    return await call(workshop.gateway, "GET", f"/session/{token}/{what}")


async def test_a_running_session_is_looked_up_at_its_backend(workshop: Workshop) -> None:
    """Nothing is stored yet, so the backend's own words are passed on."""
    begun = await workshop.begin()
    running = result_of(begun.token, "CONNECTED", None)
    workshop.backend.results[begun.token] = running
    answer = await get(workshop, begun.token)
    assert (answer.status, answer.json) == (200, running.to_wire())
    assert (await get(workshop, begun.token, "status")).body == b'"CONNECTED"'


async def test_a_final_session_is_ours(workshop: Workshop) -> None:
    """What was stored is told, also when the backend has forgotten or is away."""
    begun = await workshop.begin(disclosure())
    done = result_of(begun.token, "DONE")
    await workshop.report(begun.slot, done)
    workshop.backend.unreachable = True
    assert (await get(workshop, begun.token)).json == done.to_wire()
    assert (await get(workshop, begun.token, "status")).body == b'"DONE"'
    assert workshop.backend.asked == []


async def test_a_proved_session_is_told_when_its_backend_forgot_it(
    workshop: Workshop,
) -> None:
    """The result was taken in by the bridge; its final state never came."""
    begun = await workshop.begin()
    await workshop.carry_on(workshop.callback(begun.slot, begun.token), issuance())
    assert (await workshop.row(begun.slot)).state is StepState.COMPLETED
    answer = await get(workshop, begun.token)
    assert answer.fields["status"] == "CONNECTED"
    assert answer.fields["proofStatus"] == "VALID"


async def test_a_proved_session_is_done_when_its_backend_forgot_it(
    workshop: Workshop,
) -> None:
    """A purge comes only after the end, so its result stands as that of a DONE one."""
    begun = await workshop.begin()
    await workshop.carry_on(workshop.callback(begun.slot, begun.token), issuance())
    workshop.clock.advance(20)
    await workshop.beat()
    assert (await get(workshop, begun.token, "status")).body == b'"DONE"'
    assert (await get(workshop, begun.token)).fields["proofStatus"] == "VALID"


async def detached(workshop: Workshop) -> Begun:
    """A chain whose second session was started on its own."""
    begun = await workshop.begin()
    await workshop.carry_on(workshop.callback(begun.slot, begun.token), issuance())
    await workshop.starter().start(begun.slot.following)
    await workshop.report(begun.slot, result_of(begun.token, "DONE"))
    return begun


async def test_the_next_sessions_token_is_in_the_result(workshop: Workshop) -> None:
    """As at an IRMA server, though that has not started it."""
    begun = await detached(workshop)
    answer = await get(workshop, begun.token)
    assert answer.fields["nextSession"] == token_of(2)
    assert answer.fields["status"] == "DONE"


async def test_the_next_session_can_be_followed_by_that_token(
    workshop: Workshop,
) -> None:
    """It is a session like any other."""
    await detached(workshop)
    running = result_of(token_of(2), "INITIALIZED", None)
    workshop.backend.results[token_of(2)] = running
    assert (await get(workshop, token_of(2), "status")).body == b'"INITIALIZED"'


async def test_a_result_jwt_holds_for_the_requests_validity(workshop: Workshop) -> None:
    """Signed afresh each time, as text."""
    begun = await workshop.begin(disclosure(validity=77))
    workshop.backend.results[begun.token] = result_of(begun.token)
    answer = await get(workshop, begun.token, "result-jwt")
    assert (answer.status, answer.body) == (200, b"header.claims.1")
    assert answer.headers["content-type"].startswith("text/plain")
    ((result, validity_s, at),) = workshop.signer.signed
    assert (result["token"], validity_s, at) == (begun.token, 77, workshop.clock.now)


async def test_without_a_key_there_is_no_jwt(workshop: Workshop) -> None:
    """500 EXCEPTION, as the IRMA server."""
    begun = await workshop.begin(disclosure())
    workshop.signer.public_key_pem = None
    answer = await get(workshop, begun.token, "result-jwt")
    assert (answer.status, answer.fields["error"]) == (500, "EXCEPTION")
    assert answer.fields["message"] == "JWT signing not supported"


@pytest.mark.parametrize("what", ASKED)
async def test_an_unknown_token_is_an_unknown_session(
    workshop: Workshop, what: str
) -> None:
    """Neither ours nor asked for at the backend."""
    await workshop.begin()
    answer = await get(workshop, "A" * 20, what)
    assert (answer.status, answer.fields["error"]) == (400, "SESSION_UNKNOWN")
    assert workshop.backend.asked == []


@pytest.mark.parametrize("what", ASKED)
async def test_what_is_no_token_is_an_invalid_request(
    workshop: Workshop, what: str
) -> None:
    """With the IRMA server's message."""
    answer = await get(workshop, "short", what)
    assert (answer.status, answer.fields["error"]) == (400, "INVALID_REQUEST")
    assert "requestorToken" in str(answer.fields["message"])


@pytest.mark.parametrize("around", ["{}x", "x{}", "x-{}", "{} ", "{0}{0}"])
async def test_a_token_is_all_of_its_segment(workshop: Workshop, around: str) -> None:
    """The IRMA server's pattern is not anchored (irma.md §1), but only a check."""
    begun = await workshop.begin(disclosure())
    await workshop.report(begun.slot, result_of(begun.token, "DONE"))
    answer = await get(workshop, around.format(begun.token), "status")
    assert (answer.status, answer.fields["error"]) == (400, "SESSION_UNKNOWN")
    answer = await call(
        workshop.gateway, "DELETE", f"/session/{around.format(begun.token)}"
    )
    assert (answer.status, answer.fields["error"]) == (400, "SESSION_UNKNOWN")


@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_session_is_cancelled_with_and_without_slash(
    workshop: Workshop, slash: str
) -> None:
    """As both lead to one route of an IRMA server."""
    begun = await workshop.begin(disclosure())
    answer = await call(workshop.gateway, "DELETE", f"/session/{begun.token}{slash}")
    assert (answer.status, answer.body) == (200, b"")
    assert workshop.backend.cancelled == [begun.token]


async def test_a_session_that_its_backend_forgot_is_unknown(workshop: Workshop) -> None:
    """Nothing was stored and nobody knows more."""
    begun = await workshop.begin()
    answer = await get(workshop, begun.token)
    assert (answer.status, answer.fields["error"]) == (400, "SESSION_UNKNOWN")


async def test_a_backend_that_is_away_is_told(workshop: Workshop) -> None:
    """503 while only the backend could answer."""
    begun = await workshop.begin()
    workshop.backend.unreachable = True
    assert (await get(workshop, begun.token)).status == 503


async def test_a_proved_session_is_told_while_its_backend_is_away(
    workshop: Workshop,
) -> None:
    """What we have taken in ourselves needs nobody else."""
    begun = await workshop.begin()
    await workshop.carry_on(workshop.callback(begun.slot, begun.token), issuance())
    workshop.backend.unreachable = True
    answer = await get(workshop, begun.token)
    assert (answer.status, answer.fields["proofStatus"]) == (200, "VALID")


async def test_a_session_is_cancelled_at_its_backend(workshop: Workshop) -> None:
    """Empty 200; the chain ends by what the backend then tells us."""
    begun = await workshop.begin()
    answer = await call(workshop.gateway, "DELETE", f"/session/{begun.token}")
    assert (answer.status, answer.body) == (200, b"")
    assert workshop.backend.cancelled == [begun.token]
    assert (await workshop.row(begun.slot)).state is StepState.LIVE


async def test_a_session_that_its_backend_forgot_cannot_be_cancelled(
    workshop: Workshop,
) -> None:
    """Unknown like its result; one whose result was taken in is just over."""
    begun = await workshop.begin()
    workshop.backend.forgotten.add(begun.token)
    answer = await call(workshop.gateway, "DELETE", f"/session/{begun.token}")
    assert (answer.status, answer.fields["error"]) == (400, "SESSION_UNKNOWN")
    await workshop.carry_on(workshop.callback(begun.slot, begun.token), issuance())
    answer = await call(workshop.gateway, "DELETE", f"/session/{begun.token}")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.trap("T32")
async def test_a_session_is_cancelled_without_credentials(workshop: Workshop) -> None:
    """Its token is the secret, as at an IRMA server; others' headers do not matter."""
    begun = await workshop.begin()
    headers = {"Authorization": "somebody else's"}
    path = f"/session/{begun.token}"
    answer = await call(workshop.gateway, "DELETE", path, headers=headers)
    assert answer.status == 200
    assert workshop.backend.cancelled == [begun.token]


@pytest.mark.trap("T32")
async def test_a_final_session_is_not_cancelled_again(workshop: Workshop) -> None:
    """Empty 200 all the same (irma.md §1)."""
    begun = await workshop.begin(disclosure(TARGET))
    await workshop.report(begun.slot, result_of(begun.token, "CANCELLED", None))
    answer = await call(workshop.gateway, "DELETE", f"/session/{begun.token}")
    assert (answer.status, answer.body) == (200, b"")
    assert workshop.backend.cancelled == []


async def test_an_unknown_session_cannot_be_cancelled(workshop: Workshop) -> None:
    """400, as the IRMA server."""
    answer = await call(workshop.gateway, "DELETE", f"/session/{'A' * 20}")
    assert (answer.status, answer.fields["error"]) == (400, "SESSION_UNKNOWN")


@pytest.mark.parametrize("failed", [True, False])
async def test_a_lost_update_of_the_backend_is_told_by_the_chain(
    workshop: Workshop, *, failed: bool
) -> None:
    """The proved result stands, unless the chain failed on it (irma.md §7.7)."""
    begun = await workshop.begin()
    work = workshop.callback(begun.slot, begun.token)
    await workshop.carry_on(work, End.FAILED if failed else issuance())
    cancelled = result_of(begun.token, "CANCELLED", None)
    await workshop.report(begun.slot, cancelled, "poll")
    answer = await get(workshop, begun.token)
    assert answer.fields["status"] == ("CANCELLED" if failed else "DONE")
    assert ("disclosed" in answer.fields) != failed
