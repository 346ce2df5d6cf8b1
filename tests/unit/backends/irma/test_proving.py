"""Who we are at an IRMA server: a token, or what signs our requests."""

from __future__ import annotations

import json
import threading
from datetime import timedelta

import jwt
import pytest
from pydantic import JsonValue

from orchestrator.backends.irma.proving import (
    DATED_BACK_S,
    RequestKey,
    Submission,
    open_proof,
)
from schemas.irma import (
    JsonObject,
    SessionRequest,
    revocation_request_from,
    session_request_from,
)
from tests.support import jwts
from tests.support.fakes import FakeClock
from tests.support.samples import FULLNAME, ISSUANCE, MEMBER, NOW, disclosure

SIGNATURE = "https://irma.app/ld/request/signature/v2"
REQUESTS = {
    "verification_request": session_request_from(disclosure("https://x.example/")),
    "signature_request": session_request_from(
        {"@context": SIGNATURE, "message": "I agree", "disclose": [[[FULLNAME]]]}
    ),
    "issue_request": session_request_from(
        {"@context": ISSUANCE, "credentials": [{"credential": MEMBER}]}
    ),
}
CLAIMS = {
    "verification_request": "sprequest",
    "signature_request": "absrequest",
    "issue_request": "iprequest",
}
REVOCATION = revocation_request_from(
    {
        "@context": "https://irma.app/ld/request/revocation/v1",
        "type": MEMBER,
        "revocationKey": "k",
    }
)
BY_SECRET = RequestKey(requestor="us", secret=jwts.SECRET)
BY_RSA = RequestKey(requestor="us", secret=jwts.rsa_key("us"))


def read(sent: Submission, key: RequestKey) -> tuple[dict[str, JsonValue], JsonObject]:
    """Header and claims of a JWT that verifies."""
    secret = key.secret
    verifier = secret if isinstance(secret, bytes) else secret.public_key()
    found = jwt.decode_complete(
        sent.body,
        verifier,
        algorithms=["HS256" if isinstance(secret, bytes) else "RS256"],
        options={"verify_iat": False},
    )
    return found["header"], found["payload"]


@pytest.mark.parametrize(
    "key,headers",
    [
        (None, {"Content-Type": "application/json"}),
        ("token", {"Content-Type": "application/json", "Authorization": "token"}),
    ],
)
@pytest.mark.trap("T11")
async def test_a_token_is_sent_raw(key: str | None, headers: dict[str, str]) -> None:
    """No Bearer before it, and no header where there is no token."""
    request = REQUESTS["verification_request"]
    async with open_proof(key, clock=FakeClock(NOW)) as proof:
        sent = await proof.session(request)
        revocation = await proof.revocation(REVOCATION)
    assert sent.headers == revocation.headers == headers
    assert json.loads(sent.body) == request.to_wire()
    assert json.loads(revocation.body) == REVOCATION.to_wire()


@pytest.mark.parametrize("key", [BY_SECRET, BY_RSA], ids=["hmac", "publickey"])
@pytest.mark.parametrize("subject", sorted(REQUESTS))
@pytest.mark.trap("T34")
async def test_signed_requests_are_extended(key: RequestKey, subject: str) -> None:
    """Subject and claim of its kind, the extended form, and a raw JWT as text."""
    request: SessionRequest = REQUESTS[subject]
    async with open_proof(key, clock=FakeClock(NOW)) as proof:
        sent = await proof.session(request)
    header, claims = read(sent, key)
    assert sent.headers == {"Content-Type": "text/plain"}
    assert header == {"alg": header["alg"], "typ": "JWT"}
    assert claims == {
        "iss": "us",
        "iat": int(NOW.timestamp()) - DATED_BACK_S,
        "sub": subject,
        CLAIMS[subject]: request.to_wire(),
    }


async def test_revocations_are_signed_too() -> None:
    """In a claim of their own."""
    async with open_proof(BY_SECRET, clock=FakeClock(NOW)) as proof:
        sent = await proof.revocation(REVOCATION)
    _, claims = read(sent, BY_SECRET)
    assert claims["revrequest"] == REVOCATION.to_wire()


@pytest.mark.trap("T13")
async def test_requests_are_dated_back() -> None:
    """A server whose clock is a second behind ours must not refuse us."""
    clock = FakeClock(NOW + timedelta(seconds=0.9))
    async with open_proof(BY_SECRET, clock=clock) as proof:
        _, claims = read(await proof.session(REQUESTS["issue_request"]), BY_SECRET)
    issued_at = claims["iat"]
    assert isinstance(issued_at, int)
    assert issued_at <= (clock() - timedelta(seconds=1)).timestamp()


async def test_signatures_are_made_off_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An RSA signature takes long enough to hold up who waits at a bridge."""
    threads: list[str] = []
    encode = jwt.encode

    def noted(payload: JsonObject, key: str, algorithm: str) -> str:
        threads.append(threading.current_thread().name)
        return encode(payload, key, algorithm=algorithm)

    monkeypatch.setattr(jwt, "encode", noted)
    async with open_proof(BY_RSA, clock=FakeClock(NOW)) as proof:
        await proof.session(REQUESTS["verification_request"])
    assert len(threads) == 1
    assert threads[0].startswith("requests")


def test_a_keys_secret_is_not_shown() -> None:
    """Neither in logs nor in errors."""
    assert jwts.SECRET.decode() not in repr(BY_SECRET)
