"""Starting sessions: the requestor API of an IRMA server (irma.md §1)."""

from __future__ import annotations

import json

import pytest
from ulid import ULID

from orchestrator.domain.chain import Slot, StepState
from orchestrator.domain.errors import BackendRefused
from orchestrator.domain.ruling import CHECK_LIVE
from orchestrator.gateway import Options
from schemas.irma import JsonObject, session_request_from
from tests.support.asgi import Exchange, call
from tests.support.fakes import token_of
from tests.support.samples import (
    CALLBACK,
    DISCLOSURE,
    FULLNAME,
    NOW,
    PUBLIC_URL,
    SECRET,
    TARGET,
    disclosure,
    issuance,
)
from tests.support.workshop import Workshop
from tests.unit.conftest import LoseStore
from tests.unit.gateway.refusing import refused

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("path", ["/session", "/session/"])
async def test_a_session_is_answered_with_its_package(
    workshop: Workshop, path: str
) -> None:
    """The backend's own package, and the chain's id in a header nobody has to read."""
    body = json.dumps(disclosure(TARGET)).encode()
    headers = JSON | {"Authorization": SECRET}
    answer = await call(workshop.gateway, "POST", path, body, headers)
    assert answer.status == 200
    assert answer.fields["token"] == token_of(1)
    assert set(answer.fields) == {"sessionPtr", "token", "frontendRequest"}
    assert str(ULID.from_str(answer.headers["chain-id"])) == answer.headers["chain-id"]


async def test_the_backend_gets_our_urls_in_place_of_the_integrators(
    workshop: Workshop,
) -> None:
    """What comes out has to come to us."""
    await workshop.begin(disclosure(TARGET, callbackUrl=CALLBACK, timeout=60))
    (prepared,) = workshop.backend.requests
    assert prepared.next_session is not None
    assert prepared.next_session.url.startswith(f"{PUBLIC_URL}/bridge/")
    assert (prepared.callback_url or "").startswith(f"{PUBLIC_URL}/callback/")
    assert prepared.timeout == 60
    assert "shop.example" not in str(prepared.to_wire())


async def test_every_session_is_a_chain(workshop: Workshop) -> None:
    """Its rows hold what later steps need, sealed, and are looked at again (H5)."""
    begun = await workshop.begin(disclosure(TARGET, timeout=60))
    chain = await workshop.chain(begun.id)
    assert (chain.requestor, chain.backend, chain.state) == ("acme", "irma", "running")
    row = await workshop.row(begun.slot)
    assert (row.state, row.chained, row.announced) == (StepState.LIVE, True, True)
    assert (row.check_at, row.session_timeout_s) == (NOW + CHECK_LIVE, 60)
    wanted = session_request_from(disclosure(TARGET, timeout=60))
    assert workshop.rows.request(row) == wanted
    assert workshop.rows.prepared(row) == workshop.backend.requests[0]
    assert workshop.rows.token(row) == begun.token
    package = workshop.rows.package(row)
    assert package is not None
    assert package.token == begun.token


async def test_the_start_is_told_in_order(workshop: Workshop) -> None:
    """Three events, each with its cause, published at once; no row is left."""
    answer = await workshop.post_session(disclosure())
    await workshop.settled()
    assert len(workshop.publisher.calls) == 1
    assert workshop.publisher.types == [
        "chain.started",
        "session.requested",
        "session.started",
    ]
    started, requested, live = workshop.publisher.events
    assert (requested.causationid, live.causationid) == (started.id, requested.id)
    assert {event.subject for event in (started, requested, live)} == {
        answer.headers["chain-id"]
    }
    assert await workshop.waiting() == []


async def test_a_chain_starts_while_the_broker_is_away(workshop: Workshop) -> None:
    """Its events are rows of the transaction that wrote it (H10)."""
    workshop.publisher.down = True
    answer = await workshop.post_session(disclosure(TARGET))
    await workshop.settled()
    assert answer.status == 200
    chain_id = answer.headers["chain-id"]
    rows = await workshop.store.waiting(chain_id=chain_id, limit=10)
    assert [row.message.routing_key for row in rows] == ["history"] * 3
    assert (await workshop.chain(chain_id)).state == "running"


async def test_without_the_store_there_is_no_chain_and_no_session(
    workshop: Workshop, lose_store: LoseStore
) -> None:
    """503, and the session that was started already is cancelled."""
    lose_store("begin_chain")
    answer = await workshop.post_session(disclosure(TARGET))
    await workshop.settled()
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert workshop.backend.cancelled == [token_of(1)]
    assert workshop.publisher.calls == []


async def test_without_the_backend_there_is_no_session(workshop: Workshop) -> None:
    """503 with a time to come back; nothing was written."""
    workshop.backend.unreachable = True
    answer = await workshop.post_session(disclosure())
    assert (await refused(workshop, answer))["status"] == 503
    assert "retry-after" in answer.headers


async def test_what_the_backend_refuses_is_the_requestors_answer(
    workshop: Workshop,
) -> None:
    """Only the IRMA server knows the schemes."""
    workshop.backend.refusal = BackendRefused(
        status=400, error="INVALID_REQUEST", message="unknown attribute"
    )
    error = await refused(workshop, await workshop.post_session(disclosure()))
    assert error["message"] == "unknown attribute"


@pytest.mark.parametrize(
    "request_,name",
    [
        (disclosure(TARGET), "nextSession"),
        (disclosure(callbackUrl=TARGET), "callbackUrl"),
    ],
)
async def test_without_a_key_nothing_can_be_posted(
    workshop: Workshop, request_: JsonObject, name: str
) -> None:
    """501 as the IRMA server's, unless unsigned results are allowed."""
    workshop.signer.public_key_pem = None
    error = await refused(workshop, await workshop.post_session(request_))
    assert (error["status"], error["error"]) == (501, "UNSUPPORTED")
    assert str(error["message"]).startswith(f"{name} provided but no JWT private key")
    allowed = workshop.app(Options(public_url=PUBLIC_URL, unsigned_allowed=True))
    assert (await workshop.post_session(request_, allowed)).status == 200


async def test_without_a_key_a_single_session_needs_none(workshop: Workshop) -> None:
    """Nothing is posted to the integrator, so nothing has to be signed."""
    workshop.signer.public_key_pem = None
    assert (await workshop.post_session(disclosure())).status == 200


@pytest.mark.parametrize(
    "request_,said",
    [
        ({"@context": DISCLOSURE, "disclose": [[["pbdf.a.b.c"]]]}, "pbdf.a.b.c"),
        (
            {
                "request": {
                    "@context": DISCLOSURE,
                    "disclose": [[[FULLNAME]]],
                    "host": "x",
                }
            },
            "requestor not allowed to use the requested host",
        ),
    ],
)
async def test_what_a_requestor_may_not_ask_is_unauthorized(
    workshop: Workshop, request_: JsonObject, said: str
) -> None:
    """403 with IRMA's own reason; nothing is started."""
    error = await refused(workshop, await workshop.post_session(request_))
    assert (error["status"], error["error"]) == (403, "UNAUTHORIZED")
    assert error["message"] == said


async def test_nobody_may_issue_unless_told_so(workshop: Workshop) -> None:
    """Who is not known has the common permissions only."""
    body = json.dumps(issuance()).encode()
    app = workshop.app(no_auth=True)
    error = await refused(workshop, await call(app, "POST", "/session", body, JSON))
    assert (error["status"], error["message"]) == (
        403,
        "No issuer permissions configured",
    )
    assert (await workshop.post_session(issuance())).status == 200


@pytest.mark.parametrize(
    "body,said",
    [
        (b"", "not JSON"),
        (b'{"request": MARKER', "not JSON"),
        (b"[]", "expected an object, found a list"),
        (json.dumps(disclosure() | {"nextSession": {}}).encode(), "empty URL"),
        (json.dumps(disclosure() | {"timeout": "MARKER"}).encode(), "timeout: expected"),
        (json.dumps({"@context": "MARKER"}).encode(), "Invalid session request type"),
    ],
)
async def test_what_is_no_request_is_refused_with_its_reason(
    workshop: Workshop, body: bytes, said: str
) -> None:
    """Field and reason, never the value."""
    error = await refused(workshop, await workshop.post_session(body))
    assert (error["status"], error["error"]) == (400, "INVALID_REQUEST")
    assert said in str(error["message"])
    assert "MARKER" not in str(error)


@pytest.mark.parametrize(
    "headers,status",
    [
        (JSON, 400),
        ({"Authorization": SECRET, "Content-Type": "text/plain"}, 400),
        (JSON | {"Authorization": "wrong"}, 403),
    ],
)
async def test_who_is_not_known_starts_nothing(
    workshop: Workshop, headers: dict[str, str], status: int
) -> None:
    """IRMA's 400 and 403, never a 401."""
    body = json.dumps(disclosure()).encode()
    answer = await call(workshop.gateway, "POST", "/session", body, headers)
    assert (await refused(workshop, answer))["status"] == status


async def test_the_key_that_verifies_is_public(workshop: Workshop) -> None:
    """PEM as text, 501 where there is none."""
    answer = await call(workshop.gateway, "GET", "/publickey")
    assert (answer.status, answer.body.decode()) == (200, workshop.signer.public_key_pem)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    workshop.signer.public_key_pem = None
    answer = await call(workshop.gateway, "GET", "/publickey")
    assert (answer.status, answer.fields["error"]) == (501, "UNSUPPORTED")


async def test_the_gateway_says_that_it_is_there(workshop: Workshop) -> None:
    """`OK`, as the IRMA server, whose type names no charset."""
    answer = await call(workshop.gateway, "GET", "/health")
    assert (answer.status, answer.body) == (200, b"OK")
    assert answer.headers["content-type"] == "text/plain"


async def test_rows_of_different_chains_stand_apart(workshop: Workshop) -> None:
    """Two requests are two chains, whatever they ask."""
    first, second = await workshop.begin(), await workshop.begin()
    assert first.id != second.id
    assert await workshop.store.step(Slot(chain_id=first.id, step=2)) is None
    assert len(await workshop.store.chains(limit=10)) == 2


@pytest.mark.parametrize("name", ["nextSession.url", "callbackUrl"])
async def test_a_url_that_would_not_fit_into_ours_is_refused(
    workshop: Workshop, name: str
) -> None:
    """400 that names the field: it is sealed into a URL that servers must take."""
    url = "https://shop.example/" + "x" * 30_000
    request = (
        disclosure(url) if name == "nextSession.url" else disclosure(callbackUrl=url)
    )
    error = await refused(workshop, await workshop.post_session(request))
    assert (error["status"], error["error"]) == (400, "INVALID_REQUEST")
    assert str(error["message"]).startswith(f"{name}: longer than")


async def test_who_is_not_known_does_not_get_to_send_a_body(workshop: Workshop) -> None:
    """Credentials are looked at first, as they stand in the header."""
    exchange = Exchange(method="POST", path="/session", parts=(b"x",), headers=JSON)
    assert (await exchange.by(workshop.gateway)).status == 400
    assert exchange.taken == 0
