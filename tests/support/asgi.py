"""Calls an ASGI application in process, as an HTTP server would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, cast

from pydantic import JsonValue
from starlette.types import ASGIApp, Message, Scope

#: How long a part of a stream may take on a busy machine.
STREAM_BOUND_S: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the application answered; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> JsonValue:
        """The body as JSON."""
        return cast("JsonValue", json.loads(self.body))

    @property
    def fields(self) -> dict[str, JsonValue]:
        """The body as a JSON object."""
        found = self.json
        assert isinstance(found, dict), found
        return found


@dataclass(kw_only=True)
class Exchange:
    """One request and what was sent as its answer."""

    method: str
    path: str
    parts: Sequence[bytes] = (b"",)
    headers: Mapping[str, str] = field(default_factory=dict)
    taken: int = 0
    sent: list[Message] = field(default_factory=list)

    async def receive(self) -> Message:
        """The next part of the body; `taken` counts them."""
        part = self.parts[self.taken]
        self.taken += 1
        more = self.taken < len(self.parts)
        return {"type": "http.request", "body": part, "more_body": more}

    async def send(self, message: Message) -> None:
        """Keep what is answered."""
        self.sent.append(message)

    async def by(self, app: ASGIApp) -> Answer:
        """Let the application answer."""
        await app(scope_of(self.method, self.path, self.headers), self.receive, self.send)
        return self.answer

    @property
    def answer(self) -> Answer:
        """What was sent so far."""
        start, *rest = self.sent
        return Answer(
            status=start["status"],
            headers={k.decode(): v.decode() for k, v in start["headers"]},
            body=b"".join(message.get("body", b"") for message in rest),
        )


def scope_of(method: str, path: str, headers: Mapping[str, str]) -> Scope:
    """A request as an HTTP server tells of it; the path may have a query."""
    path, _, query = path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }


class Stream:
    """An answer that comes bit by bit."""

    def __init__(self) -> None:
        self._sent: asyncio.Queue[Message] = asyncio.Queue()
        self._asked = False
        self._left = asyncio.Event()
        self.status = 0
        self.headers: Mapping[str, str] = {}

    async def begun(self) -> None:
        """Wait for status and headers."""
        start = await self._next()
        self.status = start["status"]
        self.headers = {k.decode(): v.decode() for k, v in start["headers"]}

    async def part(self) -> bytes | None:
        """The next part; None when there is no more."""
        message = await self._next()
        body: bytes = message.get("body", b"")
        return body if body or message.get("more_body") else None

    def leave(self) -> None:
        """Go away as a client does."""
        self._left.set()

    async def receive(self) -> Message:
        """An empty request, then nothing until the client leaves."""
        if self._asked:
            await self._left.wait()
            return {"type": "http.disconnect"}
        self._asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        """Keep what is answered."""
        self._sent.put_nowait(message)

    async def _next(self) -> Message:
        async with asyncio.timeout(STREAM_BOUND_S):
            return await self._sent.get()


@asynccontextmanager
async def streamed(
    app: ASGIApp, path: str, headers: Mapping[str, str] | None = None
) -> AsyncIterator[Stream]:
    """An answer to a GET that goes on until we leave."""
    stream = Stream()
    scope = scope_of("GET", path, headers or {})
    answering = asyncio.ensure_future(app(scope, stream.receive, stream.send))
    try:
        await stream.begun()
        yield stream
    finally:
        stream.leave()
        async with asyncio.timeout(STREAM_BOUND_S):
            await answering


async def call(
    app: ASGIApp,
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request with a body in one part."""
    exchange = Exchange(method=method, path=path, parts=(body,), headers=headers or {})
    return await exchange.by(app)
