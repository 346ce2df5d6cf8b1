"""Publishing: confirmed, in order, or an error at once."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import replace

import pytest
from aio_pika import DeliveryMode, RobustConnection

from orchestrator.broker import publishing, subscribers
from orchestrator.broker.publishing import AMPLE, BrokerPublisher
from orchestrator.broker.topology import (
    Queue,
    Topology,
    declare,
)
from orchestrator.domain.errors import BrokerUnavailable, Unroutable
from orchestrator.local.wire import Wire
from orchestrator.ports import EVENTS_EXCHANGE, Message, Queues
from tests.broker.support import eventually, headers_of, soon, take, work

pytestmark = pytest.mark.broker

#: A queue that refuses every message.
FULL = Topology(
    queues=(
        Queue(name="full", arguments={"x-max-length": 0, "x-overflow": "reject-publish"}),
    )
)


async def test_a_confirmed_message_is_in_its_queue_as_it_was_given(
    publisher: BrokerPublisher, connection: RobustConnection
) -> None:
    """What publish returned for is in the queue: body, id, type, headers, persistent."""
    await publisher.publish(
        Message(
            id="e1:work",
            routing_key="sessions",
            body=b'{"a": 1}',
            correlation_id="c1",
            headers={"traceparent": "00-1", "attempt": 2},
        )
    )

    message = await take(connection, "sessions")
    assert message.body == b'{"a": 1}'
    assert message.message_id == "e1:work"
    assert message.content_type == "application/json"
    assert message.correlation_id == "c1"
    assert headers_of(message) == {"traceparent": "00-1", "attempt": 2}
    assert message.delivery_mode is DeliveryMode.PERSISTENT


async def test_messages_of_one_call_keep_their_order_among_many_calls(
    publisher: BrokerPublisher, connection: RobustConnection
) -> None:
    """Calls that run at the same time may mix, each one's messages stay in order."""

    async def call(caller: int) -> None:
        await publisher.publish(
            *(
                Message(id=f"{caller}-{n}", routing_key="sessions", body=b"")
                for n in range(20)
            )
        )

    await asyncio.gather(*(call(caller) for caller in range(20)))

    seen = defaultdict(list)
    async with connection.channel() as channel:
        queue = await channel.get_queue("sessions", ensure=False)
        for _ in range(400):
            message = await queue.get(no_ack=True)
            caller, number = str(message.message_id).split("-")
            seen[caller].append(int(number))
    assert list(seen.values()) == [list(range(20))] * 20


async def test_a_message_without_a_queue_comes_back_and_harms_no_other(
    publisher: BrokerPublisher, connection: RobustConnection
) -> None:
    """A return is an error of its own call; the calls beside it are confirmed."""
    results = await asyncio.gather(
        publisher.publish(work(1)),
        publisher.publish(work(2, queue="gateway.0123")),
        publisher.publish(work(3)),
        return_exceptions=True,
    )

    assert [type(result) for result in results] == [type(None), Unroutable, type(None)]
    assert "gateway.0123" not in str(results[1])
    await publisher.publish(work(4))
    taken = [(await take(connection, "callbacks")).message_id for _ in range(3)]
    assert sorted(taken, key=str) == ["m1", "m3", "m4"]


async def test_a_missing_queue_of_ours_is_named(
    publisher: BrokerPublisher, connection: RobustConnection
) -> None:
    """An operator who has deleted a work queue reads its name."""
    async with connection.channel() as channel:
        await channel.queue_delete("sessions")

    with pytest.raises(Unroutable, match="queue 'sessions'"):
        await publisher.publish(work(1, queue="sessions"))


async def test_the_same_message_twice_at_once_is_judged_twice(
    publisher: BrokerPublisher,
) -> None:
    """Returns are matched by message id, so equal ids must not be in flight together."""
    lost = Message(id="same", routing_key="gateway.gone", body=b"")

    results = await asyncio.gather(
        *(publisher.publish(lost) for _ in range(5)), return_exceptions=True
    )

    assert [type(result) for result in results] == [Unroutable] * 5


async def test_two_messages_of_one_id_in_one_call_are_refused(
    publisher: BrokerPublisher,
) -> None:
    """One call cannot wait for itself."""
    with pytest.raises(ValueError, match="same id"):
        await publisher.publish(work(1), work(1, queue="sessions"))


async def test_while_the_connection_is_down_publishing_fails_at_once(
    wire: Wire,
) -> None:
    """Known to be down is an answer: nobody waits for a reconnection (aio-pika #636)."""
    async with BrokerPublisher.open(wire.url, "cut off") as publisher:
        wire.cut()
        await eventually(lambda: _is_down(publisher))

        with pytest.raises(BrokerUnavailable, match="down"):
            await soon(publisher.publish(work(1), timeout_s=60))


async def test_after_the_connection_is_back_publishing_works_again(
    wire: Wire, connection: RobustConnection
) -> None:
    """The same publisher goes on by itself."""
    async with BrokerPublisher.open(wire.url, "cut off") as publisher:
        wire.cut()
        await eventually(lambda: _is_down(publisher))
        wire.mend()
        await soon(publisher._channel.ready())

        await publisher.publish(work(1))

    assert (await take(connection, "callbacks")).message_id == "m1"


async def test_a_connection_lost_before_the_confirm_is_an_error_at_once(
    wire: Wire,
) -> None:
    """Nobody waits the whole time for a confirm that cannot come any more."""
    async with BrokerPublisher.open(wire.url, "cut off") as publisher:
        wire.deafen()
        publishing = asyncio.create_task(publisher.publish(work(1), timeout_s=60))
        await eventually(lambda: _has_written(publisher))
        wire.cut()

        with pytest.raises(BrokerUnavailable, match="lost before the confirm"):
            await soon(publishing)


async def test_no_confirm_in_time_is_an_error_though_the_message_may_be_there(
    wire: Wire, connection: RobustConnection
) -> None:
    """A deaf publisher gives up after its time; the message was taken all the same."""
    async with BrokerPublisher.open(wire.url, "deaf") as publisher:
        wire.deafen()

        with pytest.raises(BrokerUnavailable, match="no confirm within 1 s"):
            await publisher.publish(work(1), timeout_s=1.0)

        wire.listen()
        await publisher.publish(work(2))
    assert (await take(connection, "callbacks")).message_id == "m1"


async def test_a_broker_that_owes_confirms_has_no_room_for_now(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with an alarm: the connection stays. Once it has confirmed there is room."""
    monkeypatch.setattr(publishing, "STALLED_S", 0.05)

    async def full() -> bool:
        return publisher.room == 0

    async with BrokerPublisher.open(wire.url, "owed") as publisher:
        assert publisher.room == AMPLE
        wire.deafen()
        late = asyncio.create_task(publisher.publish(work(1)))
        await eventually(full)
        assert publisher.connected
        wire.listen()
        await late
        assert publisher.room == AMPLE
        wire.cut()
        await eventually(full)


async def test_after_a_confirm_that_never_came_there_is_room_for_one(wire: Wire) -> None:
    """Whoever would rather wait finds out with it whether the broker takes again."""

    async def full() -> bool:
        return publisher.room == 0

    async with BrokerPublisher.open(wire.url, "doubtful") as publisher:
        wire.deafen()
        with pytest.raises(BrokerUnavailable):
            await publisher.publish(work(1), timeout_s=0.1)
        assert publisher.room == 1
        one = asyncio.create_task(publisher.publish(work(2)))
        await eventually(full)
        wire.listen()
        await one
        assert publisher.room == AMPLE


async def test_a_queue_that_refuses_is_the_broker_being_unavailable(
    publisher: BrokerPublisher, connection: RobustConnection
) -> None:
    """A nack is held and tried again like any other refusal of the broker."""
    await declare(connection, FULL)

    with pytest.raises(BrokerUnavailable, match="refused"):
        await publisher.publish(work(1, queue="full"))


async def test_an_event_that_nobody_subscribed_to_is_no_fault(
    publisher: BrokerPublisher,
) -> None:
    """An exchange without queues takes events all the same."""
    event = Message(
        id="e1", exchange=EVENTS_EXCHANGE, routing_key="chain.started.acme", body=b"{}"
    )

    await publisher.publish(event, Message(id="e1", routing_key=Queues.LOG, body=b"{}"))


async def test_a_subscribers_full_queue_is_counted_and_stops_nobody(
    publisher: BrokerPublisher, connection: RobustConnection
) -> None:
    """What an integrator owns is never in the confirm path of work."""
    await declare(connection, FULL)
    async with connection.channel() as channel:
        queue = await channel.get_queue("full", ensure=False)
        await queue.bind(EVENTS_EXCHANGE, "#")

    await publisher.publish(
        Message(id="e1", exchange=EVENTS_EXCHANGE, routing_key="a.b.acme", body=b"{}")
    )

    assert publisher.trouble.refused == 1


async def test_subscribers_that_confirm_late_are_counted_and_stop_nobody(
    publisher: BrokerPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue without its leader, or a costly binding, holds nothing of ours."""
    monkeypatch.setattr(subscribers, "SUBSCRIBERS_S", 0.0)
    event = Message(
        id="e1", exchange=EVENTS_EXCHANGE, routing_key="chain.started.acme", body=b"{}"
    )

    await publisher.tell(event, replace(event, id="e2"))
    assert publisher.trouble.late == 2

    await publisher._connection.close()
    with pytest.raises(BrokerUnavailable):
        await publisher.tell(event)
    assert publisher.trouble.late == 2


async def test_late_events_whose_connection_is_lost_are_told_again(
    wire: Wire, connection: RobustConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker has lost them with the connection; they come without a newer one."""
    monkeypatch.setattr(subscribers, "SUBSCRIBERS_S", 0.2)
    event = Message(
        id="e1", exchange=EVENTS_EXCHANGE, routing_key="chain.started.acme", body=b"{}"
    )
    async with BrokerPublisher.open(wire.url, "cut off") as publisher:
        wire.deafen()
        await publisher.tell(event, replace(event, id="e2"))
        await publisher.tell(replace(event, id="e3"))
        assert publisher.trouble.late == 3
        wire.cut()
        wire.listen()
        await eventually(lambda: _is_down(publisher))
        async with connection.channel() as channel:
            queue = await channel.declare_queue("told")
            await queue.bind(EVENTS_EXCHANGE, "#")
        wire.mend()

        taken = [(await take(connection, "told")).message_id for _ in range(3)]
        assert taken == ["e1", "e2", "e3"]


async def test_an_error_does_not_repeat_the_body(publisher: BrokerPublisher) -> None:
    """The text and the chain of an error are free of what was published."""
    with pytest.raises(Unroutable) as caught:
        await publisher.publish(
            Message(id="m", routing_key="gateway.gone", body=b"the-secret-value")
        )

    error: BaseException | None = caught.value
    while error is not None:
        assert "the-secret-value" not in repr(error)
        error = error.__cause__ or error.__context__


async def _is_down(publisher: BrokerPublisher) -> bool:
    return not publisher.connected


async def _has_written(publisher: BrokerPublisher) -> bool:
    return bool(publisher._in_flight)
