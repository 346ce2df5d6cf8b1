"""What the bridge and the callback receiver do not take, and that it has no effect."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestrator.domain.chain import Slot, StepState
from schemas.irma import JsonObject
from tests.support.samples import result_of, wire
from tests.support.workshop import Workshop
from tests.unit.gateway.bridging import (
    post,
)


async def refused(workshop: Workshop, path: str | None, body: bytes) -> JsonObject:
    """The error for a POST that has no effect whatsoever."""
    before = await workshop.store.chains(limit=100)
    answer = await post(workshop, path, body)
    await workshop.settled()
    assert answer.status == answer.fields["status"]
    assert workshop.publisher.calls == []
    assert await workshop.waiting() == []
    assert await workshop.store.chains(limit=100) == before
    return answer.fields


async def test_a_capability_serves_one_purpose(workshop: Workshop) -> None:
    """The callback's is none for the bridge, nor the other way round (G7)."""
    begun = await workshop.begin()
    body = wire(result_of(begun.token))
    assert begun.bridge is not None
    bridge = f"/bridge/{begun.callback.rpartition('/')[2]}"
    callback = f"/callback/{begun.bridge.rpartition('/')[2]}"
    for path in (bridge, callback):
        error = await refused(workshop, path, body)
        assert (error["status"], error["error"]) == (400, "SESSION_UNKNOWN")
    assert (await workshop.row(begun.slot)).state is StepState.LIVE


async def test_a_capability_expires(workshop: Workshop) -> None:
    """After the longest life of a chain it is worth nothing."""
    begun = await workshop.begin()
    workshop.clock.advance(timedelta(days=7, hours=1).total_seconds())
    for path in (begun.bridge, begun.callback):
        error = await refused(workshop, path, wire(result_of(begun.token)))
        assert error["error"] == "SESSION_UNKNOWN"


@pytest.mark.parametrize("token", ["x", "v1.k1.AAAA", "v1.k2.AAAA", "%2F", "v1.k1."])
async def test_a_capability_cannot_be_made_up(workshop: Workshop, token: str) -> None:
    """Whatever is guessed is an unknown session."""
    for kind in ("bridge", "callback"):
        error = await refused(workshop, f"/{kind}/{token}", wire(result_of("T" * 20)))
        assert error["error"] == "SESSION_UNKNOWN"


@pytest.mark.parametrize(
    "status,proof",
    [
        ("CONNECTED", "INVALID"),
        ("CONNECTED", None),
        ("DONE", "VALID"),
        ("CANCELLED", None),
        ("TIMEOUT", "VALID"),
    ],
)
async def test_only_a_proved_session_has_a_next_one(
    workshop: Workshop, status: str, proof: str | None
) -> None:
    """400 that says which fields; the row stays as it is."""
    begun = await workshop.begin()
    body = wire(result_of(begun.token, status, proof))
    error = await refused(workshop, begun.bridge, body)
    assert error["error"] == "INVALID_REQUEST"
    assert "proofStatus, status" in str(error["message"])
    assert (await workshop.row(begun.slot)).state is StepState.LIVE


@pytest.mark.parametrize(
    "body,said",
    [
        (b"", "not JSON"),
        (b'{"token": "MARKER', "not JSON"),
        (b'{"status":"CONNECTED","type":"disclosing"}', "token: missing"),
        (b'{"token":"t","status":"MARKER","type":"disclosing"}', "status"),
    ],
)
async def test_what_is_no_result_is_refused_with_its_reason(
    workshop: Workshop, body: bytes, said: str
) -> None:
    """Field and reason, never the value."""
    begun = await workshop.begin()
    for path in (begun.bridge, begun.callback):
        error = await refused(workshop, path, body)
        assert error["error"] == "INVALID_REQUEST"
        assert said in str(error["message"])
        assert "MARKER" not in str(error)


async def test_a_chain_that_does_not_exist_ends_well_for_the_user(
    workshop: Workshop,
) -> None:
    """A crash between session and row leaves a session we never wrote down."""
    slot = Slot(chain_id="01NOBODY", step=1)
    request = workshop.backend.requests
    await workshop.begin()
    prepared = workshop.preparer.prepared(request[-1], slot, "acme", workshop.clock())
    assert prepared.next_session is not None
    path = prepared.next_session.url.removeprefix("https://chains.example")
    answer = await post(workshop, path, wire(result_of("T" * 20)))
    await workshop.settled()
    assert (answer.status, answer.body) == (204, b"")
    assert await workshop.store.steps("01NOBODY") == []


async def test_a_result_that_is_too_long_is_refused(workshop: Workshop) -> None:
    """What the broker would never take is not accepted."""
    begun = await workshop.begin()
    workshop.publisher.bytes_max = 1_000
    long = result_of(begun.token, error={"message": "x" * 1_000})
    for path in (begun.bridge, begun.callback):
        answer = await post(workshop, path, wire(long))
        assert answer.status == 400
        assert "body" in str(answer.fields["message"])
    assert await workshop.waiting() == []
