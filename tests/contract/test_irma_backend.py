"""The IRMA backend against the pretend IRMA server, and against one that misbehaves."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from orchestrator.backends.irma import IrmaBackend
from orchestrator.domain.errors import (
    BackendRefused,
    BackendUnavailable,
    NotConfigured,
    OrchestratorError,
    Undecodable,
)
from orchestrator.ports import Backend
from orchestrator.sandbox import Requestor, Wallet
from schemas.irma import SessionRequest, Status, session_request_from
from tests.contract.sandbox_lab import (
    Endpoint,
    endpoint_at_work,
    listening,
    sandbox_at_work,
    serving,
)

ID = "irma-demo.RU.studentCard.studentID"
KEY = "secret1"
UNKNOWN = "A" * 20
REQUESTORS = {"alice": Requestor(key=KEY)}

Call = Callable[[Backend], Awaitable[object]]


def asked(**extended: object) -> SessionRequest:
    """A disclosure request with these fields of the extended form."""
    plain = {
        "@context": "https://irma.app/ld/request/disclosure/v2",
        "disclose": [[[ID]]],
    }
    return session_request_from({"request": plain, **extended})


#: Every call of the backend, for faults that none may let through.
CALLS: list[Call] = [
    lambda backend: backend.start(asked()),
    lambda backend: backend.result(UNKNOWN),
    lambda backend: backend.cancel(UNKNOWN),
    lambda backend: backend.read_result(b"a.b.c", "text/plain"),
]


@asynccontextmanager
async def scripted(
    status: int, text: str = "", location: str | None = None
) -> AsyncIterator[IrmaBackend]:
    """A backend at a server that always gives the same answer."""
    headers = {} if location is None else {"Location": location}

    def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text, headers=headers)

    async with server(answer) as url, IrmaBackend.open(url) as opened:
        yield opened


@asynccontextmanager
async def server(answer: Callable[[web.Request], web.Response]) -> AsyncIterator[str]:
    """A server that answers every request like this."""

    async def handler(request: web.Request) -> web.Response:
        return answer(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    listener, url = listening()
    async with serving(app, listener):
        yield url


async def fails(call: Call, backend: Backend) -> OrchestratorError:
    """The error that a call ends with."""
    with pytest.raises(OrchestratorError) as caught:
        await call(backend)
    assert caught.value.__cause__ is None
    return caught.value


def posted(endpoint: Endpoint) -> tuple[bytes, str]:
    """The result that was POSTed to an endpoint while the wallet waited."""
    (received,) = endpoint.received
    return received.body.encode(), received.headers["Content-Type"]


async def test_a_session_from_start_to_cancellation() -> None:
    """A session is started, looked up and cancelled; unknown ones are told as such."""
    async with (
        sandbox_at_work(time.time, requestors=REQUESTORS) as (_, url),
        IrmaBackend.open(url, key=KEY) as backend,
    ):
        started = await backend.start(asked())
        assert started.package.token == started.token
        assert started.package.session_ptr.u.startswith(f"{url}/irma/session/")
        fresh = await backend.result(started.token)
        assert fresh is not None
        assert (fresh.token, fresh.status) == (started.token, Status.INITIALIZED)
        assert await backend.cancel(started.token)
        assert await backend.cancel(started.token)
        cancelled = await backend.result(started.token)
        assert cancelled is not None
        assert cancelled.status is Status.CANCELLED
        assert await backend.result(UNKNOWN) is None
        assert not await backend.cancel(UNKNOWN)


async def test_a_key_is_not_needed_where_nobody_has_to_authenticate() -> None:
    """Without a key no Authorization is sent, which would be fatal there."""
    async with (
        sandbox_at_work(time.time) as (_, url),
        IrmaBackend.open(f"{url}/") as backend,
    ):
        assert (await backend.start(asked())).token


async def test_refusals_keep_what_the_server_said() -> None:
    """A request that may not be made is refused in the server's own words."""
    async with (
        sandbox_at_work(
            time.time, requestors=REQUESTORS, disclose_perms=("a.b.c.d",)
        ) as (_, url),
        IrmaBackend.open(url, key=KEY) as mine,
        IrmaBackend.open(url, key="wrong") as wrong,
    ):
        refused = await fails(CALLS[0], mine)
        unauthorized = await fails(CALLS[0], wrong)
        unsupported = await fails(
            lambda backend: backend.start(asked(callbackUrl="http://x.example/")), mine
        )
    assert isinstance(refused, BackendRefused)
    assert (refused.status, refused.error) == (403, "UNAUTHORIZED")
    assert refused.description.startswith("You are not authorized")
    assert refused.message == ID
    assert isinstance(unauthorized, BackendRefused)
    assert (unauthorized.error, unauthorized.message) == ("UNAUTHORIZED", "")
    assert isinstance(unsupported, BackendRefused)


async def test_an_unsigned_chain_is_refused_by_the_server() -> None:
    """A 501 is the server's word on what it cannot do, not a fault of it."""
    async with sandbox_at_work(time.time) as (_, url), IrmaBackend.open(url) as backend:
        refused = await fails(
            lambda it: it.start(asked(callbackUrl="http://x.example/")), backend
        )
    assert isinstance(refused, BackendRefused)
    assert (refused.status, refused.error) == (501, "UNSUPPORTED")


async def test_signed_results_are_read(jwt_privkey: str) -> None:
    """What a server with a key posts is believed; the same unsigned is not."""
    async with (
        sandbox_at_work(time.time, jwt_privkey=jwt_privkey) as (_, url),
        IrmaBackend.open(url) as backend,
        endpoint_at_work() as endpoint,
    ):
        request = asked(nextSession={"url": endpoint.url})
        started = await backend.start(request)
        await Wallet().run(started.package.session_ptr)
        body, content_type = posted(endpoint)
        result = await backend.read_result(body, content_type)
        with pytest.raises(Undecodable, match="not signed"):
            await backend.read_result(
                json.dumps(result.to_wire()).encode(), "application/json"
            )
    assert content_type == "text/plain; charset=UTF-8"
    assert (result.token, result.status) == (started.token, Status.CONNECTED)
    assert result.proved


async def test_unsigned_results_are_read_where_nobody_signs(jwt_privkey: str) -> None:
    """What a server without a key posts is JSON; another server's JWT is refused."""
    async with (
        sandbox_at_work(time.time, allow_unsigned_callbacks=True) as (_, url),
        sandbox_at_work(time.time, jwt_privkey=jwt_privkey) as (_, other),
        IrmaBackend.open(url) as backend,
        IrmaBackend.open(other) as elsewhere,
        endpoint_at_work() as endpoint,
        endpoint_at_work() as other_endpoint,
    ):
        started = await backend.start(asked(nextSession={"url": endpoint.url}))
        await Wallet().run(started.package.session_ptr)
        result = await backend.read_result(*posted(endpoint))
        assert result.token == started.token
        foreign = await elsewhere.start(asked(nextSession={"url": other_endpoint.url}))
        await Wallet().run(foreign.package.session_ptr)
        with pytest.raises(Undecodable, match="signature"):
            await backend.read_result(*posted(other_endpoint))


async def test_what_is_sent() -> None:
    """The start is JSON with the raw key; other calls need neither."""
    seen: list[tuple[str, str, str | None, str | None]] = []

    def note(request: web.Request) -> web.Response:
        head = request.headers
        seen.append(
            (
                request.method,
                request.raw_path,
                head.get("Authorization"),
                head.get("Content-Type"),
            )
        )
        return web.Response(status=500)

    async with (
        server(note) as url,
        IrmaBackend.open(f"{url}/prefix%2F/", key=KEY) as backend,
    ):
        for call in CALLS:
            await fails(call, backend)
    prefix = "/prefix%2F"
    assert seen == [
        ("POST", f"{prefix}/session", KEY, "application/json"),
        ("GET", f"{prefix}/session/{UNKNOWN}/result", None, None),
        ("DELETE", f"{prefix}/session/{UNKNOWN}", None, None),
        ("GET", f"{prefix}/publickey", None, None),
    ]


async def test_strange_tokens_are_unknown_without_asking() -> None:
    """A token that cannot be one never gets into a request's path."""
    async with scripted(500) as backend:
        for token in ("", "..", "a/b", "a?b", "é", "A" * 101):
            assert await backend.result(token) is None
            assert not await backend.cancel(token)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", [201, 302, 404, 409, 429, 500, 502, 503])
async def test_faults_are_unavailability(call: Call, status: int) -> None:
    """What is no word of an IRMA server is held, and told without its content."""
    async with scripted(status, "MARKER", "/MARKER") as backend:
        error = await fails(call, backend)
    assert isinstance(error, BackendUnavailable)
    assert str(status) in str(error)
    assert "MARKER" not in str(error)
    assert UNKNOWN not in str(error)


async def test_an_irma_servers_own_fault_is_unavailability() -> None:
    """An INTERNAL_ERROR is nothing a requestor can mend."""
    async with scripted(500, '{"status":500,"error":"INTERNAL_ERROR"}') as backend:
        for call in CALLS:
            error = await fails(call, backend)
            assert isinstance(error, BackendUnavailable)
            assert str(error).endswith("status 500")


async def test_a_proxys_size_limit_is_a_refusal() -> None:
    """The same request would be too large again and again, so it is not held."""
    async with scripted(413, "MARKER") as backend:
        refused = await fails(CALLS[0], backend)
    assert isinstance(refused, BackendRefused)
    assert refused.message == "request body too large"


@pytest.mark.parametrize("body", ["", "MARKER", "{}", "[]", '{"token":"MARKER"}'])
@pytest.mark.parametrize("call", CALLS[:2])
async def test_malformed_answers_are_unavailability(call: Call, body: str) -> None:
    """A 200 without what it should hold is told by what is wrong, not by its content."""
    async with scripted(200, body) as backend:
        error = await fails(call, backend)
    assert isinstance(error, BackendUnavailable)
    assert ": no session " in str(error)
    assert "MARKER" not in str(error)


@pytest.mark.parametrize("body", ["", "MARKER", "-----BEGIN PUBLIC KEY-----\nMARKER"])
async def test_malformed_public_keys_are_unavailability(body: str) -> None:
    """A result waits until the server's key can be read."""
    async with scripted(200, body) as backend:
        error = await fails(CALLS[3], backend)
    assert isinstance(error, BackendUnavailable)
    assert str(error).endswith("public key: no PEM")


async def test_answers_have_a_limit() -> None:
    """An answer that is too long is not read to its end."""
    async with (
        server(lambda _: web.Response(text="x" * 2000)) as url,
        IrmaBackend.open(url, answer_bytes_max=1000) as backend,
    ):
        error = await fails(CALLS[0], backend)
    assert str(error) == f"IRMA server {url}: an answer of more than 1000 bytes"


@pytest.mark.parametrize("call", CALLS)
async def test_a_silent_server_is_unavailable(call: Call) -> None:
    """No call waits longer than its limit."""
    over = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        await over.wait()
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    listener, url = listening()
    async with serving(app, listener), IrmaBackend.open(url, timeout_s=0.1) as backend:
        error = await fails(call, backend)
        over.set()
    assert str(error) == f"IRMA server {url}: no answer in time"


@pytest.mark.parametrize("call", CALLS)
async def test_a_server_that_is_away_is_unavailable(call: Call) -> None:
    """Where nobody listens, the fault and the origin are told."""
    listener, url = listening()
    listener.close()
    async with IrmaBackend.open(f"{url}/MARKER") as backend:
        error = await fails(call, backend)
    assert isinstance(error, BackendUnavailable)
    assert str(error) == f"IRMA server {url}: ClientConnectorError"


@pytest.mark.parametrize(
    "url",
    ["", "irma.example", "ftp://irma.example", "http://", "http://u:MARKER@h.example/",
     "http://h.example/?MARKER", "http://[::1"],
)  # fmt: skip
async def test_unfit_urls_are_refused(url: str) -> None:
    """A URL that is none of an IRMA server's stops the process at its start."""
    with pytest.raises(NotConfigured, match="http or https") as refusal:
        async with IrmaBackend.open(url):
            pass
    assert "MARKER" not in str(refusal.value)
