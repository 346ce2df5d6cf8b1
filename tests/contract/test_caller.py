"""The HTTP client for callbacks against real servers, well-behaved and otherwise."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.http import HttpProcessingError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.callbacks import HttpCaller
from orchestrator.callbacks.caller import _CALL_ERRORS, fault_of
from orchestrator.domain.delivery import Answer, Fault, NoAnswer, Reply
from orchestrator.ports import Caller
from tests.contract.endpoint_lab import (
    LOCAL,
    NOW,
    answer,
    answering,
    endpoint,
    fault,
    raw,
    says,
    to,
)

LIMIT = 10_000


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    """A caller with a small limit for answers and a clock that stands still."""
    async with HttpCaller.open(
        LOCAL, answer_bytes_max=LIMIT, clock=lambda: NOW
    ) as opened:
        yield opened


async def test_request_is_the_irma_servers(caller: Caller) -> None:
    """Beyond our own headers the recorded ones and no others are sent."""
    seen: list[tuple[str, dict[str, str], bytes]] = []

    async def handler(request: web.BaseRequest) -> web.Response:
        seen.append((request.method, dict(request.headers), await request.read()))
        return web.Response(status=204)

    async with endpoint(handler) as url:
        await caller.post(to(f"{url}/next"))
        host = url.removeprefix("http://")
    method, headers, body = seen[0]
    assert (method, body) == ("POST", b'{"token":"x"}')
    assert headers == {
        "Host": host,
        "User-Agent": "irmago",
        "Content-Type": "text/plain; charset=UTF-8",
        "Content-Length": "13",
        "Accept-Encoding": "gzip",
        "webhook-id": "01J-1-0-c",
    }


@pytest.mark.parametrize(
    "path",
    ["/a%2Fb/%7e/c%20d?x=%3D&y=+&z", "/../b//c/./d", "/%zz", "/cb?x=1/", "/(a)'b'"],
)
async def test_url_is_posted_verbatim(caller: Caller, path: str) -> None:
    """What the requestor wrote is what stands in the request line."""
    seen: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        seen.append(line.decode())
        await says(b"HTTP/1.1 204 No Content\r\n\r\n")(reader, writer)

    async with raw(talk) as url:
        assert answer(await caller.post(to(url + path))).status == 204
    assert seen == [f"POST {path} HTTP/1.1\r\n"]


async def test_user_data_goes_into_the_authorization(caller: Caller) -> None:
    """A URL's user and password are sent as Go's client sends them, path untouched."""
    seen: list[tuple[str, str]] = []

    async def handler(request: web.BaseRequest) -> web.Response:
        seen.append((request.raw_path, request.headers["Authorization"]))
        return web.Response(status=204)

    async with endpoint(handler) as url:
        host = url.removeprefix("http://")
        reply = await caller.post(to(f"http://us%C3%A9r:pa:ss@{host}/a%2Fb?%7e"))
    assert answer(reply).status == 204
    assert seen == [("/a%2Fb?%7e", "Basic dXPDqXI6cGE6c3M=")]


async def test_answer_has_status_and_body(caller: Caller) -> None:
    """A 200 comes with its body and the time it took."""
    async with endpoint(answering(200, b'{"request":{}}')) as url:
        reply = answer(await caller.post(to(url)))
    assert (reply.status, reply.body) == (200, b'{"request":{}}')
    assert 0 < reply.duration_s < 10
    assert (reply.retry_after_s, reply.location_origin) == (None, None)


async def test_packed_answers_are_unpacked(caller: Caller) -> None:
    """Gzip was asked for, so it is understood."""
    packed = answering(200, gzip.compress(b"body"), {"Content-Encoding": "gzip"})
    async with endpoint(packed) as url:
        assert answer(await caller.post(to(url))).body == b"body"


async def test_connections_are_used_again(caller: Caller) -> None:
    """Calls that follow each other share a connection, whatever they were answered."""
    ports: set[str | None] = set()
    statuses = iter([204, 200, 500, 204])

    async def handler(request: web.BaseRequest) -> web.Response:
        assert request.transport is not None
        ports.add(str(request.transport.get_extra_info("peername")))
        return web.Response(status=next(statuses), headers={"Set-Cookie": "a=b"})

    async with endpoint(handler) as url:
        for status in (204, 200, 500, 204):
            assert answer(await caller.post(to(url))).status == status
    assert len(ports) == 1


async def test_cookies_are_not_kept(caller: Caller) -> None:
    """What one callback was given, the next does not bring along."""
    cookies: list[str | None] = []

    async def handler(request: web.BaseRequest) -> web.Response:
        cookies.append(request.headers.get("Cookie"))
        return web.Response(status=204, headers={"Set-Cookie": "a=b; Path=/"})

    async with endpoint(handler) as url:
        await caller.post(to(url))
        await caller.post(to(url))
    assert cookies == [None, None]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_told_not_followed(caller: Caller, status: int) -> None:
    """A redirect is an answer of its own, with the origin it points to."""
    calls: list[str] = []

    async def handler(request: web.BaseRequest) -> web.Response:
        calls.append(request.path)
        location = f"https://u:MARKER@other.example/MARKER/{status}"
        return web.Response(status=status, headers={"Location": location})

    async with endpoint(handler) as url:
        reply = answer(await caller.post(to(f"{url}/one")))
    assert calls == ["/one"]
    assert (reply.status, reply.location_origin) == (status, "https://other.example")


@pytest.mark.parametrize(
    "value,delay_s",
    [("7", 7.0), ("1.5", 1.5), ("Fri, 02 Jan 2026 03:05:05 GMT", 60.0), ("x", None)],
)
async def test_retry_after_is_read(
    caller: Caller, value: str, delay_s: float | None
) -> None:
    """The wish for a pause comes with the answer, a date measured by our clock."""
    async with endpoint(answering(503, b"", {"Retry-After": value})) as url:
        reply = answer(await caller.post(to(url)))
    assert (reply.status, reply.retry_after_s) == (503, delay_s)


@pytest.mark.parametrize(
    "header,aborted", [({}, False), ({"chain-delivery": "abort"}, True)]
)
async def test_an_abort_is_read(
    caller: Caller, header: dict[str, str], *, aborted: bool
) -> None:
    """`Chain-Delivery: abort` comes with any answer."""
    async with endpoint(answering(503, b"", header)) as url:
        reply = answer(await caller.post(to(url)))
    assert (reply.status, reply.abort) == (503, aborted)


@pytest.mark.parametrize("packed", [False, True])
async def test_answers_have_a_limit(caller: Caller, packed: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """An answer of the limit is read; one more byte, as it comes out, is too long."""
    pack = gzip.compress if packed else bytes
    headers = {"Content-Encoding": "gzip"} if packed else {}
    async with endpoint(answering(200, pack(b"x" * LIMIT), headers)) as url:
        assert len(answer(await caller.post(to(url))).body) == LIMIT
    async with endpoint(answering(200, pack(b"x" * (LIMIT + 1)), headers)) as url:
        assert fault(await caller.post(to(url))) is Fault.TOO_LONG


async def test_endless_answers_are_cut(caller: Caller) -> None:
    """An answer without end is given up at the limit, and its connection closed."""
    gone = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"400\r\n" + b"x" * 0x400 + b"\r\n")
                await writer.drain()
        except ConnectionError:
            gone.set()

    async with raw(talk) as url:
        assert fault(await caller.post(to(url))) is Fault.TOO_LONG
        await asyncio.wait_for(gone.wait(), 10)


@pytest.mark.parametrize("status", [202, 404, 410, 429, 500, 503])
async def test_only_a_200s_body_matters(caller: Caller, status: int) -> None:
    """Another answer stands as soon as its head is here, however its body goes on."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 999999999\r\n\r\n".encode())
        writer.write(b"x" * (LIMIT + 1))
        await writer.drain()
        await reader.read()

    async with raw(talk) as url:
        reply = answer(await caller.post(to(url)))
    assert (reply.status, reply.body) == (status, b"")


async def test_nobody_listens(caller: Caller) -> None:
    """A refused connection is a fault of connecting."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert fault(await caller.post(to(f"http://127.0.0.1:{port}/"))) is Fault.CONNECT


async def test_unknown_host(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that nobody has is a fault of connecting."""

    async def look_up(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    reply = await caller.post(to("http://nobody.invalid/"))
    assert fault(reply) is Fault.CONNECT


@pytest.mark.parametrize(
    "url",
    ["", "no url", "ftp://h.example/", "http://", "http:///x", "https://h.example:0/",
     f"http://{'a' * 64}.example/", "http://a..example/"],
)  # fmt: skip
async def test_urls_that_cannot_be_called(caller: Caller, url: str) -> None:
    """A URL that no name look-up takes is a bad one, for good."""
    assert fault(await caller.post(to(url))) is Fault.BAD_URL


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbod",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbo",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nbody\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 " + b"O" * 20_000 + b"\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nbody",
    ],
)
async def test_answers_that_cannot_be_read(caller: Caller, sent: bytes) -> None:
    """What ends too early or is not HTTP is a lost connection, never an exception."""
    async with raw(says(sent)) as url:
        assert fault(await caller.post(to(url))) is Fault.DISCONNECTED


async def test_a_reset_is_a_lost_connection(caller: Caller) -> None:
    """A connection that is torn down before the answer is lost."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, linger
        )
        writer.transport.abort()

    async with raw(talk) as url:
        assert fault(await caller.post(to(url))) is Fault.DISCONNECTED


@given(
    sent=st.binary(max_size=80),
    head=st.sampled_from([b"", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\n"]),
)
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_bytes_raise(sent: bytes, head: bytes) -> None:
    """Whatever an endpoint sends, the reply is typed."""

    async def once() -> Reply:
        async with HttpCaller.open(LOCAL) as caller, raw(says(head + sent)) as url:
            return await caller.post(to(url, timeout_s=5))

    reply = asyncio.run(once())
    assert isinstance(reply, Answer | NoAnswer)


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbo"])
async def test_the_whole_call_has_one_time_limit(caller: Caller, sent: bytes) -> None:
    """An endpoint that is silent, or stops in the middle, is a timeout."""
    gone = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent)
        await reader.read()
        gone.set()

    async with raw(talk) as url:
        reply = await caller.post(to(url, timeout_s=0.1))
        assert fault(reply) is Fault.TIMEOUT
        assert reply.duration_s < 5
        await asyncio.wait_for(gone.wait(), 10)


async def test_connecting_has_its_own_time_limit() -> None:
    """A TLS server that never shakes hands is given up long before the call's limit."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer
        await reader.read()
        await reader.read()

    async with HttpCaller.open(LOCAL, connect_timeout_s=0.1) as caller, raw(talk) as url:
        reply = await caller.post(to(url.replace("http:", "https:"), timeout_s=30))
        assert fault(reply) is Fault.TIMEOUT
        assert reply.duration_s < 10


async def test_a_silent_endpoint_has_its_own_time_limit() -> None:
    """Who stops in the middle of an answer is given up before the call's limit."""
    sent = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbo"

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent)
        await reader.read()

    async with HttpCaller.open(LOCAL, read_timeout_s=0.1) as caller, raw(talk) as url:
        reply = await caller.post(to(url, timeout_s=30))
        assert fault(reply) is Fault.TIMEOUT
        assert reply.duration_s < 10


async def test_cancellation_passes(caller: Caller) -> None:
    """A worker that stops can cancel a call; the connection is closed."""
    called, gone = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer
        await reader.readuntil(b"\r\n\r\n")
        called.set()
        while await reader.read(100):
            pass
        gone.set()

    async with raw(talk) as url:
        call = asyncio.create_task(caller.post(to(url)))
        await asyncio.wait_for(called.wait(), 10)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(gone.wait(), 10)


def _subclasses(cls: type[BaseException]) -> set[type[BaseException]]:
    """The class and all that are derived from it."""
    below = {sub for direct in cls.__subclasses__() for sub in _subclasses(direct)}
    return {cls} | below


@pytest.mark.parametrize(
    "kind",
    sorted(_subclasses(aiohttp.ClientError) | _subclasses(HttpProcessingError), key=repr),
)
def test_every_client_error_has_a_fault(kind: type[BaseException]) -> None:
    """Whatever aiohttp may raise is caught and means some fault."""
    assert issubclass(kind, _CALL_ERRORS)
    assert fault_of(kind.__new__(kind)) in Fault
