"""Following what is published: events for `chainctl tail`, news for workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final
from uuid import uuid4

from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

from orchestrator.broker.settling import ack
from orchestrator.broker.topology import require
from orchestrator.ports import EVENTS_EXCHANGE, Queues

#: Events in hand of a reader that is slower than the chains.
PREFETCH: Final = 100

#: Where a reader of a stream begins, and where a message stands in it.
_OFFSET: Final = "x-stream-offset"

#: Older events are dropped for a reader that has fallen behind this far: a tail is for
#: looking, `chain.log` has everything.
BACKLOG_MAX: Final = 10_000


@asynccontextmanager
async def subscribe(
    connection: AbstractConnection,
    pattern: str = "#",
    *,
    exchange: str = EVENTS_EXCHANGE,
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The events whose routing key matches, from now on, until the context closes.

    The queue is exclusive and goes with the subscription. After a reconnection the
    events go on; those in between are missing.

    Args:
        connection: where to listen.
        pattern: routing key as in a topic exchange, e.g. `session.*.acme` or `#`.
        exchange: what to listen to; a fanout exchange takes no notice of the pattern.
    """
    arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=PREFETCH)
    queue = await channel.declare_queue(
        f"tail.{uuid4().hex}",
        exclusive=True,
        auto_delete=True,
        arguments={"x-max-length": BACKLOG_MAX},
    )
    await queue.bind(exchange, pattern)
    await queue.consume(arrived.put)
    try:
        yield _bodies(arrived)
    finally:
        await channel.close()


@asynccontextmanager
async def subscribe_log(
    connection: AbstractConnection, since: datetime
) -> AsyncIterator[AsyncIterator[bytes]]:
    """All events that `chain.log` has from about this time on, and those that follow.

    It may begin earlier, as a stream is read by whole chunks.

    Raises:
        NotConfigured: there is no such stream.
    """
    arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=PREFETCH)
    await require(channel, Queues.LOG)
    queue = await channel.declare_queue(Queues.LOG, passive=True)
    await queue.consume(arrived.put, arguments={_OFFSET: since})
    try:
        yield _once(arrived)
    finally:
        await channel.close()


async def _once(
    arrived: asyncio.Queue[AbstractIncomingMessage],
) -> AsyncIterator[bytes]:
    """After a reconnection the broker begins again where it was told to at first."""
    last = -1
    while True:
        message = await arrived.get()
        await ack(message)
        offset = message.headers.get(_OFFSET)
        if isinstance(offset, int) and offset > last:
            last = offset
            yield message.body


async def _bodies(
    arrived: asyncio.Queue[AbstractIncomingMessage],
) -> AsyncIterator[bytes]:
    while True:
        message = await arrived.get()
        await ack(message)
        yield message.body
