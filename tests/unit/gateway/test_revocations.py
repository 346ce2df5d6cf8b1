"""Revoking through the gateway (irma.md §1)."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from orchestrator.domain.errors import BackendRefused
from orchestrator.domain.requestors import Requestors
from orchestrator.gateway.bodies import BODY_BYTES_MAX
from schemas.irma import JsonObject
from tests.support.asgi import Answer, Exchange, call
from tests.support.samples import SECRET, requestors
from tests.support.workshop import Workshop

ROOT = "irma-demo.MijnOverheid.root"
REVOCATION: JsonObject = {
    "@context": "https://irma.app/ld/request/revocation/v1",
    "type": ROOT,
    "revocationKey": "1234",
    "issued": 1_583_240_400_000_000_000,
}


def allowing(*patterns: str) -> Requestors:
    """The requestors, of whom acme may revoke this."""
    found = requestors()
    acme = replace(found.by_key["acme"], revoke_perms=patterns)
    return replace(found, by_key={**found.by_key, "acme": acme})


async def revoke(
    workshop: Workshop,
    request: JsonObject | None = None,
    *patterns: str,
    **headers: str,
) -> Answer:
    """What is answered to a revocation request of acme."""
    desk = replace(workshop.desk(), requestors=allowing(*patterns))
    given = {"Content-Type": "application/json", "Authorization": SECRET} | headers
    body = json.dumps(request or REVOCATION).encode()
    return await call(workshop.shared.at(desk), "POST", "/revocation", body, given)


async def test_a_revocation_is_forwarded(workshop: Workshop) -> None:
    """As it was asked for; `OK` as the IRMA server says it."""
    answer = await revoke(workshop, None, ROOT)
    assert (answer.status, answer.body) == (200, b"OK")
    assert answer.headers["content-type"] == "text/plain"
    (revoked,) = workshop.backend.revoked
    assert revoked.to_wire() == REVOCATION


@pytest.mark.parametrize("patterns,said", [((), None), (("irma-demo.RU.*",), ROOT)])
async def test_who_may_not_revoke_is_told_so(
    workshop: Workshop, patterns: tuple[str, ...], said: str | None
) -> None:
    """403, without a reason where nothing may be revoked at all."""
    answer = await revoke(workshop, None, *patterns)
    assert (answer.status, answer.fields["error"]) == (403, "UNAUTHORIZED")
    assert answer.fields.get("message") == said
    assert workshop.backend.revoked == []


async def test_what_the_irma_server_refuses_is_passed_on(workshop: Workshop) -> None:
    """Only it knows what was issued under a key."""
    workshop.backend.refusal = BackendRefused(
        status=404, error="UNKNOWN_REVOCATION_KEY", message="1234"
    )
    answer = await revoke(workshop, None, "*")
    assert answer.json == {
        "status": 404,
        "error": "UNKNOWN_REVOCATION_KEY",
        "message": "1234",
    }


async def test_a_backend_that_is_away_revokes_nothing(workshop: Workshop) -> None:
    """503 with a time to come back."""
    workshop.backend.unreachable = True
    assert (await revoke(workshop, None, "*")).status == 503


async def test_what_is_no_revocation_is_refused(workshop: Workshop) -> None:
    """400 with its reason."""
    answer = await revoke(workshop, REVOCATION | {"@context": "x"}, "*")
    assert (answer.status, answer.fields["error"]) == (400, "INVALID_REQUEST")
    assert answer.fields["message"] == "not a revocation request"
    assert workshop.backend.revoked == []


@pytest.mark.parametrize("type_", ["", "irma-demo", "irma-demo.RU.studentCard.level"])
async def test_who_may_revoke_anything_is_told_by_the_irma_server(
    workshop: Workshop, type_: str
) -> None:
    """What a request names is passed on as it is; who may revoke nothing hears 403."""
    request = REVOCATION | {"type": type_}
    answer = await revoke(workshop, request, ROOT)
    assert (answer.status, answer.fields.get("message", "")) == (403, type_)
    assert (await revoke(workshop, request, "*")).status == 200
    assert [one.to_wire() for one in workshop.backend.revoked] == [request]


async def test_a_stranger_revokes_nothing(workshop: Workshop) -> None:
    """403 for a wrong token; without one the body is not even read."""
    answer = await revoke(workshop, None, "*", Authorization="wrong")
    assert (answer.status, answer.fields["error"]) == (403, "UNAUTHORIZED")
    headers = {"Content-Type": "application/json"}
    exchange = Exchange(method="POST", path="/revocation", parts=(b"x",), headers=headers)
    assert (await exchange.by(workshop.gateway)).status == 400
    assert exchange.taken == 0
    headers |= {"Content-Length": str(BODY_BYTES_MAX + 1)}
    answer = await call(workshop.gateway, "POST", "/revocation", b"x", headers)
    assert answer.fields["message"] == "http: request body too large"
