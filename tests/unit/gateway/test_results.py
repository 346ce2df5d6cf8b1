"""Results: what is told of a session, in which shape, and for how long (irma.md §5)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestrator.domain.chain import StepState
from orchestrator.domain.retention import Retention
from orchestrator.gateway import Options
from schemas.irma import JsonObject, SessionResult, session_result_from
from schemas.messages import End
from tests.support.asgi import Answer, call
from tests.support.fakes import token_of
from tests.support.samples import (
    FULLNAME,
    PUBLIC_URL,
    TARGET,
    disclosure,
    issuance,
    result_of,
)
from tests.support.workshop import Begun, Workshop

WEEK_FLOOR = 1_792_627_200


def attribute(value: str | None, status: str = "PRESENT") -> JsonObject:
    """One disclosed attribute, as an IRMA server writes it."""
    texts: JsonObject | None = None
    if value is not None:
        texts = {"": value, "en": value, "nl": value}
    return {
        "rawvalue": value,
        "value": texts,
        "id": FULLNAME,
        "status": status,
        "issuancetime": WEEK_FLOOR,
    }


async def get(workshop: Workshop, token: str, what: str = "result") -> Answer:
    """What is answered about a session."""
    return await call(workshop.gateway, "GET", f"/session/{token}/{what}")


async def ended(workshop: Workshop, result: SessionResult) -> Begun:
    """A single session that ended like that; its backend has forgotten it since."""
    begun = await workshop.begin(disclosure())
    fields = result.to_wire() | {"token": begun.token}
    await workshop.report(begun.slot, session_result_from(fields))
    workshop.backend.results.clear()
    return begun


SHAPES = [
    pytest.param(
        {
            "status": "DONE",
            "type": "disclosing",
            "proofStatus": "VALID",
            "disclosed": [
                [attribute("456")],
                [],
                [attribute(None, "NULL")],
                [attribute("")],
                [attribute("1", "EXTRA")],
            ],
        },
        marks=pytest.mark.trap("T22", "T24", "T25"),
        id="null, empty, empty string and extra, in their order",
    ),
    pytest.param(
        {
            "status": "DONE",
            "type": "disclosing",
            "proofStatus": "MISSING_ATTRIBUTES",
            "disclosed": [None, [attribute("456")]],
        },
        marks=pytest.mark.trap("T2", "T3", "T27"),
        id="done but useless, values and all",
    ),
    pytest.param(
        {"status": "DONE", "type": "issuing", "proofStatus": "VALID"},
        marks=pytest.mark.trap("T26"),
        id="issued",
    ),
    pytest.param(
        {
            "status": "DONE",
            "type": "signing",
            "proofStatus": "VALID",
            "disclosed": [[attribute("Johan")]],
            "signature": {"@context": "x", "signature": [{"c": "f"}], "indices": [[]]},
        },
        id="signed",
    ),
    pytest.param(
        {
            "status": "CANCELLED",
            "type": "issuing",
            "error": {
                "status": 400,
                "error": "ATTRIBUTES_EXPIRED",
                "description": "Disclosed attributes were expired",
            },
        },
        marks=pytest.mark.trap("T27"),
        id="cancelled by the server",
    ),
    pytest.param({"status": "CANCELLED", "type": "disclosing"}, id="cancelled"),
    pytest.param({"status": "TIMEOUT", "type": "disclosing"}, id="timed out"),
    pytest.param(
        {
            "status": "TIMEOUT",
            "type": "disclosing",
            "proofStatus": "VALID",
            "disclosed": [[attribute("456") | {"notrevoked": True, "newer": [1]}]],
        },
        marks=pytest.mark.trap("T30"),
        id="timed out with proofs, and fields of a newer server",
    ),
]


@pytest.mark.parametrize("fields", SHAPES)
async def test_a_result_passes_through_as_it_is(
    workshop: Workshop, fields: JsonObject
) -> None:
    """Every field and shape, from us as from the backend that knows it still."""
    begun = await workshop.begin(disclosure())
    whole = {"token": begun.token} | fields
    workshop.backend.results[begun.token] = session_result_from(whole)
    assert (await get(workshop, begun.token)).json == whole
    await workshop.report(begun.slot, session_result_from(whole))
    workshop.backend.results.clear()
    assert (await get(workshop, begun.token)).json == whole


@pytest.mark.trap("T29")
@pytest.mark.parametrize("what", ["status", "result", "result-jwt", "getproof"])
async def test_results_are_told_as_long_as_configured(
    workshop: Workshop, what: str
) -> None:
    """Long after an IRMA server has forgotten; then unknown, whether purged or not."""
    begun = await ended(workshop, result_of("", "DONE"))
    workshop.backend.unreachable = True
    kept = workshop.desk().options.results_kept.common
    workshop.clock.advance(kept.total_seconds())
    assert (await get(workshop, begun.token, what)).status == 200
    workshop.clock.advance(1)
    answer = await get(workshop, begun.token, what)
    assert (answer.status, answer.fields["error"]) == (400, "SESSION_UNKNOWN")


async def test_what_was_purged_is_unknown(workshop: Workshop) -> None:
    """Also where results would be kept longer now than when it was."""
    begun = await ended(workshop, result_of("", "DONE"))
    workshop.clock.advance(10)
    assert await workshop.store.purge(lambda _: workshop.clock(), limit=10) == 1
    answer = await get(workshop, begun.token)
    assert (answer.status, answer.fields["error"]) == (400, "SESSION_UNKNOWN")


async def test_how_long_results_are_told_can_be_configured(workshop: Workshop) -> None:
    """An installation that wants to know nothing for longer than it must."""
    begun = await ended(workshop, result_of("", "DONE"))
    kept = Retention(own={"acme": timedelta(minutes=5)})
    options = Options(public_url=PUBLIC_URL, results_kept=kept)
    app = workshop.shared.at(workshop.desk(options=options))
    workshop.clock.advance(301)
    path = f"/session/{begun.token}/result"
    answer = await call(app, "GET", path)
    assert (answer.status, answer.fields["error"]) == (400, "SESSION_UNKNOWN")


async def test_a_session_of_a_restarted_server_is_unknown_until_it_times_out(
    workshop: Workshop,
) -> None:
    """As at an IRMA server without its state; the chain's end is then told as TIMEOUT."""
    begun = await workshop.begin(disclosure(TARGET))
    answer = await get(workshop, begun.token)
    assert (answer.status, answer.fields["error"]) == (400, "SESSION_UNKNOWN")
    workshop.clock.advance(3600)
    await workshop.beat()
    assert (await workshop.row(begun.slot)).state is StepState.EXPIRED
    token = begun.token
    answer = await get(workshop, token)
    assert answer.json == {"token": token, "status": "TIMEOUT", "type": "disclosing"}
    assert (await get(workshop, token, "status")).body == b'"TIMEOUT"'


async def completed(workshop: Workshop) -> Begun:
    """A session whose result was taken in, and whose chain goes on detached."""
    begun = await workshop.begin()
    await workshop.carry_on(workshop.callback(begun.slot, begun.token), issuance())
    assert (await workshop.row(begun.slot)).final_status is None
    return begun


async def test_a_detached_sessions_token_is_told_as_soon_as_it_is_known(
    workshop: Workshop,
) -> None:
    """Whether the backend tells of the session before or only we do."""
    begun = await completed(workshop)
    workshop.backend.results[begun.token] = result_of(begun.token, "DONE")
    assert "nextSession" not in (await get(workshop, begun.token)).fields
    await workshop.starter().start(begun.slot.following)
    assert (await get(workshop, begun.token)).fields["nextSession"] == token_of(2)
    workshop.backend.unreachable = True
    assert (await get(workshop, begun.token)).fields["nextSession"] == token_of(2)


async def test_a_session_that_was_given_up_is_not_told(workshop: Workshop) -> None:
    """The backend names one that it started in vain; what our row has counts."""
    begun = await completed(workshop)
    orphan = result_of(begun.token, "DONE", nextSession="O" * 20)
    workshop.backend.results[begun.token] = orphan
    assert "nextSession" not in (await get(workshop, begun.token)).fields
    await workshop.starter().start(begun.slot.following)
    assert (await get(workshop, begun.token)).fields["nextSession"] == token_of(2)


async def test_a_result_that_was_taken_in_is_not_lost_for_a_moment(
    workshop: Workshop,
) -> None:
    """The backend has lost its update, and we have not looked into that yet."""
    begun = await completed(workshop)
    lost = result_of(begun.token, "CANCELLED", None)
    workshop.backend.results[begun.token] = lost
    answer = await get(workshop, begun.token)
    assert answer.fields["proofStatus"] == "VALID"
    assert answer.fields["status"] == "CONNECTED"


@pytest.mark.trap("T30", "T31")
@pytest.mark.parametrize("status", ["CONNECTED", "CANCELLED", "TIMEOUT"])
@pytest.mark.parametrize("forgotten", [True, False])
async def test_a_session_whose_chain_failed_ends_as_its_backend_says(
    workshop: Workshop, status: str, *, forgotten: bool
) -> None:
    """CONNECTED with its proof at first; CANCELLED drops it, TIMEOUT keeps it (§7.7)."""
    begun = await workshop.begin()
    work = workshop.callback(begun.slot, begun.token)
    await workshop.carry_on(work, End.FAILED)
    proof = None if status == "CANCELLED" else "VALID"
    found = result_of(begun.token, status, proof)
    workshop.backend.results[begun.token] = found
    workshop.clock.advance(61)
    await workshop.report(begun.slot, found, "poll")
    if forgotten:
        workshop.backend.results.clear()
    answer = await get(workshop, begun.token)
    assert answer.fields["status"] == status
    assert ("disclosed" in answer.fields) == (status != "CANCELLED")


@pytest.mark.trap("T19")
async def test_the_first_tokens_result_stays_that_sessions_result(
    workshop: Workshop,
) -> None:
    """Later steps have their own; the first leads to them by their tokens."""
    begun = await completed(workshop)
    await workshop.starter().start(begun.slot.following)
    await workshop.report(begun.slot, result_of(begun.token, "DONE"))
    before = (await get(workshop, begun.token)).json
    issued = {"token": token_of(2), "status": "DONE", "type": "issuing"}
    result = session_result_from(issued | {"proofStatus": "VALID"})
    await workshop.report(begun.slot.following, result)
    workshop.backend.unreachable = True
    assert (await get(workshop, begun.token)).json == before
    assert (await get(workshop, token_of(2))).json == result.to_wire()


@pytest.mark.trap("T20", "T32")
async def test_cancelling_the_first_session_leaves_the_live_one(
    workshop: Workshop,
) -> None:
    """A browser's cancel in the middle of a chain: 200, and nothing happens."""
    begun = await completed(workshop)
    await workshop.starter().start(begun.slot.following)
    await workshop.report(begun.slot, result_of(begun.token, "DONE"))
    answer = await call(workshop.gateway, "DELETE", f"/session/{begun.token}")
    assert (answer.status, answer.body) == (200, b"")
    assert workshop.backend.cancelled == []
    assert (await workshop.row(begun.slot.following)).state is StepState.LIVE
