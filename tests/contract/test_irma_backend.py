"""The IRMA backend against the pretend IRMA server, and against one that misbehaves."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from orchestrator.backends.irma import IrmaBackend, RequestKey
from orchestrator.domain.errors import (
    BackendRefused,
    BackendUnavailable,
    NotAdmitted,
    NotConfigured,
    OrchestratorError,
    Undecodable,
)
from orchestrator.ports import Backend
from orchestrator.proof.endpoints import (
    Endpoint,
    Received,
    endpoint_at_work,
    listening,
    serving,
)
from orchestrator.sandbox import Requestor, Wallet
from orchestrator.sandbox.config import AuthMethod
from schemas.irma import (
    RevocationRequest,
    SessionPackage,
    SessionRequest,
    Status,
    revocation_request_from,
    session_package_from,
    session_request_from,
)
from tests.contract.sandbox_lab import sandbox_at_work
from tests.support import jwts

ID = "irma-demo.RU.studentCard.studentID"
KEY = "secret1"
UNKNOWN = "A" * 20
FRONTEND = "F" * 20
ROOT = "irma-demo.MijnOverheid.root"
DISCLOSE = "https://irma.app/ld/request/disclosure/v2"
SIGN = "https://irma.app/ld/request/signature/v2"
ISSUE = {
    "@context": "https://irma.app/ld/request/issuance/v2",
    "credentials": [
        {
            "credential": "irma-demo.RU.studentCard",
            "attributes": {
                "university": "Radboud",
                "studentCardNumber": "31415927",
                "studentID": "s1234567",
                "level": "42",
            },
        }
    ],
}
REQUESTORS = {"alice": Requestor(key=KEY)}

Call = Callable[[Backend], Awaitable[object]]


def own_key(method: str, owner: str = "us") -> tuple[RequestKey, Requestor]:
    """A key of ours, and how the server knows us by it."""
    if method == "hmac":
        secret = owner.encode() * 20
        text = base64.b64encode(secret).decode()
        known = Requestor(auth_method=AuthMethod.HMAC, key=text)
        return RequestKey(requestor="us", secret=secret), known
    pair = jwts.rsa_key(owner)
    pem = jwts.public_pem(pair)
    known = Requestor(auth_method=AuthMethod.PUBLICKEY, key=pem)
    return RequestKey(requestor="us", secret=pair), known


def asked(**extended: object) -> SessionRequest:
    """A disclosure request with these fields of the extended form."""
    plain = {"@context": DISCLOSE, "disclose": [[[ID]]]}
    return session_request_from({"request": plain, **extended})


def revocation(key: str = "k") -> RevocationRequest:
    """A revocation of what was issued under this key."""
    return revocation_request_from(
        {
            "@context": "https://irma.app/ld/request/revocation/v1",
            "type": ROOT,
            "revocationKey": key,
        }
    )


def package(u: str = f"http://irma.example/irma/session/{UNKNOWN}") -> SessionPackage:
    """The package of a session with this pointer."""
    return session_package_from(
        {
            "sessionPtr": {"u": u, "irmaqr": "disclosing"},
            "token": UNKNOWN,
            "frontendRequest": {
                "authorization": FRONTEND,
                "minProtocolVersion": "1.0",
                "maxProtocolVersion": "1.1",
            },
        }
    )


#: Every call of the backend, for faults that none may let through.
CALLS: list[Call] = [
    lambda backend: backend.start(asked()),
    lambda backend: backend.result(UNKNOWN),
    lambda backend: backend.cancel(UNKNOWN),
    lambda backend: backend.read_result(b"a.b.c", "text/plain"),
    lambda backend: backend.status(UNKNOWN),
    lambda backend: backend.next_pointer(package()),
    lambda backend: backend.revoke(revocation()),
    lambda backend: backend.signs(),
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


@pytest.mark.parametrize("method", ["hmac", "publickey"])
@pytest.mark.trap("T13", "T34")
async def test_requests_can_be_signed(method: str) -> None:
    """Sessions of every kind start with a JWT of ours, dated back by a moment."""
    key, configured = own_key(method)
    starts = [
        asked(),
        session_request_from({"@context": SIGN, "message": "m", "disclose": [[[ID]]]}),
        session_request_from(ISSUE),
    ]
    async with (
        sandbox_at_work(time.time, requestors={"us": configured}) as (_, url),
        IrmaBackend.open(url, key=key) as backend,
    ):
        for request in starts:
            assert (await backend.start(request)).token
        with pytest.raises(NotAdmitted):
            # We are known there; it is the permission to revoke that is not given.
            await backend.revoke(revocation())


@pytest.mark.parametrize("method", ["hmac", "publickey"])
async def test_credentials_that_are_refused_are_no_requestors_business(
    method: str,
) -> None:
    """A wrong key, name or clock of ours is told apart from what a request asks for."""
    key, configured = own_key(method)
    other, _ = own_key(method, owner="thief")
    later = datetime.now(UTC) + timedelta(seconds=10)
    earlier = later - timedelta(seconds=400)
    async with (
        sandbox_at_work(time.time, requestors={"us": configured}) as (_, url),
        IrmaBackend.open(url, key=other) as wrong_key,
        IrmaBackend.open(url, key=replace(key, requestor="them")) as wrong_name,
        IrmaBackend.open(url, key=key, clock=lambda: later) as fast,
        IrmaBackend.open(url, key=key, clock=lambda: earlier) as slow,
        IrmaBackend.open(url, key="token") as wrong_method,
        IrmaBackend.open(url) as nobody,
    ):
        said = [
            str(await fails(CALLS[0], backend)).rpartition("us: ")[2]
            for backend in (wrong_key, wrong_name, fast, slow, wrong_method, nobody)
        ]
        with capture_logs() as logs:
            assert isinstance(await fails(CALLS[0], nobody), NotAdmitted)
    assert said == [
        "signature is invalid" if method == "hmac" else "crypto/rsa: verification error",
        "Unknown requestor",
        "token used before issued",
        "jwt too old",
        "UNAUTHORIZED",
        "request could not be authenticated",
    ]
    assert [entry["event"] for entry in logs] == ["backend.not_admitted"]


async def test_a_bad_request_in_a_jwt_is_the_requestors(jwt_privkey: str) -> None:
    """What is about the request is passed on, signed or not."""
    key, configured = own_key("hmac")
    async with (
        sandbox_at_work(
            time.time, requestors={"us": configured}, jwt_privkey=jwt_privkey
        ) as (_, url),
        IrmaBackend.open(url, key=key) as backend,
    ):
        unknown = asked(request={"@context": DISCLOSE, "disclose": [[["a.b.c.d"]]]})
        refused = await fails(lambda it: it.start(unknown), backend)
    assert isinstance(refused, BackendRefused)
    assert refused.error == "INVALID_REQUEST"


async def test_statuses_are_read() -> None:
    """Where a session stands, or None where the server does not know it."""
    async with sandbox_at_work(time.time) as (_, url), IrmaBackend.open(url) as backend:
        started = await backend.start(asked())
        assert await backend.status(started.token) is Status.INITIALIZED
        await backend.cancel(started.token)
        assert await backend.status(started.token) is Status.CANCELLED
        assert await backend.status(UNKNOWN) is None


async def test_the_next_session_is_found_by_its_frontend() -> None:
    """Who followed in flow is told to who has the first one's frontend token."""
    plain = {"@context": DISCLOSE, "disclose": [[[ID]]]}

    async def next_one(_: int, __: Received) -> web.StreamResponse:
        return web.json_response(plain)

    async with (
        sandbox_at_work(time.time, allow_unsigned_callbacks=True) as (_, url),
        IrmaBackend.open(url) as backend,
        endpoint_at_work(next_one) as endpoint,
    ):
        started = await backend.start(asked(nextSession={"url": endpoint.url}))
        assert await backend.next_pointer(started.package) is None
        wallet = Wallet()
        await wallet.run(started.package.session_ptr)
        following = await backend.next_pointer(started.package)
        assert following is not None
        assert following.u.startswith(f"{url}/irma/session/")
        assert following.u != started.package.session_ptr.u
        assert (
            await backend.next_pointer(package(f"{url}/irma/session/{UNKNOWN}")) is None
        )
        foreign = started.package.model_copy(
            update={"frontend_request": package().frontend_request}
        )
        with pytest.raises(BackendRefused, match="UNAUTHORIZED"):
            await backend.next_pointer(foreign)


async def test_a_sessions_host_goes_along_to_where_the_server_is_reached() -> None:
    """The client side may have an address of its own, and sessions another host."""
    seen: list[tuple[str, str]] = []

    def note(request: web.Request) -> web.Response:
        seen.append((request.headers["Host"], request.raw_path))
        return web.json_response({"status": "DONE"})

    async with (
        server(note) as url,
        IrmaBackend.open("http://nobody.example", client_url=f"{url}/at") as backend,
    ):
        there = f"https://app.example:8443/irma/session/{UNKNOWN}"
        assert await backend.next_pointer(package(there)) is None
    path = f"/at/irma/session/{UNKNOWN}/frontend/status"
    assert seen == [("app.example:8443", path)]


async def test_what_was_issued_is_revoked() -> None:
    """The server's word on it is passed on."""
    everything = Requestor(key=KEY, revoke_perms=("*",))
    answers = iter(
        [
            web.Response(text="OK"),
            web.json_response({"error": "REVOCATION", "status": 500}, status=500),
        ]
    )
    async with (
        sandbox_at_work(time.time, requestors={"us": everything}) as (_, url),
        IrmaBackend.open(url, key=KEY) as backend,
        server(lambda _: next(answers)) as other,
        IrmaBackend.open(other, key=KEY) as elsewhere,
    ):
        unknown = await fails(lambda it: it.revoke(revocation()), backend)
        await elsewhere.revoke(revocation())
        failed = await fails(lambda it: it.revoke(revocation()), elsewhere)
    assert isinstance(unknown, BackendRefused)
    assert (unknown.status, unknown.error) == (404, "UNKNOWN_REVOCATION_KEY")
    assert isinstance(failed, BackendRefused)
    assert (failed.status, failed.error) == (500, "REVOCATION")


async def test_whether_a_server_signs(jwt_privkey: str) -> None:
    """A server with a key signs all that it posts."""
    async with (
        sandbox_at_work(time.time, jwt_privkey=jwt_privkey) as (_, url),
        IrmaBackend.open(url) as signing,
        sandbox_at_work(time.time) as (_, other),
        IrmaBackend.open(other) as silent,
    ):
        assert await signing.signs()
        assert not await silent.signs()


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
    assert isinstance(unauthorized, NotAdmitted)
    assert str(unauthorized) == f"IRMA server {url}: refuses us: UNAUTHORIZED"
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
        ("GET", f"{prefix}/session/{UNKNOWN}/status", None, None),
        (
            "GET",
            f"{prefix}/irma/session/{UNKNOWN}/frontend/status",
            FRONTEND,
            None,
        ),
        ("POST", f"{prefix}/revocation", KEY, "application/json"),
        ("GET", f"{prefix}/publickey", None, None),
    ]


async def test_strange_tokens_are_unknown_without_asking() -> None:
    """A token that cannot be one never gets into a request's path."""
    async with scripted(500) as backend:
        for token in ("", "..", "a/b", "a?b", "é", "A" * 101):
            assert await backend.result(token) is None
            assert await backend.status(token) is None
            assert not await backend.cancel(token)
        for path in ("", "/irma/session/", "/irma/session/a%2Fb", "/irma/session/a/b"):
            assert await backend.next_pointer(package(f"http://x.example{path}")) is None


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
    assert str(error) == f"IRMA server {url}: no connection"


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
