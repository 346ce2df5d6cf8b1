"""Request bodies are read within the IRMA server's limit, and never kept beyond it."""

from __future__ import annotations

import asyncio

import pytest
from fastapi import Request
from starlette.types import Message

from orchestrator.gateway.authentication import Authenticator
from orchestrator.gateway.bodies import (
    BODY_BYTES_MAX,
    DRAINED_BYTES_MAX,
    admitted_body,
    read_body,
)
from orchestrator.gateway.faults import IrmaFault
from tests.support.asgi import Exchange, scope_of

MIB = 1024 * 1024


def sent(*parts: bytes) -> tuple[Request, Exchange]:
    """A request whose body comes in these parts."""
    exchange = Exchange(method="POST", path="/session", parts=parts)
    return Request({"type": "http"}, exchange.receive), exchange


async def test_a_body_in_parts_is_put_together() -> None:
    """However it was cut on the way."""
    request, _ = sent(b"ab", b"", b"c")
    assert await read_body(request) == b"abc"


async def test_an_empty_body_is_empty() -> None:
    """Nothing is no fault here; who needs more says so."""
    request, _ = sent(b"")
    assert await read_body(request) == b""


async def test_ten_mib_are_taken() -> None:
    """The limit itself is within."""
    request, _ = sent(*[bytes(MIB)] * 10)
    assert len(await read_body(request)) == BODY_BYTES_MAX


async def test_one_byte_more_is_refused_after_it_was_read() -> None:
    """The client has sent all, so that it reads its error and not a broken pipe."""
    request, exchange = sent(*[bytes(MIB)] * 10, b"x", b"y")
    with pytest.raises(IrmaFault) as caught:
        await read_body(request)
    assert caught.value.error.status == 400
    assert caught.value.error.error == "INVALID_REQUEST"
    assert caught.value.error.message == "http: request body too large"
    assert exchange.taken == 12


async def test_an_endless_body_is_not_read_to_its_end() -> None:
    """What is dropped has a limit of its own."""
    parts = [bytes(MIB)] * (DRAINED_BYTES_MAX // MIB + 50)
    request, exchange = sent(*parts)
    with pytest.raises(IrmaFault):
        await read_body(request)
    assert exchange.taken == DRAINED_BYTES_MAX // MIB + 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json"},
        {"Content-Type": "application/json", "Authorization": "wrong"},
        {"Content-Type": "application/xml", "Authorization": "right"},
    ],
)
@pytest.mark.parametrize("more,too_large", [(0, False), (1, True)])
async def test_a_strangers_body_is_too_large_first(
    headers: dict[str, str], more: int, *, too_large: bool
) -> None:
    """It is not read, but an IRMA server would have looked at its size before."""
    announced = headers | {"Content-Length": str(BODY_BYTES_MAX + more)}
    exchange = Exchange(method="POST", path="/session", parts=(b"x",))
    request = Request(scope_of("POST", "/session", announced), exchange.receive)
    with pytest.raises(IrmaFault) as caught:
        await admitted_body(request, Authenticator(tokens={"acme": "right"}))
    message = caught.value.error.message
    assert (message == "http: request body too large") == too_large
    assert exchange.taken == 0


async def test_who_may_be_known_is_read() -> None:
    """Whatever was announced: the body of a known requestor is what counts."""
    headers = {"Content-Type": "application/json", "Authorization": "right"}
    exchange = Exchange(method="POST", path="/session", parts=(b"ab", b"c"))
    announced = headers | {"Content-Length": str(BODY_BYTES_MAX + 1)}
    request = Request(scope_of("POST", "/session", announced), exchange.receive)
    authenticator = Authenticator(tokens={"acme": "right"})
    assert await admitted_body(request, authenticator) == b"abc"


async def test_a_body_that_does_not_come_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client that stops in between gets its error, and its connection is free (G8)."""
    monkeypatch.setattr("orchestrator.gateway.bodies.BODY_TIMEOUT_S", 0.01)

    async def never() -> Message:
        return await asyncio.Future[Message]()

    with pytest.raises(IrmaFault) as caught:
        await read_body(Request({"type": "http"}, never))
    assert caught.value.error.status == 400
    assert "body: not received" in (caught.value.error.message or "")
