"""`Idempotency-Key`: the same request again gets the same session (DESIGN §7)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from fastapi import FastAPI
from starlette.datastructures import Headers

from orchestrator.domain.errors import BackendRefused
from orchestrator.gateway.authentication import Authenticator
from orchestrator.gateway.faults import IrmaFault
from orchestrator.gateway.idempotency import key_in, once
from orchestrator.gateway.request_jwts import RequestKey
from orchestrator.sealing import Sealer
from schemas.irma import JsonObject, session_request_from
from tests.support.asgi import Answer, call
from tests.support.fakes import token_of
from tests.support.jwts import SECRET as HMAC_SECRET
from tests.support.jwts import by_secret
from tests.support.samples import (
    CALLBACK,
    NOW,
    SECRET,
    TARGET,
    disclosure,
    issuance,
    result_of,
)
from tests.support.workshop import Workshop
from tests.unit.conftest import LoseStore

KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"
JSON = {"Content-Type": "application/json"}


async def post(
    workshop: Workshop,
    request: JsonObject,
    key: str | None = KEY,
    app: FastAPI | None = None,
    **headers: str,
) -> Answer:
    """POST a session request with a key."""
    given = JSON | {"Authorization": SECRET} | headers
    given |= {"Idempotency-Key": key} if key else {}
    body = json.dumps(request).encode()
    answer = await call(app or workshop.gateway, "POST", "/session", body, given)
    await workshop.settled()
    return answer


def conflict(answer: Answer) -> str:
    """Why an answer is not given again."""
    assert (answer.status, answer.fields["status"]) == (409, 409)
    assert answer.fields["error"] == "INVALID_REQUEST"
    return str(answer.fields["message"])


async def test_the_same_request_again_is_the_same_session(workshop: Workshop) -> None:
    """One chain, one session; package and chain id are those of the first answer."""
    first = await post(workshop, disclosure(TARGET))
    again = await post(workshop, disclosure(TARGET))
    assert (first.status, again.status) == (200, 200)
    assert again.fields == first.fields
    assert again.headers["chain-id"] == first.headers["chain-id"]
    assert len(workshop.backend.requests) == 1
    assert len(await workshop.store.chains(limit=10)) == 1
    assert workshop.publisher.types.count("chain.started") == 1


async def test_without_a_key_nothing_is_remembered(workshop: Workshop) -> None:
    """The same request twice is two chains, as at an IRMA server."""
    for _ in range(2):
        assert (await post(workshop, disclosure(), key=None)).status == 200
    assert len(await workshop.store.chains(limit=10)) == 2
    (row, _) = await workshop.store.chains(limit=10)
    assert (row.chain.idempotency, row.chain.body_hash) == (None, None)


async def test_another_request_under_the_same_key_conflicts(workshop: Workshop) -> None:
    """409 that says so; nothing is started."""
    await post(workshop, disclosure())
    answer = await post(workshop, issuance())
    assert "another request" in conflict(answer)
    assert "chain-id" not in answer.headers
    assert len(workshop.backend.requests) == 1


async def test_a_key_belongs_to_its_requestor(workshop: Workshop) -> None:
    """What another one sends has nothing to do with it."""
    first = await post(workshop, disclosure())
    app = workshop.app(no_auth=True)
    body = json.dumps(disclosure()).encode()
    headers = JSON | {"Idempotency-Key": KEY}
    answer = await call(app, "POST", "/session", body, headers)
    assert answer.status == 200
    assert answer.headers["chain-id"] != first.headers["chain-id"]


async def test_a_key_is_forgotten_after_a_day(workshop: Workshop) -> None:
    """Then it begins another chain."""
    first = await post(workshop, disclosure())
    workshop.clock.advance(timedelta(hours=23, minutes=59).total_seconds())
    same = await post(workshop, disclosure())
    assert same.headers["chain-id"] == first.headers["chain-id"]
    workshop.clock.advance(timedelta(minutes=2).total_seconds())
    another = await post(workshop, disclosure())
    assert another.status == 200
    assert another.headers["chain-id"] != first.headers["chain-id"]


async def test_of_two_at_once_one_session_lives(workshop: Workshop) -> None:
    """The later one to be written gets the other's answer; its own is cancelled."""
    answers = []

    async def rival() -> None:
        workshop.backend.meanwhile = None
        answers.append(await post(workshop, disclosure()))

    workshop.backend.meanwhile = rival
    answers.append(await post(workshop, disclosure()))
    assert answers[0].fields == answers[1].fields
    assert answers[0].fields["token"] == token_of(2)
    assert workshop.backend.cancelled == [token_of(1)]
    assert len(await workshop.store.chains(limit=10)) == 1


async def test_of_two_requests_at_once_with_one_key_one_conflicts(
    workshop: Workshop,
) -> None:
    """What is started for the loser is cancelled all the same."""

    async def rival() -> None:
        workshop.backend.meanwhile = None
        assert (await post(workshop, issuance())).status == 200

    workshop.backend.meanwhile = rival
    assert "another request" in conflict(await post(workshop, disclosure()))
    assert workshop.backend.cancelled == [token_of(1)]


@pytest.mark.parametrize("away", [True, False])
async def test_a_backend_that_fails_leaves_no_trace(
    workshop: Workshop, *, away: bool
) -> None:
    """Who tries again starts anew."""
    if away:
        workshop.backend.unreachable = True
    else:
        workshop.backend.refusal = BackendRefused(status=400, error="INVALID_REQUEST")
    assert (await post(workshop, disclosure())).status == (503 if away else 400)
    workshop.backend.unreachable, workshop.backend.refusal = False, None
    assert (await post(workshop, issuance())).status == 200


async def test_a_session_whose_write_is_unsure_is_not_cancelled(
    workshop: Workshop, lose_store: LoseStore
) -> None:
    """The store may have it; whoever asks again must not get one that was cancelled."""
    lose_store("begin_chain")
    assert (await post(workshop, disclosure())).status == 503
    assert workshop.backend.cancelled == []


async def test_an_answer_that_was_deleted_is_not_given_again(workshop: Workshop) -> None:
    """409 with the reason: the results are gone, the key still counts."""
    first = await post(workshop, disclosure())
    begun = first.headers["chain-id"]
    (row,) = await workshop.store.steps(begun)
    await workshop.report(row.slot, result_of(token_of(1), "DONE"))
    assert (await post(workshop, disclosure())).fields == first.fields
    workshop.clock.advance(10)
    assert await workshop.store.purge(lambda _: workshop.clock(), limit=10) == 1
    assert "deleted" in conflict(await post(workshop, disclosure()))


@pytest.mark.parametrize(
    "key", ["", "k" * 256, "with space", "tab\there", "caf\u00e9", "\x7f"]
)
async def test_what_is_no_key_is_refused_by_name(workshop: Workshop, key: str) -> None:
    """400; a mistyped header must not start two sessions."""
    with pytest.raises(IrmaFault) as caught:
        key_in(Headers({"idempotency-key": key}))
    assert caught.value.error.status == 400
    assert (caught.value.error.message or "").startswith("Idempotency-Key: ")


async def test_two_keys_are_none(workshop: Workshop) -> None:
    """Which of them counts would be a guess."""
    raw = [(b"idempotency-key", b"one"), (b"idempotency-key", b"two")]
    with pytest.raises(IrmaFault):
        key_in(Headers(raw=raw))


@pytest.mark.parametrize("key", ["k", "~!" * 127, '"8e03978e"'])
async def test_any_visible_ascii_is_a_key(key: str) -> None:
    """Quotes are part of it."""
    assert key_in(Headers({"idempotency-key": key})) == key
    assert key_in(Headers({})) is None


async def test_a_bad_key_starts_nothing(workshop: Workshop) -> None:
    """The answer names the header."""
    answer = await post(workshop, disclosure(), key="two words")
    assert (answer.status, answer.fields["error"]) == (400, "INVALID_REQUEST")
    assert "Idempotency-Key" in str(answer.fields["message"])
    assert workshop.backend.requests == []


def hashes(sealer: Sealer, request: JsonObject, requestor: str = "acme") -> str:
    """What is remembered of a request's body."""
    found = once(sealer, requestor, KEY, session_request_from(request))
    assert found is not None
    return found.body


def test_what_asks_for_the_same_is_the_same(sealer: Sealer) -> None:
    """In whatever order and form it is written; anything else that counts differs."""
    extended = disclosure(TARGET, callbackUrl=CALLBACK)
    backwards = dict(reversed(extended.items()))
    assert hashes(sealer, extended) == hashes(sealer, backwards)
    plain = disclosure()["request"]
    assert isinstance(plain, dict)
    assert hashes(sealer, plain) == hashes(sealer, {"request": plain})
    for other in (disclosure(TARGET), disclosure(TARGET, timeout=1), issuance()):
        assert hashes(sealer, extended) != hashes(sealer, other)


def test_what_is_remembered_tells_nothing(sealer: Sealer) -> None:
    """Keyed hashes: without the key nobody can try what was asked (G6)."""
    request = session_request_from(disclosure())
    mine = once(sealer, "acme", KEY, request)
    theirs = once(Sealer(b"\x03" * 32, "k1", b"\x04" * 32), "acme", KEY, request)
    assert mine is not None
    assert theirs is not None
    assert {mine.key, mine.body}.isdisjoint({theirs.key, theirs.body})
    assert mine.key != mine.body


def signed(request: JsonObject, at: float) -> bytes:
    """A request JWT that was made at this time."""
    claims: JsonObject = {
        "iss": "Acme",
        "sub": "verification_request",
        "iat": int(at),
        "sprequest": request,
    }
    return by_secret(claims).encode()


async def test_a_jwt_that_was_signed_again_is_the_same_request(
    workshop: Workshop,
) -> None:
    """What counts is what is asked for, not when and how often it was signed."""
    key = RequestKey(requestor="acme", algorithm="HS256", secret=HMAC_SECRET)
    authenticator = Authenticator(keys={"Acme": key})
    desk = replace(workshop.desk(), authenticator=authenticator)
    app = workshop.shared.at(desk)
    headers = {"Content-Type": "text/plain", "Idempotency-Key": KEY}
    answers = []
    for seconds in (0, 100):
        workshop.clock.now = NOW + timedelta(seconds=seconds)
        body = signed(disclosure(TARGET), workshop.clock.now.timestamp())
        answers.append(await call(app, "POST", "/session", body, headers))
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].fields == answers[1].fields
    body = signed(disclosure(), workshop.clock.now.timestamp())
    assert "another request" in conflict(
        await call(app, "POST", "/session", body, headers)
    )
