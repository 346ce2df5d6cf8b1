"""Endpoints in a process of their own, some of which can be out, and their journal.

What is well answers what the URL's last segment says: `/204` ends a chain, `/422` refuses
it. While it is out, an endpoint answers by itself no more: as a load balancer that knows
no such host (404), or with a page that says so (200). Both end a chain at once.

Every POST is a line of the journal, written before it is answered: when it was whole, by
the machine's monotonic clock, the endpoint, the answer, the `webhook-id`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import BinaryIO, Final, cast

import aiohttp
import httptools
import uvloop

from orchestrator.local.ports import LOOPBACK, free_ports
from orchestrator.local.processes import Processes
from orchestrator.proof.reaching import until_reached
from orchestrator.proof.replay_journal import Posted, line_of, posted_in
from orchestrator.stopping import on_signals

_EMPTY: Final = b"HTTP/1.1 %d Answer\r\nContent-Length: 0\r\n\r\n"
_NO_CONTENT: Final = b"HTTP/1.1 204 No Content\r\n\r\n"
_PAGE: Final = b"<html><body>We are back soon.</body></html>"
_SORRY: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n"
    % len(_PAGE)
) + _PAGE

#: How endpoints that are out answer, one after the other.
_OUT: Final = ((404, _EMPTY % 404), (200, _SORRY))


@dataclass
class Desk:
    """What all connections have in common."""

    journal: BinaryIO
    out: frozenset[int] = frozenset()

    def answer(self, endpoint: int, path: bytes, webhook_id: str) -> bytes:
        """Note a POST; what is answered."""
        if endpoint in self.out:
            status, response = _OUT[endpoint % len(_OUT)]
        else:
            status = int(path.rpartition(b"/")[2])
            response = _NO_CONTENT if status == 204 else _EMPTY % status  # noqa: PLR2004
        at_s = time.monotonic()
        self.journal.write(line_of(Posted(at_s, endpoint, status, webhook_id)))
        return response


class _Connection(asyncio.Protocol):
    """One connection of a client that sends one request at a time."""

    def __init__(self, desk: Desk, endpoint: int) -> None:
        self._desk = desk
        self._endpoint = endpoint
        self._parser = httptools.HttpRequestParser(self)
        self._path = b"/"
        self._id = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """A request's path came, says the parser."""
        self._path = url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header came, says the parser."""
        if name.lower() == b"webhook-id":
            self._id = value.decode()

    def on_message_complete(self) -> None:
        """A request is whole, says the parser; `PUT /1,2` takes these two out."""
        if self._parser.get_method() == b"PUT":
            named = self._path.strip(b"/").split(b",")
            self._desk.out = frozenset(int(one) for one in named if one)
            self._transport.write(_NO_CONTENT)
            return
        answer = self._desk.answer(self._endpoint, self._path, self._id)
        self._transport.write(answer)


async def _serve(ports: Sequence[int], journal: Path) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    with journal.open("ab", buffering=0) as file:
        desk = Desk(journal=cast("BinaryIO", file))
        for number, port in enumerate(ports):
            await loop.create_server(partial(_Connection, desk, number), LOOPBACK, port)
        with on_signals(stopped.set):
            await stopped.wait()


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ports", type=int, nargs="+")
    parser.add_argument("--journal", type=Path, required=True)
    options = parser.parse_args()
    uvloop.run(_serve(options.ports, options.journal))


@dataclass(kw_only=True)
class Endpoints:
    """The endpoints at work: their base URLs."""

    urls: Sequence[str]
    journal: Path
    http: aiohttp.ClientSession
    _posted: list[Posted] = field(default_factory=list)
    _read: int = 0

    async def out(self, *numbers: int) -> None:
        """These are out, all others are well."""
        named = ",".join(map(str, numbers))
        async with self.http.put(f"{self.urls[0]}/{named}"):
            pass

    def posted(self) -> list[Posted]:
        """What came so far, in order; only what is new is read."""
        with self.journal.open("rb") as file:
            file.seek(self._read)
            new, _, _ = file.read().rpartition(b"\n")
        if new:
            self._read += len(new) + 1
            self._posted.extend(posted_in(new + b"\n"))
        return self._posted


@asynccontextmanager
async def endpoints_at_work(
    processes: Processes, count: int, journal: Path
) -> AsyncIterator[Endpoints]:
    """So many endpoints, gone afterwards."""
    ports = free_ports(count, SystemRandom())
    urls = [f"http://{LOOPBACK}:{port}" for port in ports]
    argv = [sys.executable, "-m", "orchestrator.proof.replay_endpoints"]
    argv += [*map(str, ports), "--journal", str(journal)]
    async with aiohttp.ClientSession() as http:
        endpoints = Endpoints(urls=urls, journal=journal, http=http)
        ready = partial(until_reached, endpoints.out)
        await processes.start("endpoints", argv, ready=ready)
        try:
            yield endpoints
        finally:
            await processes.stop("endpoints")


if __name__ == "__main__":
    main()
