"""The topology on a real broker: what it is, and what it refuses."""

from __future__ import annotations

import pytest
from aio_pika import RobustConnection

from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.broker.topology import (
    DELIVERY_LIMIT,
    TOPOLOGY,
    Binding,
    Exchange,
    Topology,
    declare,
    require,
    stream,
    work_queue,
)
from orchestrator.domain.errors import NotConfigured
from orchestrator.ports import EVENTS_EXCHANGE, Message, Queues
from tests.broker.support import Operator, is_empty, soon, take, work

pytestmark = pytest.mark.broker


async def test_declaring_again_changes_nothing(
    connection: RobustConnection, operator: Operator
) -> None:
    """Every process declares at its start; the broker has exactly what the data say."""
    await declare(connection)

    listed = await operator.queues()
    assert {name: queue.arguments for name, queue in listed.items()} == {
        queue.name: queue.arguments for queue in TOPOLOGY.queues
    }
    assert all(queue.durable for queue in listed.values())


async def test_another_argument_is_told_with_the_remedy(
    connection: RobustConnection,
) -> None:
    """A queue left by an older version stops the start with words, not with a code."""
    older = Topology(queues=(work_queue("sessions", **{"x-delivery-limit": 3}),))

    with pytest.raises(NotConfigured) as caught:
        await declare(connection, older)

    assert str(caught.value) == (
        "queue 'sessions' exists with another 'x-delivery-limit': '20' instead of '3';"
        " empty it, then delete it (rabbitmqctl delete_queue sessions) and start again,"
        " or use another virtual host"
    )


async def test_another_exchange_type_is_told_with_the_remedy(
    connection: RobustConnection,
) -> None:
    """The same for an exchange, which no command line of the broker deletes."""
    other = Topology(exchanges=(Exchange(name=EVENTS_EXCHANGE, type="direct"),))

    with pytest.raises(NotConfigured, match=r"exchange 'chain.events' exists .* 'type'"):
        await declare(connection, other)


async def test_a_missing_queue_is_told_before_anyone_consumes(
    connection: RobustConnection,
) -> None:
    """A worker without its queue does not start."""
    with pytest.raises(NotConfigured, match="queue 'nobodys' does not exist"):
        await require(await connection.channel(), "nobodys")


async def test_a_message_that_nobody_survives_ends_in_dead(
    publisher: BrokerPublisher, connection: RobustConnection
) -> None:
    """The delivery limit sets a message aside at least once, with the broker's reason."""
    await publisher.publish(work(1, queue="sessions"))

    async with connection.channel() as channel:
        queue = await channel.get_queue("sessions", ensure=False)
        for _ in range(DELIVERY_LIMIT + 1):
            await (await queue.get(timeout=10)).nack()

    died = await take(connection, "dead")
    assert died.message_id == "m1"
    assert isinstance(deaths := died.headers["x-death"], list)
    assert isinstance(death := deaths[0], dict)
    assert (death["queue"], death["reason"]) == ("sessions", "delivery_limit")


async def test_dead_gives_up_nothing(
    publisher: BrokerPublisher, connection: RobustConnection
) -> None:
    """Looking at a dead message more often than the delivery limit does not lose it."""
    await publisher.publish(work(1, queue="dead"))

    async with connection.channel() as channel:
        queue = await channel.get_queue("dead", ensure=False)
        for _ in range(DELIVERY_LIMIT * 2):
            await (await queue.get(timeout=10)).nack()

    assert (await take(connection, "dead")).message_id == "m1"
    assert await is_empty(connection, "dead")


async def test_the_event_log_can_be_read_again_from_its_beginning(
    publisher: BrokerPublisher, connection: RobustConnection
) -> None:
    """`chain.log` is a stream: reading takes nothing away."""
    for number in range(3):
        await publisher.publish(work(number, queue=Queues.LOG))

    for _ in range(2):
        async with connection.channel() as channel:
            await channel.set_qos(prefetch_count=10)
            log = await channel.get_queue(Queues.LOG, ensure=False)
            offset = {"x-stream-offset": "first"}
            async with log.iterator(arguments=offset, timeout=10) as messages:
                read = [(await soon(anext(messages))).message_id for _ in range(3)]
        assert read == ["m0", "m1", "m2"]


async def test_a_bound_stream_keeps_what_its_pattern_matches(
    publisher: BrokerPublisher, connection: RobustConnection
) -> None:
    """A topology with a binding is how an integrator gets a log of its own."""
    await declare(
        connection,
        Topology(
            queues=(stream("acme.log"),),
            bindings=(
                Binding(queue="acme.log", exchange=EVENTS_EXCHANGE, routing_key="#.acme"),
            ),
        ),
    )
    for number, requestor in enumerate(["acme", "other", "acme"]):
        key = f"session.started.{requestor}"
        await publisher.publish(
            Message(id=f"e{number}", exchange=EVENTS_EXCHANGE, routing_key=key, body=b"")
        )

    async with connection.channel() as channel:
        await channel.set_qos(prefetch_count=10)
        log = await channel.get_queue("acme.log", ensure=False)
        offset = {"x-stream-offset": "first"}
        async with log.iterator(arguments=offset, timeout=10) as messages:
            read = [(await soon(anext(messages))).message_id for _ in range(2)]
    assert read == ["e0", "e2"]
