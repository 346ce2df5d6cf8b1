"""Bad input at the front door: an IRMA error that says what is wrong, and no effect."""

from __future__ import annotations

import json

import pytest

from orchestrator.local.endpoint import FULLNAME
from orchestrator.proof.lab import Lab, disclosure
from schemas.irma import IrmaError

pytestmark = pytest.mark.e2e

DISCLOSURE = "https://irma.app/ld/request/disclosure/v2"

BAD = {
    "nextSession without url": (
        json.dumps(disclosure() | {"nextSession": {}}).encode(),
        "nextSession provided with empty URL",
    ),
    "unknown @context": (
        b'{"@context":"https://irma.app/ld/request/nothing/v9","disclose":[]}',
        "Invalid session request type",
    ),
    "malformed condiscon": (
        json.dumps({"@context": DISCLOSURE, "disclose": [[FULLNAME]]}).encode(),
        "disclose[0][0]",
    ),
    "attribute id of two parts": (
        json.dumps({"@context": DISCLOSURE, "disclose": [[["a.b"]]]}).encode(),
        "Expected attribute request to consist of 4 or 3 parts, 2 found",
    ),
    "broken JSON": (b'{"@context":', "JSON"),
    "body of 20 MB": (
        json.dumps(disclosure() | {"padding": "x" * 20_000_000}).encode(),
        "body",
    ),
}


@pytest.mark.parametrize("name", sorted(BAD))
async def test_bad_requests_are_refused_without_effect(lab: Lab, name: str) -> None:
    """A 4xx in the IRMA error shape; no chain, no event, no session at the server."""
    body, said = BAD[name]
    chains = len(await lab.store.chains(limit=10_000))
    told = _chains_told(lab)
    sessions = _sessions_started(lab)

    async with lab.post_session(body) as response:
        error = IrmaError.model_validate_json(await response.read())
        status, content_type = response.status, response.headers["Content-Type"]

    assert status == 400
    assert content_type == "application/json; charset=UTF-8"
    assert (error.status, error.error) == (400, "INVALID_REQUEST")
    assert error.description == "Invalid HTTP request"
    assert error.message is not None
    assert said in error.message
    assert len(await lab.store.chains(limit=10_000)) == chains
    assert _chains_told(lab) == told
    assert _sessions_started(lab) == sessions


@pytest.mark.parametrize(
    "headers,status,error",
    [
        ({"Authorization": "wrong"}, 403, "UNAUTHORIZED"),
        ({"Content-Type": "application/xml"}, 400, "INVALID_REQUEST"),
    ],
)
async def test_unknown_requestors_are_refused(
    lab: Lab, headers: dict[str, str], status: int, error: str
) -> None:
    """As the IRMA server does: an unknown token is 403, an unknown type 400."""
    body = json.dumps(disclosure()).encode()
    async with lab.post_session(body, headers) as response:
        told = IrmaError.model_validate_json(await response.read())
    assert (response.status, told.error) == (status, error)


@pytest.mark.parametrize(
    "token,error",
    [("A" * 20, "SESSION_UNKNOWN"), ("short", "INVALID_REQUEST")],
)
async def test_unknown_sessions_are_told_so(lab: Lab, token: str, error: str) -> None:
    """Unknown and malformed tokens are two different errors, both 400."""
    for what in ("status", "result", "result-jwt"):
        status, text = await lab.get(f"/session/{token}/{what}")
        assert (status, json.loads(text)["error"]) == (400, error)


@pytest.mark.parametrize("kind", ["bridge", "callback"])
async def test_guessed_capability_urls_open_nothing(lab: Lab, kind: str) -> None:
    """A made-up token is refused before its body matters."""
    url = f"{lab.stack.gateway_url}/{kind}/v1.k1.{'A' * 80}"
    async with lab.http.post(url, data=b"{}") as response:
        told = IrmaError.model_validate_json(await response.read())
    assert (response.status, told.error) == (400, "SESSION_UNKNOWN")


def _chains_told(lab: Lab) -> int:
    return sum(event.type == "chain.started" for event in lab.watch.events)


def _sessions_started(lab: Lab) -> int:
    """How many sessions the pretend IRMA server has started, by its own log."""
    logs = lab.stack.config_file.parent / "around" / "logs" / "sandbox.log"
    return logs.read_text().count('"session_started"')
