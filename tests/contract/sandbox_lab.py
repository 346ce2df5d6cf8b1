"""A pretend IRMA server and a scripted endpoint in one process, on free ports."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from aiohttp import web

from orchestrator.sandbox import SandboxConfig, create_app

VECTORS = Path(__file__).parent / "vectors"

#: When the recordings' first credentials were issued in the course of a chain.
RECORDED_NOW = 1_795_296_044.0

#: How long a test waits for something that has to happen.
BOUND_S = 10.0

#: JSON of recordings and answers, looked into freely.
Json = Any


def vectors(name: str) -> Json:
    """A recorded file."""
    return json.loads((VECTORS / name).read_text())


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


@asynccontextmanager
async def sandbox_at_work(
    clock: Callable[[], float] = lambda: RECORDED_NOW, **options: Json
) -> AsyncIterator[tuple[web.Application, str]]:
    """A pretend IRMA server and its base URL."""
    listener, url = listening()
    config = SandboxConfig(**{"url": url, "jwt_issuer": "labserver", **options})
    app = create_app(config, clock=clock)
    async with serving(app, listener):
        yield app, url


def claims_of(token: str) -> Json:
    """The claims of a JWT, its signature not checked."""
    return jwt.decode(token, options={"verify_signature": False})


def anonymous(document: Json) -> Json:
    """The same document with every token replaced by its number of appearance."""
    seen: dict[str, str] = {}

    def numbered(match: re.Match[str]) -> str:
        return seen.setdefault(match[0], f"token {len(seen)}")

    return json.loads(re.sub(r"\b[A-Za-z0-9]{20}\b", numbered, json.dumps(document)))


def localised(document: Json, **addresses: str) -> Json:
    """The same document with `{server}` and the like replaced by real addresses."""
    text = json.dumps(document)
    for name, address in addresses.items():
        text = text.replace(f"{{{name}}}", address)
    return json.loads(text)
