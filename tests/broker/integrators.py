"""Requestors with a broker user of their own, as `chainctl requestors grant` makes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from aio_pika import Message as AmqpMessage
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import ChannelClosed

from orchestrator.broker.grants import Bounds, Grants, connection_url, user_of
from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.local.rabbitmq import amqp_connection
from orchestrator.ports import EVENTS_EXCHANGE, Message
from tests.broker.support import soon

#: Room for every test that is not about them.
BOUNDS = Bounds(
    connections_max=5, channels_max=20, queue_bytes_max=1_000_000, queue_kept_s=3_600
)

Attempt = Callable[[AbstractChannel], Awaitable[object]]


@dataclass(frozen=True, kw_only=True)
class Integrators:
    """The virtual host of a test, as requestors come to it."""

    grants: Grants
    broker_url: str

    def url(self, key: str, password: str) -> str:
        """What a requestor is given."""
        user = user_of(key, self.grants.vhost)
        return connection_url(self.broker_url, user, password, self.grants.vhost)

    async def admit(self, key: str, **bounds: int) -> str:
        """Make a requestor's user; its URL."""
        password = await self.grants.give(key, replace(BOUNDS, **bounds))
        assert password is not None
        return self.url(key, password)

    @asynccontextmanager
    async def admitted(
        self, key: str, **bounds: int
    ) -> AsyncIterator[AbstractConnection]:
        """A connection with a requestor's own credentials."""
        async with amqp_connection(await self.admit(key, **bounds)) as connection:
            yield connection


async def event_of(publisher: BrokerPublisher, key: str, id_: str = "e1") -> None:
    """Publish an event of a requestor, as the history worker does."""
    await publisher.publish(
        Message(
            id=id_,
            exchange=EVENTS_EXCHANGE,
            routing_key=f"session.completed.{key}",
            body=b"{}",
        )
    )


async def refused(connection: AbstractConnection, attempt: Attempt) -> None:
    """The broker refuses it; that closes the channel, so each has its own."""
    channel = await connection.channel()
    with pytest.raises(ChannelClosed, match="ACCESS_REFUSED"):
        await soon(attempt(channel))


def declare_queue(name: str, **arguments: str | int) -> Attempt:
    """Declare a durable queue."""

    async def attempt(channel: AbstractChannel) -> object:
        return await channel.declare_queue(
            name, durable=True, arguments={**arguments} if arguments else None
        )

    return attempt


def declare_exchange(name: str, **arguments: str) -> Attempt:
    """Declare an exchange."""

    async def attempt(channel: AbstractChannel) -> object:
        return await channel.declare_exchange(name, "fanout", arguments={**arguments})

    return attempt


def bind(queue: str, pattern: str, exchange: str = EVENTS_EXCHANGE) -> Attempt:
    """Bind a queue to an exchange."""

    async def attempt(channel: AbstractChannel) -> object:
        return await (await channel.get_queue(queue, ensure=False)).bind(
            exchange, pattern
        )

    return attempt


def unbind(queue: str, pattern: str) -> Attempt:
    """Take a queue off the events."""

    async def attempt(channel: AbstractChannel) -> object:
        source = await channel.get_queue(queue, ensure=False)
        return await source.unbind(EVENTS_EXCHANGE, pattern)

    return attempt


def bind_exchange(name: str, pattern: str) -> Attempt:
    """Lead the events through an exchange."""

    async def attempt(channel: AbstractChannel) -> object:
        exchange = await channel.get_exchange(name, ensure=False)
        return await exchange.bind(EVENTS_EXCHANGE, pattern)

    return attempt


def get(queue: str) -> Attempt:
    """Take a message."""

    async def attempt(channel: AbstractChannel) -> object:
        return await (await channel.get_queue(queue, ensure=False)).get(fail=False)

    return attempt


def consume(queue: str) -> Attempt:
    """Have messages sent."""

    async def attempt(channel: AbstractChannel) -> object:
        await channel.set_qos(prefetch_count=1)
        source = await channel.get_queue(queue, ensure=False)
        return await source.consume(_pass_over, arguments={"x-stream-offset": "first"})

    return attempt


async def _pass_over(_: AbstractIncomingMessage) -> None:
    pass


def purge(queue: str) -> Attempt:
    """Empty a queue."""

    async def attempt(channel: AbstractChannel) -> object:
        return await (await channel.get_queue(queue, ensure=False)).purge()

    return attempt


def delete(queue: str) -> Attempt:
    """Delete a queue."""

    async def attempt(channel: AbstractChannel) -> object:
        return await channel.queue_delete(queue)

    return attempt


def publish(exchange: str, routing_key: str) -> Attempt:
    """Publish something to an exchange, "" being the default one."""

    async def attempt(channel: AbstractChannel) -> object:
        target = channel.default_exchange
        if exchange:
            target = await channel.get_exchange(exchange, ensure=False)
        return await target.publish(AmqpMessage(b"forged"), routing_key, mandatory=False)

    return attempt
