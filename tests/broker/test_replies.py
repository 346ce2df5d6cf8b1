"""The reply queue of a gateway: the right waiter wakes, nothing is left unsaid."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from aio_pika import RobustConnection

from orchestrator.broker.connection import connect
from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.broker.replies import ReplyQueue
from orchestrator.domain.errors import Unroutable
from orchestrator.local.wire import Wire
from orchestrator.ports import Message
from schemas.messages import Wake, WakeUp, dump
from tests.broker.support import SOON_S, Operator, eventually, soon

pytestmark = pytest.mark.broker


def wake_up(step: int) -> WakeUp:
    """A wake-up that can be told from others by its step."""
    return WakeUp(
        wake=Wake.OFFERED,
        chain_id="01CHAIN",
        step=step,
        generation=0,
        requestor="acme",
        cause="e1",
    )


def reply(queue: str, correlation_id: str, step: int) -> Message:
    """A wake-up on its way to a gateway."""
    return Message(
        id=f"w{step}",
        routing_key=queue,
        body=dump(wake_up(step)),
        correlation_id=correlation_id,
    )


class Gateway:
    """A reply queue and what nobody claimed from it."""

    def __init__(self) -> None:
        """Nothing was left yet."""
        self.unclaimed: asyncio.Queue[WakeUp] = asyncio.Queue()
        self.replies: ReplyQueue


@pytest.fixture
async def gateway(vhost_url: str, connection: RobustConnection) -> AsyncIterator[Gateway]:
    """A gateway with its reply queue open, on a connection of its own."""
    opened = Gateway()
    async with (
        await connect(vhost_url, "gateway replies") as own,
        ReplyQueue.open(own, unclaimed=opened.unclaimed.put) as opened.replies,
    ):
        yield opened


async def test_a_wake_up_wakes_the_one_who_waits_for_it(
    gateway: Gateway, publisher: BrokerPublisher
) -> None:
    """Wake-ups are routed by correlation id; several may follow each other."""
    queue = gateway.replies.queue
    async with gateway.replies.waiter("a") as a, gateway.replies.waiter("b") as b:
        await publisher.publish(
            reply(queue, "b", 1), reply(queue, "a", 2), reply(queue, "a", 3)
        )

        assert await a.wake_up(10) == wake_up(2)
        assert await a.wake_up(10) == wake_up(3)
        assert await b.wake_up(10) == wake_up(1)
        assert await b.wake_up(0) is None
    assert gateway.unclaimed.empty()


async def test_a_wake_up_that_nobody_waits_for_is_told(
    gateway: Gateway, publisher: BrokerPublisher
) -> None:
    """Late is not lost: the gateway hears of it and can settle the row."""
    async with gateway.replies.waiter("a"):
        pass

    await publisher.publish(reply(gateway.replies.queue, "a", 7))

    assert await soon(gateway.unclaimed.get()) == wake_up(7)


async def test_what_is_no_wake_up_is_dropped_and_stops_nothing(
    gateway: Gateway, publisher: BrokerPublisher
) -> None:
    """Garbage is acknowledged; what comes after it arrives."""
    garbage = Message(id="g", routing_key=gateway.replies.queue, body=b"not json")

    await publisher.publish(garbage, reply(gateway.replies.queue, "nobody", 1))

    assert await soon(gateway.unclaimed.get()) == wake_up(1)


async def test_after_a_lost_connection_the_same_queue_is_there_again(
    gateway: Gateway, publisher: BrokerPublisher, operator: Operator
) -> None:
    """Addresses that were given out before stay good."""
    queue = gateway.replies.queue
    await operator.cut("gateway replies")

    async with gateway.replies.waiter("a") as waiter:

        async def heard() -> WakeUp | None:
            with suppress(Unroutable):
                await publisher.publish(reply(queue, "a", 1))
            return await waiter.wake_up(0.2)

        assert await eventually(heard) == wake_up(1)


async def test_a_gateway_that_stops_while_its_connection_is_lost_stops(
    wire: Wire,
) -> None:
    """Closing does not wait for a reconnection."""
    unclaimed: asyncio.Queue[WakeUp] = asyncio.Queue()

    async with asyncio.timeout(SOON_S), await connect(wire.url, "gateway") as own:
        lost = asyncio.Event()
        own.close_callbacks.add(lambda *_: lost.set())
        async with ReplyQueue.open(own, unclaimed=unclaimed.put):
            wire.cut()
            await lost.wait()


async def test_a_gateway_that_is_gone_leaves_no_queue(
    vhost_url: str, connection: RobustConnection, publisher: BrokerPublisher
) -> None:
    """Who answers a gateway that has stopped learns that nobody is there."""
    unclaimed: asyncio.Queue[WakeUp] = asyncio.Queue()
    async with ReplyQueue.open(connection, unclaimed=unclaimed.put) as replies:
        await publisher.publish(reply(replies.queue, "a", 1))

    with pytest.raises(Unroutable):
        await publisher.publish(reply(replies.queue, "a", 2))
