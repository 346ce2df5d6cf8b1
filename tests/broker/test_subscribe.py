"""Following events as they are published."""

from __future__ import annotations

from datetime import timedelta

import pytest
from aio_pika import RobustConnection

from orchestrator.broker.connection import connect
from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.broker.subscribe import subscribe, subscribe_log
from orchestrator.local.wire import Wire
from orchestrator.ports import EVENTS_EXCHANGE, Message, Queues, utc_now
from tests.broker.support import Operator, soon

pytestmark = pytest.mark.broker


def event(number: int, key: str) -> Message:
    """An event for subscribers."""
    return Message(
        id=f"e{number}",
        exchange=EVENTS_EXCHANGE,
        routing_key=key,
        body=str(number).encode(),
    )


async def test_a_subscription_gets_what_its_pattern_matches_and_nothing_else(
    connection: RobustConnection, publisher: BrokerPublisher
) -> None:
    """Events come in order, filtered by the broker."""
    async with subscribe(connection, "session.*.acme") as events:
        await publisher.publish(
            event(1, "session.started.acme"),
            event(2, "session.started.other"),
            event(3, "chain.started.acme"),
            event(4, "session.completed.acme"),
        )
        assert [await soon(anext(events)) for _ in range(2)] == [b"1", b"4"]


async def test_a_subscription_leaves_nothing_behind(
    connection: RobustConnection, publisher: BrokerPublisher, operator: Operator
) -> None:
    """Its queue goes with it."""
    before = set(await operator.queues())

    async with subscribe(connection) as events:
        await publisher.publish(event(1, "chain.started.acme"))
        await soon(anext(events))
        assert len(set(await operator.queues()) - before) == 1

    assert set(await operator.queues()) == before


def logged(number: int) -> Message:
    """An event in the operators' stream."""
    return Message(id=f"l{number}", routing_key=Queues.LOG, body=str(number).encode())


async def test_the_log_is_read_from_a_time_on_and_followed(
    connection: RobustConnection, publisher: BrokerPublisher
) -> None:
    """What was before the subscription comes first, then what happens."""
    await publisher.publish(logged(1), logged(2))
    hour_ago = utc_now() - timedelta(hours=1)
    async with subscribe_log(connection, hour_ago) as events:
        assert [await soon(anext(events)) for _ in range(2)] == [b"1", b"2"]
        await publisher.publish(logged(3))
        assert await soon(anext(events)) == b"3"


async def test_the_log_goes_on_after_a_lost_connection(
    wire: Wire, publisher: BrokerPublisher
) -> None:
    """Nothing comes again, though the broker begins where it was told to at first."""
    await publisher.publish(logged(1))
    async with (
        await connect(wire.url, "log") as connection,
        subscribe_log(connection, utc_now() - timedelta(hours=1)) as events,
    ):
        assert await soon(anext(events)) == b"1"
        wire.cut()
        wire.mend()
        await publisher.publish(logged(2))
        assert await soon(anext(events)) == b"2"
