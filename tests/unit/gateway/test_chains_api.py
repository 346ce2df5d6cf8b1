"""A whole chain, told to its requestor (DESIGN §7)."""

from __future__ import annotations

import json

import pytest

from orchestrator.gateway import Options
from schemas.irma import JsonObject
from schemas.messages import End
from tests.support.asgi import Answer, call
from tests.support.fakes import token_of
from tests.support.samples import (
    FULLNAME,
    PUBLIC_URL,
    SECRET,
    TARGET,
    disclosure,
    issuance,
    result_of,
)
from tests.support.workshop import Begun, Workshop
from tests.unit.conftest import LoseStore

OWN = {"Authorization": SECRET}


async def chain(
    workshop: Workshop, chain_id: str, headers: dict[str, str] | None = None
) -> Answer:
    """What is answered about a chain."""
    given = OWN if headers is None else headers
    return await call(workshop.gateway, "GET", f"/chains/{chain_id}", headers=given)


def sessions(answer: Answer) -> list[JsonObject]:
    """The sessions of a chain that is told of."""
    assert answer.status == 200, answer.body
    found = answer.fields["sessions"]
    assert isinstance(found, list)
    return [one for one in found if isinstance(one, dict)]


async def two_steps(workshop: Workshop) -> Begun:
    """A chain whose second session was started on its own, half a minute later."""
    begun = await workshop.begin()
    await workshop.carry_on(workshop.callback(begun.slot, begun.token), issuance())
    await workshop.report(begun.slot, result_of(begun.token, "DONE"))
    workshop.clock.advance(30)
    await workshop.starter().start(begun.slot.following)
    return begun


async def test_a_running_chain_is_told_with_all_its_sessions(workshop: Workshop) -> None:
    """Where it stands, what each step came to, and the pointer of the live one."""
    begun = await two_steps(workshop)
    answer = await chain(workshop, begun.id)
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json == {
        "id": begun.id,
        "requestor": "acme",
        "state": "running",
        "generation": 0,
        "createdAt": "2026-03-29T00:59:58Z",
        "sessions": [
            {
                "step": 1,
                "generation": 0,
                "type": "disclosing",
                "state": "finished",
                "status": "DONE",
                "proofStatus": "VALID",
                "flow": "first",
                "createdAt": "2026-03-29T00:59:58Z",
                "completedAt": "2026-03-29T00:59:58Z",
                "token": token_of(1),
                "disclosed": [FULLNAME],
            },
            {
                "step": 2,
                "generation": 0,
                "type": "issuing",
                "state": "live",
                "flow": "detached",
                "createdAt": "2026-03-29T00:59:58Z",
                "liveAt": "2026-03-29T01:00:28Z",
                "token": token_of(2),
                "sessionPtr": {
                    "u": f"http://irma.example/irma/session/{token_of(2)}",
                    "irmaqr": "issuing",
                },
                "frontendRequest": {
                    "authorization": "A" * 20,
                    "minProtocolVersion": "1.0",
                    "maxProtocolVersion": "1.1",
                },
            },
        ],
    }


async def test_attributes_are_named_and_not_told(workshop: Workshop) -> None:
    """Their values are had by the session's token."""
    begun = await two_steps(workshop)
    answer = await chain(workshop, begun.id)
    assert FULLNAME in answer.body.decode()
    assert "MARKER" not in answer.body.decode()


async def test_an_end_is_told_with_its_reason(workshop: Workshop) -> None:
    """When, why, and until when results are kept; the end itself is no session."""
    begun = await workshop.begin()
    await workshop.carry_on(workshop.callback(begun.slot, begun.token), End.FAILED)
    answer = await chain(workshop, begun.id)
    assert (answer.fields["state"], answer.fields["endedAt"]) == (
        "failed",
        "2026-03-29T00:59:58Z",
    )
    assert answer.fields["resultsUntil"] == "2026-04-05T00:59:58Z"
    assert len(sessions(answer)) == 1


async def test_after_its_time_a_chain_is_told_without_results(
    workshop: Workshop,
) -> None:
    """What happened stays; tokens, names and pointers do not, purged or not."""
    begun = await workshop.begin(disclosure())
    await workshop.report(begun.slot, result_of(begun.token, "DONE"))
    workshop.clock.advance(7 * 24 * 3600 + 1)
    before = await chain(workshop, begun.id)
    assert await workshop.store.purge(lambda _: workshop.clock(), limit=10) == 1
    after = await chain(workshop, begun.id)
    assert before.json == after.json
    (session,) = sessions(after)
    assert session["status"] == "DONE"
    assert {"token", "proofStatus", "disclosed", "sessionPtr"}.isdisjoint(session)


async def test_a_pointer_is_told_only_while_it_leads_on(workshop: Workshop) -> None:
    """A session that is over cannot be scanned."""
    begun = await workshop.begin(disclosure(TARGET))
    (live,) = sessions(await chain(workshop, begun.id))
    assert {"sessionPtr", "frontendRequest"} <= live.keys()
    cancelled = result_of(begun.token, "CANCELLED", None)
    await workshop.report(begun.slot, cancelled)
    (over,) = sessions(await chain(workshop, begun.id))
    assert {"sessionPtr", "frontendRequest"}.isdisjoint(over)


@pytest.mark.parametrize("chain_id", ["01J0000000000000000000000X", "x", "%20"])
async def test_an_unknown_chain_does_not_exist(workshop: Workshop, chain_id: str) -> None:
    """404 as problem details."""
    answer = await chain(workshop, chain_id)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json == {
        "title": "Not Found",
        "status": 404,
        "detail": "there is no such chain of yours",
    }


async def test_a_foreign_chain_is_like_an_unknown_one(workshop: Workshop) -> None:
    """Nobody learns that it exists."""
    options = Options(public_url=PUBLIC_URL)
    app = workshop.shared.at(workshop.desk(no_auth=True, options=options))
    headers = {"Content-Type": "application/json"}
    body = json.dumps(disclosure()).encode()
    foreign = await call(app, "POST", "/session", body, headers)
    unknown = await chain(workshop, "01J0000000000000000000000X")
    answer = await chain(workshop, foreign.headers["chain-id"])
    assert (answer.status, answer.body) == (404, unknown.body)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
async def test_without_a_credential_nothing_is_told(
    workshop: Workshop, headers: dict[str, str]
) -> None:
    """401 with a challenge, whether the chain exists or not."""
    begun = await workshop.begin()
    for chain_id in (begun.id, "x"):
        answer = await chain(workshop, chain_id, headers)
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.status, answer.fields["title"]) == (401, "Unauthorized")
        assert answer.headers["www-authenticate"] == 'Bearer realm="chains"'


async def test_where_nobody_authenticates_an_id_opens_no_secret(
    workshop: Workshop,
) -> None:
    """Ids stand in events and in POSTs to endpoints: tokens and pointers are not told."""
    app = workshop.app(no_auth=True)
    headers = {"Content-Type": "application/json"}
    body = json.dumps(disclosure()).encode()
    started = await call(app, "POST", "/session", body, headers)
    answer = await call(app, "GET", f"/chains/{started.headers['chain-id']}")
    (session,) = sessions(answer)
    assert session["state"] == "live"
    assert session.keys().isdisjoint({"token", "sessionPtr", "frontendRequest"})


async def test_without_the_store_nothing_is_known(
    workshop: Workshop, lose_store: LoseStore
) -> None:
    """503 as problem details, with a time to come back."""
    begun = await workshop.begin()
    lose_store("chain")
    answer = await chain(workshop, begun.id)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
