"""Endpoints of every kind on loopback, and calls to them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_network

from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from orchestrator.callbacks.egress import Egress, Route
from orchestrator.domain.delivery import Answer, Fault, NoAnswer, Reply
from orchestrator.domain.egress import Allowance
from orchestrator.ports import Post

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

#: Whatever this machine's endpoints are: neither TLS nor public addresses.
LOOPBACK = Allowance(
    networks=(ip_network("127.0.0.0/8"), ip_network("::1/128")), http=True
)
LOCAL = Egress(common=Route(allowance=LOOPBACK))

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def to(url: str, timeout_s: float = 10.0, requestor: str = "acme") -> Post:
    """A POST of a small result."""
    return Post(
        requestor=requestor,
        url=url,
        body=b'{"token":"x"}',
        content_type="text/plain; charset=UTF-8",
        headers={"webhook-id": "01J-1-0-c"},
        timeout_s=timeout_s,
    )


@asynccontextmanager
async def endpoint(
    handler: Handler, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1"
) -> AsyncIterator[str]:
    """A well-behaved HTTP server; its URL."""
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, address, 0, ssl_context=tls)
    await site.start()
    scheme = "https" if tls else "http"
    try:
        yield f"{scheme}://{_bracketed(address)}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw(talk: Talk, address: str = "127.0.0.1") -> AsyncIterator[str]:
    """A server that says on each connection whatever it likes; its URL."""
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await talk(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, address, 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield f"http://{_bracketed(address)}:{port}"
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


def says(*parts: bytes) -> Talk:
    """Reads a request's head, then sends these bytes and closes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    return talk


def answering(
    status: int, body: bytes = b"", headers: dict[str, str] | None = None
) -> Handler:
    """Always the same answer."""

    async def handler(_request: web.BaseRequest) -> web.Response:
        return web.Response(status=status, body=body, headers=headers)

    return handler


def fault(reply: Reply) -> Fault:
    """The fault of a reply that must be none."""
    assert isinstance(reply, NoAnswer)
    assert reply.duration_s >= 0
    return reply.fault


def answer(reply: Reply) -> Answer:
    """The reply, which must be an answer."""
    assert isinstance(reply, Answer)
    return reply


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


class Names(AbstractResolver):
    """Looks up names in a list; each look-up takes a name's next answer, then its last.

    Attributes:
        asked: the names that were looked up.
    """

    def __init__(self, **answers: list[list[str]]) -> None:
        self._answers = {name.replace("_", "."): list(a) for name, a in answers.items()}
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The next answer for this name, whatever the family."""
        self.asked.append(host)
        answers = self._answers.get(host)
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            ResolveResult(
                hostname=host, host=one, port=port, family=family, proto=0, flags=0
            )
            for one in found
        ]

    async def close(self) -> None:
        """Nothing to close."""
