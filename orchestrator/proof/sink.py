"""Cheap endpoints in a process of their own: every POST gets a 204, and is counted.

What measures a worker must not take the time that it measures, so no more of a request is
read than its end. POSTs to a hanging port are held for as long as it is told, then
answered as well. A GET tells what came to the others; a DELETE hangs up on those held.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from random import SystemRandom
from typing import Final, cast

import aiohttp
import httptools
import uvloop
from pydantic import BaseModel

from orchestrator.local.ports import LOOPBACK, free_ports
from orchestrator.local.processes import Processes
from orchestrator.proof.reaching import until_reached
from orchestrator.stopping import on_signals

_NO_CONTENT: Final = b"HTTP/1.1 204 No Content\r\n\r\n"


class Count(BaseModel):
    """What came so far; the times are those of the machine's monotonic clock.

    Attributes:
        posts: how many whole requests, but for those to hanging ports.
        body_bytes: the length of their bodies together.
        last_at_s: when the last of them was whole.
        told_at_s: when this was told.
        held: how many requests came to hanging ports.
    """

    posts: int = 0
    body_bytes: int = 0
    last_at_s: float = 0.0
    told_at_s: float = 0.0
    held: int = 0


class Desk:
    """What all connections have in common."""

    def __init__(self, hang_s: float) -> None:
        """Nothing came yet."""
        self.hang_s = hang_s
        self.count = Count()
        self._held: set[asyncio.Transport] = set()

    def posted(self, transport: asyncio.Transport) -> None:
        """Answer a POST."""
        self.count.posts += 1
        self.count.last_at_s = time.monotonic()
        transport.write(_NO_CONTENT)

    def hold(self, transport: asyncio.Transport) -> None:
        """Answer it much later."""
        self.count.held += 1
        self._held.add(transport)
        asyncio.get_running_loop().call_later(self.hang_s, self._let_go, transport)

    def tell(self, transport: asyncio.Transport) -> None:
        """Say what came."""
        self.count.told_at_s = time.monotonic()
        body = self.count.model_dump_json().encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        transport.write(head + body)

    def hang_up(self, transport: asyncio.Transport) -> None:
        """End what is held."""
        while self._held:
            self._held.pop().abort()
        transport.write(_NO_CONTENT)

    def _let_go(self, transport: asyncio.Transport) -> None:
        if transport in self._held:
            self._held.discard(transport)
            transport.write(_NO_CONTENT)

    def gone(self, transport: asyncio.Transport) -> None:
        """The client has hung up."""
        self._held.discard(transport)


class _Connection(asyncio.Protocol):
    """One connection of a client that sends one request at a time."""

    def __init__(self, desk: Desk, *, hangs: bool) -> None:
        self._desk = desk
        self._hangs = hangs
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._desk.gone(self._transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Part of a request's body came, says the parser."""
        if not self._hangs:
            self._desk.count.body_bytes += len(body)

    def on_message_complete(self) -> None:
        """A request is whole, says the parser."""
        match self._parser.get_method():
            case b"GET":
                self._desk.tell(self._transport)
            case b"DELETE":
                self._desk.hang_up(self._transport)
            case _ if self._hangs:
                self._desk.hold(self._transport)
            case _:
                self._desk.posted(self._transport)


async def _serve(ports: Sequence[int], hanging: Sequence[int], hang_s: float) -> None:
    loop, desk, stopped = asyncio.get_running_loop(), Desk(hang_s), asyncio.Event()
    for port in ports:
        await loop.create_server(lambda: _Connection(desk, hangs=False), LOOPBACK, port)
    for port in hanging:
        await loop.create_server(lambda: _Connection(desk, hangs=True), LOOPBACK, port)
    with on_signals(stopped.set):
        await stopped.wait()


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ports", type=int, nargs="+")
    parser.add_argument("--hanging", type=int, nargs="*", default=[])
    parser.add_argument("--hang-s", type=float, default=20.0)
    options = parser.parse_args()
    uvloop.run(_serve(options.ports, options.hanging, options.hang_s))


@dataclass(frozen=True, kw_only=True)
class Sink:
    """The endpoints at work: their base URLs."""

    urls: Sequence[str]
    hanging: Sequence[str]
    http: aiohttp.ClientSession

    async def count(self) -> Count:
        """What came so far."""
        async with self.http.get(self.urls[0]) as response:
            return Count.model_validate_json(await response.read())

    async def hang_up(self) -> None:
        """End every request that is held."""
        async with self.http.delete(self.urls[0]):
            pass


@asynccontextmanager
async def sink_at_work(
    processes: Processes, endpoints: int, *, hanging: int = 0, hang_s: float = 20.0
) -> AsyncIterator[Sink]:
    """So many endpoints, and such as hang, in one process that is gone afterwards."""
    ports = free_ports(endpoints + hanging, SystemRandom())
    urls = [f"http://{LOOPBACK}:{port}" for port in ports]
    argv = [sys.executable, "-m", "orchestrator.proof.sink"]
    argv += [*map(str, ports[:endpoints]), "--hang-s", str(hang_s)]
    argv += ["--hanging", *map(str, ports[endpoints:])]
    async with aiohttp.ClientSession() as http:
        sink = Sink(urls=urls[:endpoints], hanging=urls[endpoints:], http=http)
        await processes.start("sink", argv, ready=partial(until_reached, sink.count))
        try:
            yield sink
        finally:
            await processes.stop("sink")


if __name__ == "__main__":
    main()
