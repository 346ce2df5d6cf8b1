"""Results as JWTs, signed by us (irma.md §6)."""

from __future__ import annotations

from dataclasses import replace

import jwt
import pytest

from orchestrator.callbacks import open_signer
from schemas.irma import JsonObject, SessionResult, session_result_from
from tests.support.asgi import Answer, call
from tests.support.jwts import rsa_key
from tests.support.samples import FULLNAME, NOW, disclosure, issuance, result_of
from tests.support.workshop import Begun, Workshop


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


@pytest.mark.trap("T4", "T5")
@pytest.mark.parametrize(
    "status,type_,request_",
    [
        ("INITIALIZED", "disclosing", disclosure()),
        ("CANCELLED", "issuing", issuance()),
    ],
)
async def test_a_signature_says_whose_result_it_is_and_no_more(
    workshop: Workshop, status: str, type_: str, request_: JsonObject
) -> None:
    """Pending and cancelled sessions are signed too; `sub` has the word for the type."""
    begun = await workshop.begin(request_)
    fields: JsonObject = {"token": begun.token, "status": status, "type": type_}
    workshop.backend.results[begun.token] = session_result_from(fields)
    key = rsa_key("us")
    async with open_signer(key, issuer="chains") as signer:
        app = workshop.shared.at(replace(workshop.desk(), signer=signer))
        path = f"/session/{begun.token}/result-jwt"
        token = (await call(app, "GET", path)).body.decode()
    assert jwt.get_unverified_header(token) == {"alg": "RS256", "typ": "JWT"}
    claims = jwt.decode(
        token, key.public_key(), algorithms=["RS256"], options={"verify_exp": False}
    )
    now = int(NOW.timestamp())
    assert claims == fields | {
        "iss": "chains",
        "iat": now,
        "exp": now + 120,
        "sub": f"{type_}_result",
    }


async def test_the_proof_of_old_has_all_attributes_in_one_object(
    workshop: Workshop,
) -> None:
    """The legacy JWT of `/getproof` (irma.md §6), by the same key."""
    fields: JsonObject = {
        "token": "",
        "status": "DONE",
        "type": "disclosing",
        "proofStatus": "VALID",
        "disclosed": [
            [
                {
                    "rawvalue": "456",
                    "value": {"": "456"},
                    "id": FULLNAME,
                    "status": "PRESENT",
                }
            ]
        ],
    }
    begun = await ended(workshop, session_result_from(fields))
    key = rsa_key("us")
    async with open_signer(key, issuer="") as signer:
        app = workshop.shared.at(replace(workshop.desk(), signer=signer))
        answer = await call(app, "GET", f"/session/{begun.token}/getproof")
    assert answer.headers["content-type"] == "text/plain"
    claims = jwt.decode(
        answer.body, key.public_key(), algorithms=["RS256"], options={"verify_exp": False}
    )
    now = int(NOW.timestamp())
    assert claims == {
        "iat": now,
        "exp": now + 120,
        "sub": "disclosure_result",
        "status": "VALID",
        "attributes": {FULLNAME: "456"},
    }


async def test_each_jwt_is_signed_afresh(workshop: Workshop) -> None:
    """As text without a charset, also of a result that we keep."""
    begun = await ended(workshop, result_of("", "DONE"))
    bodies = [(await get(workshop, begun.token, "result-jwt")).body for _ in range(2)]
    assert bodies == [b"header.claims.1", b"header.claims.2"]
    answer = await get(workshop, begun.token, "getproof")
    assert answer.body == b"header.legacy.3"
    assert answer.headers["content-type"] == "text/plain"


async def test_without_a_key_there_is_no_proof_of_old(workshop: Workshop) -> None:
    """500 EXCEPTION for whatever token looks like one; 400 for what does not."""
    workshop.signer.public_key_pem = None
    for what in ("result-jwt", "getproof"):
        answer = await get(workshop, "A" * 20, what)
        assert (answer.status, answer.fields["error"]) == (500, "EXCEPTION")
        answer = await get(workshop, "short", what)
        assert (answer.status, answer.fields["error"]) == (400, "INVALID_REQUEST")
