"""Following events as they are published."""

from __future__ import annotations

import pytest
from aio_pika import RobustConnection

from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.broker.subscribe import subscribe
from orchestrator.ports import EVENTS_EXCHANGE, Message
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
