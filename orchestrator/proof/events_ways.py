"""The ways to subscribe, as integrators do it by the docs (`docs/examples`)."""

from __future__ import annotations

import asyncio
import hmac
import itertools
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aiohttp import web

from orchestrator.domain.webhooks import read_webhook_secret
from orchestrator.local.rabbitmq import amqp_connection
from orchestrator.local.stack import Stack
from orchestrator.ports import EVENTS_EXCHANGE
from orchestrator.proof.endpoints import listening, serving
from orchestrator.proof.events_subscribers import InOrder, Subscriber

#: What a lost broker is: the group is what an iterator with messages in hand says of it.
_LOST: Final = (*CONNECTION_EXCEPTIONS, ExceptionGroup)

#: A lost connection is tried again after this long.
PAUSE_S: Final = 1.0

_PREFETCH: Final = 100
_LONG: Final = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=45)

#: Whoever looks again begins so much earlier: events are told a little after they happen.
_OVERLAP: Final = timedelta(seconds=60)
#: Between two looks at what it has printed.
_LOOK_S: Final = 0.2


async def queue_of_its_own(subscriber: Subscriber, url: str) -> None:
    """A durable queue, declared and bound each time; what was seen is acknowledged."""
    key = subscriber.requestor

    async def follow() -> None:
        async with amqp_connection(url) as connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=_PREFETCH)
            queue = await channel.declare_queue(f"{key}.events", durable=True)
            await queue.bind(EVENTS_EXCHANGE, f"*.*.{key}")
            subscriber.subscribed.set()
            async with queue.iterator() as messages:
                async for message in messages:
                    subscriber.take(message.body)
                    await message.ack()

    await _again_and_again(follow, *_LOST)


async def stream_of_its_own(subscriber: Subscriber, url: str) -> None:
    """`KEY.log` from the first event on, then from behind the offset that was read."""
    begin: int | str = "first"

    async def follow() -> None:
        nonlocal begin
        async with amqp_connection(url) as connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=_PREFETCH)
            log = await channel.get_queue(f"{subscriber.requestor}.log", ensure=False)
            async with log.iterator(arguments={"x-stream-offset": begin}) as messages:
                subscriber.subscribed.set()
                async for message in messages:
                    subscriber.take(message.body)
                    begin = int(str(message.headers["x-stream-offset"])) + 1
                    await message.ack()

    await _again_and_again(follow, *_LOST)


async def server_sent(subscriber: Subscriber, url: str, token: str) -> None:
    """`GET /events`, with the id of the last event that was handled."""
    last_id = "start"

    async def follow() -> None:
        nonlocal last_id
        headers = {"Authorization": token, "Last-Event-ID": last_id}
        async with http.get(f"{url}/events", headers=headers) as response:
            response.raise_for_status()
            subscriber.subscribed.set()
            came = last_id
            async for line in response.content:
                name, _, text = line.decode().rstrip("\n").partition(": ")
                if name == "id":
                    came = text
                elif name == "data":
                    subscriber.take(text)
                    last_id = came

    async with aiohttp.ClientSession(timeout=_LONG, read_bufsize=2**20) as http:
        await _again_and_again(follow, aiohttp.ClientError)


async def _again_and_again(
    follow: Callable[[], Awaitable[None]], *lost: type[BaseException]
) -> None:
    """Connect whenever the connection was lost, until this task is cancelled.

    A connection that is lost just then says so in place of the cancellation.
    """
    task = asyncio.current_task()
    while task is not None and not task.cancelling():
        with suppress(*lost, TimeoutError):
            await follow()
        await asyncio.sleep(PAUSE_S)


@dataclass
class Receiver:
    """A server for one requestor's events: it verifies, answers, and puts in order."""

    subscriber: Subscriber
    secret: str = field(repr=False)
    _order: InOrder = field(init=False)

    def __post_init__(self) -> None:
        self._order = InOrder(self.subscriber.requestor, self.subscriber.note)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[str]:
        """It listens; where."""
        listener, url = listening()
        app = web.Application()
        app.router.add_post("/events", self._receive)
        async with serving(app, listener):
            yield f"{url}/events"

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        if not self._genuine(request, body):
            return web.Response(status=HTTPStatus.UNAUTHORIZED)
        self._order.came(json.loads(body))
        return web.Response(status=HTTPStatus.NO_CONTENT)

    def _genuine(self, request: web.Request, body: bytes) -> bool:
        """Whether it is signed by our secret (Standard Webhooks)."""
        given = [request.headers[f"webhook-{name}"] for name in ("id", "timestamp")]
        signed = ".".join(given).encode() + b"." + body
        ours = read_webhook_secret(self.secret).signature(signed)
        theirs = request.headers["webhook-signature"]
        return hmac.compare_digest(ours, theirs)


@dataclass
class Tail:
    """`chainctl tail`, a real process, which is killed and started again."""

    subscriber: Subscriber
    stack: Stack
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    _name: str = ""
    _may: asyncio.Event = field(default_factory=asyncio.Event)
    _runs: asyncio.Event = field(default_factory=asyncio.Event)

    async def follow(self) -> None:
        """Run it again and again, and read what it prints."""
        self._may.set()
        for run in itertools.count(1):
            self._name = f"tail-{self.subscriber.requestor}-{run}"
            await self.stack.processes.start(self._name, self._argv(), ready=_at_once)
            self.subscriber.subscribed.set()
            self._runs.set()
            await self._read()
            await asyncio.sleep(PAUSE_S)
            await self._may.wait()

    async def away(self, until: Callable[[], Awaitable[None]]) -> bool:
        """Kill it, and do not look until then."""
        await self._runs.wait()
        self._runs.clear()
        self._may.clear()
        ran = await self.stack.processes.kill(self._name) is not None
        await until()
        self._may.set()
        return ran

    def _argv(self) -> list[str]:
        since = max(self.began, datetime.now(UTC) - _OVERLAP)
        argv = [sys.executable, "-m", "orchestrator.cli.main", "tail", "--json"]
        argv += ["--config", str(self.stack.config_file), "--from", since.isoformat()]
        return [*argv, "--requestor", self.subscriber.requestor]

    async def _read(self) -> None:
        """Until it has ended, and nothing it has printed is left."""
        processes, name, place = self.stack.processes, self._name, 0
        while True:
            runs = processes.runs(name)
            lines, place = _lines(processes.log(name), place)
            for line in lines:
                if line.startswith(b"{"):
                    self.subscriber.take(line)
            if not runs:
                return
            await asyncio.sleep(_LOOK_S)


def _lines(file: Path, place: int) -> tuple[list[bytes], int]:
    """Whole lines of a growing file from this place on, and where they end."""
    with file.open("rb") as log:
        log.seek(place)
        whole, newline, _ = log.read().rpartition(b"\n")
    return whole.split(b"\n"), place + len(whole + newline)


async def _at_once() -> None:
    """It begins in the past, so nobody has to wait until it listens."""
