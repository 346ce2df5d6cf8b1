"""Calls an ASGI application whose answer is told bit by bit, as a client reads it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from starlette.types import ASGIApp, Message, Scope

#: How long anything that has to come may take on a busy machine.
BOUND_S: Final = 5.0


class Stream:
    """One answer in the making."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.began = asyncio.Event()
        self.left = asyncio.Event()
        self._asked = False
        self._parts: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def part(self) -> bytes | None:
        """The next part of the body; None at its end."""
        async with asyncio.timeout(BOUND_S):
            return await self._parts.get()

    async def rest(self) -> list[bytes]:
        """All parts up to the end."""
        parts = []
        while (part := await self.part()) is not None:
            parts.append(part)
        return parts

    async def receive(self) -> Message:
        """The request, then nothing until the client leaves."""
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take in what is told."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {k.decode(): v.decode() for k, v in message["headers"]}
            self.began.set()
            return
        if message.get("body"):
            self._parts.put_nowait(message["body"])
        if not message.get("more_body"):
            self._parts.put_nowait(None)


@asynccontextmanager
async def streaming(
    app: ASGIApp, path: str, headers: Mapping[str, str] | None = None
) -> AsyncIterator[Stream]:
    """A GET whose answer has begun; the client leaves with the context."""
    stream = Stream()
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    answering = asyncio.ensure_future(app(scope, stream.receive, stream.send))
    beginning = asyncio.ensure_future(stream.began.wait())
    try:
        await asyncio.wait(
            {answering, beginning}, timeout=BOUND_S, return_when=asyncio.FIRST_COMPLETED
        )
        assert stream.began.is_set(), "no answer"
        yield stream
    finally:
        beginning.cancel()
        stream.left.set()
        async with asyncio.timeout(BOUND_S):
            await answering
