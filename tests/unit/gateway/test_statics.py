"""Static sessions: each scan of a printed QR starts one (irma.md §7.9)."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from orchestrator.domain.chain import Slot
from orchestrator.domain.errors import BackendRefused, NotConfigured
from orchestrator.gateway import Options
from orchestrator.gateway.statics import static_pointer, static_sessions
from schemas.irma import JsonObject, SessionRequest
from tests.support.asgi import Answer, call
from tests.support.fakes import token_of
from tests.support.samples import (
    CALLBACK,
    FULLNAME,
    PUBLIC_URL,
    TARGET,
    disclosure,
    issuance,
)
from tests.support.workshop import Workshop

SIGNATURE: JsonObject = {
    "@context": "https://irma.app/ld/request/signature/v2",
    "message": "I agree",
    "disclose": [[[FULLNAME]]],
}
PETITION: JsonObject = {"callbackUrl": CALLBACK, "request": SIGNATURE}


def configured(**of: JsonObject) -> dict[str, SessionRequest]:
    """The static sessions of a configuration that signs its results."""
    return static_sessions(of, signed=True, unsigned=False, augment=False)


def gateway(workshop: Workshop, **of: JsonObject) -> FastAPI:
    """A gateway with static sessions."""
    options = Options(public_url=PUBLIC_URL, static_sessions=configured(**of))
    return workshop.shared.at(workshop.desk(options=options))


async def scan(workshop: Workshop, name: str = "petitie") -> Answer:
    """What the app is answered that has scanned a QR."""
    app = gateway(workshop, petitie=PETITION)
    answer = await call(app, "POST", f"/irma/session/{name}", b"{}")
    await workshop.settled()
    return answer


@pytest.mark.trap("T35")
async def test_each_scan_starts_a_session_of_nobody(workshop: Workshop) -> None:
    """The answer is its pointer; its chain belongs to IRMA's requestor ""."""
    for n in (1, 2):
        answer = await scan(workshop)
        assert answer.status == 200
        assert answer.json == {
            "u": f"http://irma.example/irma/session/{token_of(n)}",
            "irmaqr": "signing",
        }
    rows = await workshop.store.chains(limit=10)
    assert [row.chain.requestor for row in rows] == ["anonymous", "anonymous"]


async def test_its_result_comes_to_us_first(workshop: Workshop) -> None:
    """The request is prepared like any other, its own URLs are sealed."""
    await scan(workshop)
    (prepared,) = workshop.backend.requests
    assert (prepared.callback_url or "").startswith(f"{PUBLIC_URL}/callback/")
    (row,) = await workshop.store.chains(limit=10)
    step = await workshop.row(Slot(chain_id=row.chain.id, step=1))
    assert workshop.rows.request(step).callback_url == CALLBACK


@pytest.mark.parametrize("name", ["nosuch", "A" * 20, "petitie2"])
async def test_an_unknown_name_is_refused(workshop: Workshop, name: str) -> None:
    """With the IRMA server's words."""
    answer = await scan(workshop, name)
    assert (answer.status, answer.fields["error"]) == (400, "INVALID_REQUEST")
    assert answer.fields["message"] == "unknown static session"
    assert workshop.backend.requests == []


async def test_a_start_that_is_refused_is_malformed_input(workshop: Workshop) -> None:
    """400 with another name than for requestors (irma.md §1.1)."""
    workshop.backend.refusal = BackendRefused(
        status=400, error="INVALID_REQUEST", message="unknown attribute"
    )
    answer = await scan(workshop)
    assert (answer.status, answer.fields["error"]) == (400, "MALFORMED_INPUT")
    assert answer.fields["message"] == "unknown attribute"


async def test_without_the_backend_there_is_no_session(workshop: Workshop) -> None:
    """503, as for requestors."""
    workshop.backend.unreachable = True
    assert (await scan(workshop)).status == 503


@pytest.mark.parametrize(
    "method,path",
    [("GET", "petitie"), ("OPTIONS", "petitie"), ("POST", "petitie/"), ("GET", "a/b")],
)
async def test_only_posts_start_one(workshop: Workshop, method: str, path: str) -> None:
    """Anything else is about a session, and a name is no session's token."""
    app = gateway(workshop, petitie=PETITION)
    answer = await call(app, method, f"/irma/session/{path}")
    assert (answer.status, answer.fields["error"]) == (400, "INVALID_REQUEST")
    assert answer.fields["message"] == (
        "string did not pass input validation for clientToken"
    )


async def test_sessions_are_not_followed_here(workshop: Workshop) -> None:
    """What would be a token is one of no session of ours; `/irma/` alone is nothing."""
    app = gateway(workshop, petitie=PETITION)
    for path in ("A" * 20, f"{'A' * 20}/frontend/status"):
        answer = await call(app, "GET", f"/irma/session/{path}")
        assert (answer.status, answer.fields["error"]) == (400, "SESSION_UNKNOWN")
    for path in ("/irma/session", "/irma/session/", "/irma/nope"):
        answer = await call(app, "GET", path)
        expected = {"status": 404, "error": "INVALID_REQUEST"}
        assert (answer.status, answer.json) == (404, expected)


def test_disclosures_and_signatures_may_stand_there() -> None:
    """With a `callbackUrl` or a `nextSession`, plain numbers and all."""
    found = configured(petitie=PETITION, door=disclosure(TARGET, timeout=60))
    assert set(found) == {"petitie", "door"}
    assert found["door"].next_session is not None
    assert found["door"].timeout == 60
    assert configured() == {}


@pytest.mark.parametrize(
    "fields,said",
    [
        (issuance(TARGET), "must be either a disclosing or signing session"),
        (disclosure(), "has no callbackUrl or nextSession"),
        ({"callbackUrl": CALLBACK}, "Failed to JSON unmarshal"),
        (disclosure(TARGET, timeout="MARKER"), "timeout: expected an integer"),
        (disclosure("https://shop.example/" + "x" * 30_000), "nextSession.url: longer"),
        (disclosure() | {"nextSession": {}}, "nextSession provided with empty URL"),
        (
            {
                "callbackUrl": CALLBACK,
                "request": SIGNATURE | {"augmentReturnUrl": True},
            },
            "augmenting client return url not enabled",
        ),
    ],
)
def test_what_could_not_be_started_stops_the_process(
    fields: JsonObject, said: str
) -> None:
    """The session is named, and what is wrong with it; no value is."""
    with pytest.raises(NotConfigured) as caught:
        configured(petitie=fields)
    assert str(caught.value).startswith("static_sessions.petitie: ")
    assert said in str(caught.value)
    assert "MARKER" not in str(caught.value)


def test_results_must_be_signed_unless_they_need_not_be() -> None:
    """Without a key the configuration is refused (irma.md §7.9)."""
    of = {"petitie": PETITION}
    with pytest.raises(NotConfigured, match=r"^static_sessions\.petitie: .*jwt_privkey"):
        static_sessions(of, signed=False, unsigned=False, augment=False)
    assert static_sessions(of, signed=False, unsigned=True, augment=False)


def test_the_printed_qr_says_where_to_start_one() -> None:
    """`redirect`: the app asks there for the pointer of a session."""
    assert static_pointer(f"{PUBLIC_URL}/", "petitie").to_wire() == {
        "u": f"{PUBLIC_URL}/irma/session/petitie",
        "irmaqr": "redirect",
    }
