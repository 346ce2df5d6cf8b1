"""Scripted endpoints: the servers behind `nextSession` and `callbackUrl`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True)
class Received:
    """One request the endpoint got."""

    method: str
    path: str
    headers: dict[str, str]
    body: str
    at_s: float


#: Answers the endpoint's n-th request; None drops the connection.
Script = Callable[[int, Received], Awaitable[web.StreamResponse | None]]


async def no_content(_: int, __: Received) -> web.StreamResponse:
    """An endpoint that wants nothing more."""
    return web.Response(status=204)


@dataclass
class Endpoint:
    """The server behind `nextSession` and `callbackUrl`, and what it received."""

    script: Script = no_content
    url: str = ""
    received: list[Received] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Note the request and answer it, or drop the connection."""
        received = Received(
            request.method,
            request.raw_path,
            {name: request.headers[name] for name in request.headers},
            await request.text(),
            asyncio.get_running_loop().time(),
        )
        self.received.append(received)
        response = await self.script(len(self.received) - 1, received)
        if response is None and request.transport is not None:
            request.transport.abort()
        return response or web.Response()


@asynccontextmanager
async def serving(app: web.Application, listener: socket.socket) -> AsyncIterator[None]:
    """An application at work, gone afterwards."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    with listener:
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            yield
        finally:
            await runner.cleanup()


def listening() -> tuple[socket.socket, str]:
    """A socket on a free port, and its base URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


@asynccontextmanager
async def endpoint_at_work(script: Script = no_content) -> AsyncIterator[Endpoint]:
    """A scripted endpoint."""
    app = web.Application()
    listener, url = listening()
    endpoint = Endpoint(script, url)
    app.router.add_route("*", "/{path:.*}", endpoint.answer)
    async with serving(app, listener):
        yield endpoint
