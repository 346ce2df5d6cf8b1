"""Endpoints at the level of sockets: they answer, or fail, in every way a server can.

Each notes every connection that it got, whatever became of it: what it counted is what a
proof believes, not what we say of ourselves.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from orchestrator.local.ports import LOOPBACK

#: Closing a socket that lingers for no time at all is a reset to the other side.
_NO_LINGER: Final = struct.pack("ii", 1, 0)

_BACKLOG: Final = 128


@dataclass(eq=False)
class Visit:
    """One connection to an endpoint, as the endpoint saw it.

    Attributes:
        at: when it was accepted.
        replied_at: right before the endpoint answered or broke off, if it did.
        headers: of the request, names in lower case; empty if it was not read.
    """

    at: datetime
    replied_at: datetime | None = None
    path: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Conversation:
    """What an endpoint does with one connection."""

    def __init__(self, accepted: socket.socket, visit: Visit) -> None:
        self.visit = visit
        self._socket = accepted
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self, tls: ssl.SSLContext | None = None) -> None:
        """Begin to talk, by TLS if there is a context.

        Raises:
            OSError: the other side does not trust us, or has left.
        """
        loop = asyncio.get_running_loop()
        self._reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(self._reader)
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol, self._socket, ssl=tls
        )
        self._writer = asyncio.StreamWriter(transport, protocol, self._reader, loop)

    async def request(self) -> None:
        """Read a whole request."""
        if self._reader is None:
            await self.open()
        if self._reader is None:
            return
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        named = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in named}
        self.visit.path, self.visit.headers = first.split(" ")[1], headers
        length = int(headers.get("content-length", "0"))
        self.visit.body = await self._reader.readexactly(length)

    async def send(self, data: bytes, *, says_it: bool = True) -> None:
        """Send some of an answer.

        Args:
            data: these bytes.
            says_it: whether the other side knows then what the answer is.

        Raises:
            OSError: the other side has left.
        """
        if self._writer is not None:
            if self._writer.is_closing():  # uvloop does not take it for an OSError
                raise ConnectionResetError
            if says_it:
                self.visit.replied_at = self.visit.replied_at or datetime.now(UTC)
            self._writer.write(data)
            await self._writer.drain()

    async def asked(self) -> None:
        """Wait until some of the request has come, and leave it unread."""
        loop, come = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._socket, come.set)
        try:
            await come.wait()
        finally:
            loop.remove_reader(self._socket)

    async def gone(self) -> None:
        """Wait until the other side gives up."""
        if self._reader is not None:
            await self._reader.read()

    def reset(self) -> None:
        """Break off, so that the other side gets a reset."""
        self.visit.replied_at = datetime.now(UTC)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.abort()

    async def close(self) -> None:
        """Hang up once everything was sent."""
        if self._writer is not None:
            self._writer.close()
            await self._writer.wait_closed()

    def abort(self) -> None:
        """Hang up."""
        if self._writer is not None:
            self._writer.transport.abort()
        else:
            self._socket.close()


#: What an endpoint does with a connection, from its first byte on.
Talk = Callable[[Conversation], Awaitable[None]]


@dataclass(eq=False)
class FaultyEndpoint:
    """An endpoint at work: its n-th connection gets the n-th talk, then the last one.

    Attributes:
        journal: every connection that it has accepted.
    """

    script: Sequence[Talk]
    url: str
    journal: list[Visit] = field(default_factory=list)
    _socket: socket.socket = field(kw_only=True)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def listen(self) -> None:
        """Accept connections; before, they are refused."""
        self._socket.listen(_BACKLOG)
        self._spawn(self._accept())

    async def until(self, count: int) -> None:
        """Wait for so many connections."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.journal) >= count)

    async def stop(self) -> None:
        """Hang up and accept no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._socket.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            accepted, _ = await loop.sock_accept(self._socket)
            visit = Visit(datetime.now(UTC))
            async with self._news:
                self.journal.append(visit)
                self._news.notify_all()
            talk = self.script[min(len(self.journal), len(self.script)) - 1]
            self._spawn(_talk(talk, Conversation(accepted, visit)))

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _talk(talk: Talk, conversation: Conversation) -> None:
    """Talk until either side has had enough."""
    try:
        await talk(conversation)
    except (OSError, EOFError):
        return
    finally:
        conversation.abort()


@asynccontextmanager
async def faulty_endpoint(
    *script: Talk,
    address: str = LOOPBACK,
    scheme: str = "http",
    listening: bool = True,
) -> AsyncIterator[FaultyEndpoint]:
    """An endpoint on a port of its own, at first refusing connections if so wanted."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setblocking(False)
    bound.bind((address, 0))
    url = f"{scheme}://{address}:{bound.getsockname()[1]}"
    endpoint = FaultyEndpoint(script, url, _socket=bound)
    if listening:
        endpoint.listen()
    try:
        yield endpoint
    finally:
        await endpoint.stop()
