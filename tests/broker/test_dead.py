"""The queue `dead` in an operator's hands: looked at, requeued, discarded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from aio_pika import RobustConnection

from orchestrator.broker.dead import PAGE, DeadQueue
from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.broker.settling import bury
from orchestrator.broker.topology import DELIVERY_LIMIT
from orchestrator.dead_letters import NO_QUEUE, UNKNOWN_ORIGIN, DeadDesk
from orchestrator.domain.dead import DeadFilter, DeadLetter
from orchestrator.domain.errors import BrokerUnavailable, NotDone
from orchestrator.local.wire import Wire
from orchestrator.ports import HeldLetter, Message
from tests.broker.support import (
    Operator,
    eventually,
    headers_of,
    is_empty,
    soon,
    take,
    work,
)

pytestmark = pytest.mark.broker

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
ALL = DeadFilter()


def letter(number: int, *, queue: str = "sessions", **headers: str | int) -> Message:
    """A message as we bury it."""
    buried = {"reason": "no JSON", "queue": queue, "died-at": NOON.isoformat()}
    return Message(
        id=f"m{number}",
        routing_key="dead",
        body=f"body {number}".encode(),
        headers=buried | headers,
    )


async def letters(dead: DeadQueue) -> list[HeldLetter]:
    """All that one pass brings."""
    return [held async for page in dead.pages() for held in page]


@asynccontextmanager
async def at_desk(
    url: str, publisher: BrokerPublisher, seen: Callable[[int], None] | None = None
) -> AsyncIterator[DeadDesk]:
    """An operator at work."""
    async with DeadQueue.open(url, "test operator") as dead:
        desk = DeadDesk(dead=dead, publisher=publisher)
        yield desk if seen is None else replace(desk, seen=seen)


async def looked(url: str) -> list[str]:
    """The message ids in `dead`, in order, as one look finds them."""
    async with DeadQueue.open(url, "test look") as dead:
        return [held.letter.message_id for held in await letters(dead)]


async def bury_all(publisher: BrokerPublisher, connection: RobustConnection) -> None:
    """Whatever is in `sessions` is buried, as a worker does."""
    async with connection.channel() as channel:
        queue = await channel.get_queue("sessions", ensure=False)
        while message := await queue.get(fail=False):
            await bury(
                publisher, message, queue="sessions", reason="step: wrong", now=NOON
            )
            await message.ack()


async def test_looking_loses_nothing_and_keeps_the_order(
    publisher: BrokerPublisher, connection: RobustConnection, vhost_url: str
) -> None:
    """However often, over several pages; a look that breaks off loses nothing either."""
    count = 3 * PAGE + 5
    await publisher.publish(*(letter(number) for number in range(count)))
    expected = [f"m{number}" for number in range(count)]

    for _ in range(3):
        assert await looked(vhost_url) == expected
    async with DeadQueue.open(vhost_url, "a hasty look") as dead:
        assert dead.total == count
        async for page in dead.pages():
            assert len(page) == PAGE
            break
    assert sorted(await looked(vhost_url)) == sorted(expected)


async def test_looking_more_often_than_the_delivery_limit_loses_nothing(
    publisher: BrokerPublisher, connection: RobustConnection, vhost_url: str
) -> None:
    """Each look is a delivery that comes back, which the broker counts."""
    await publisher.publish(letter(1))
    for _ in range(DELIVERY_LIMIT + 5):
        assert await looked(vhost_url) == ["m1"]


async def test_an_empty_queue_is_no_fault(
    publisher: BrokerPublisher, vhost_url: str
) -> None:
    """There is nothing to wait for."""
    async with at_desk(vhost_url, publisher) as desk:
        assert desk.dead.total == 0
        assert (await desk.listed(ALL, limit=9)).letters == []


async def test_a_burial_of_ours_is_read_back(
    publisher: BrokerPublisher, connection: RobustConnection, vhost_url: str
) -> None:
    """Why, when, from where, after how many deliveries."""
    await publisher.publish(replace(work(1, queue="sessions"), headers={"hop": 1}))
    async with connection.channel() as channel:
        queue = await channel.get_queue("sessions", ensure=False)
        await (await queue.get(timeout=10)).nack()
    await bury_all(publisher, connection)

    async with at_desk(vhost_url, publisher) as desk:
        (shown,) = (await desk.listed(ALL, limit=9)).letters
    found = shown.letter
    assert (found.queue, found.reason, found.deliveries) == ("sessions", "step: wrong", 2)
    assert (found.first_died_at, found.died_at, found.requeued) == (NOON, NOON, 0)
    assert (found.message_id, found.body_bytes, found.deaths) == ("m1", 2, ())
    assert found.headers["hop"] == 1


async def test_the_brokers_own_note_is_read(
    publisher: BrokerPublisher, connection: RobustConnection, vhost_url: str
) -> None:
    """What was rejected or delivered too often has a history, and no words of ours."""
    await publisher.publish(work(1, queue="sessions"), work(2, queue="callbacks"))
    async with connection.channel() as channel:
        queue = await channel.get_queue("sessions", ensure=False)
        for _ in range(DELIVERY_LIMIT + 1):
            await (await queue.get(timeout=10)).nack()
        queue = await channel.get_queue("callbacks", ensure=False)
        await (await queue.get(timeout=10)).reject()

    async def both() -> dict[str, DeadLetter] | None:
        async with DeadQueue.open(vhost_url, "test look") as dead:
            found = {held.letter.message_id: held.letter for held in await letters(dead)}
        return found if len(found) == 2 else None

    found = await eventually(both)
    limit, rejected = found["m1"], found["m2"]
    assert (limit.queue, limit.reason) == ("sessions", "delivery_limit")
    assert (rejected.queue, rejected.reason) == ("callbacks", "rejected")
    for one in (limit, rejected):
        assert one.died_at is not None
        assert one.died_at.tzinfo is not None
        assert one.first_died_at == one.died_at
        assert [death.count for death in one.deaths] == [1]
        assert not [name for name in one.headers if name.startswith("x-")]


async def test_a_requeued_letter_is_the_message_it_was(
    publisher: BrokerPublisher, connection: RobustConnection, vhost_url: str
) -> None:
    """Without the broker's headers; it remembers its first death and how often."""
    await publisher.publish(
        Message(
            id="m1",
            routing_key="sessions",
            body=b"what",
            content_type="text/plain",
            correlation_id="c1",
            headers={"traceparent": "00-1"},
        )
    )
    async with connection.channel() as channel:
        queue = await channel.get_queue("sessions", ensure=False)
        await (await queue.get(timeout=10)).reject()

    async def listed() -> Sequence[str] | None:
        return await looked(vhost_url)

    await eventually(listed)
    async with at_desk(vhost_url, publisher) as desk:
        tally = await desk.requeue(ALL)
    assert (dict(tally.done), tally.lines()) == ({"sessions": 1}, [])

    message = await take(connection, "sessions")
    assert (message.body, message.message_id, message.correlation_id) == (
        b"what",
        "m1",
        "c1",
    )
    assert message.content_type == "text/plain"
    headers = headers_of(message)
    assert isinstance(headers.pop("first-died-at"), str)
    assert headers == {"traceparent": "00-1", "requeued": 1}
    assert await is_empty(connection, "dead")


async def test_who_dies_again_tells_how_often(
    publisher: BrokerPublisher, connection: RobustConnection, vhost_url: str
) -> None:
    """Buried, requeued and buried once more: the first time stays, under the same id."""
    await publisher.publish(work(1, queue="sessions"))
    ids: set[str] = set()
    for round_ in range(3):
        await bury_all(publisher, connection)
        async with at_desk(vhost_url, publisher) as desk:
            (shown,) = (await desk.listed(ALL, limit=9)).letters
        assert (shown.letter.requeued, shown.letter.first_died_at) == (round_, NOON)
        ids.add(shown.letter.id)
        async with at_desk(vhost_url, publisher) as desk:
            await desk.requeue([shown.letter.id])
    assert len(ids) == 1


async def test_of_unknown_origin_is_refused_and_stays(
    publisher: BrokerPublisher, connection: RobustConnection, vhost_url: str
) -> None:
    """Nobody's header sends a message to a queue that is not ours to send to."""
    foreign = letter(1, queue="acme.inbox")
    await publisher.publish(
        foreign, letter(2, queue="dead"), work(3, queue="dead"), letter(4)
    )
    async with at_desk(vhost_url, publisher) as desk:
        tally = await desk.requeue(ALL)
    assert dict(tally.done) == {"sessions": 1}
    assert list(tally.left) == [UNKNOWN_ORIGIN]
    assert len(tally.left[UNKNOWN_ORIGIN]) == 3
    assert await looked(vhost_url) == ["m1", "m2", "m3"]
    assert (await take(connection, "sessions")).message_id == "m4"


async def test_what_cannot_be_routed_stays_and_takes_nobody_along(
    publisher: BrokerPublisher, connection: RobustConnection, vhost_url: str
) -> None:
    """A queue that was deleted meanwhile is told; the rest of its page goes out."""
    async with connection.channel() as channel:
        await channel.queue_delete("callbacks.replay")
    await publisher.publish(
        letter(1), letter(2, queue="callbacks.replay"), letter(3), letter(4)
    )
    async with at_desk(vhost_url, publisher) as desk:
        tally = await desk.requeue(ALL)
    assert (dict(tally.done), list(tally.left)) == ({"sessions": 3}, [NO_QUEUE])
    assert await looked(vhost_url) == ["m2"]
    taken = {(await take(connection, "sessions")).message_id for _ in range(3)}
    assert taken == {"m1", "m3", "m4"}


async def test_twins_go_back_both(
    publisher: BrokerPublisher, connection: RobustConnection, vhost_url: str
) -> None:
    """The same message dead twice, and another one of the same message id."""
    other = replace(letter(1), body=b"other")
    await publisher.publish(letter(1))
    await publisher.publish(letter(1))
    await publisher.publish(other)
    async with at_desk(vhost_url, publisher) as desk:
        listing = await desk.listed(ALL, limit=9)
    assert len({shown.letter.id for shown in listing.letters}) == 2
    async with at_desk(vhost_url, publisher) as desk:
        tally = await desk.requeue(ALL)
    assert dict(tally.done) == {"sessions": 3}
    assert await is_empty(connection, "dead")


async def test_letters_are_discarded_by_filter_and_by_id(
    publisher: BrokerPublisher, vhost_url: str
) -> None:
    """The others stay, in their order, over more than a page."""
    count = PAGE + 10
    for number in range(count):
        queue = "sessions" if number % 2 else "history"
        await publisher.publish(letter(number, queue=queue, reason=f"Why {number % 5}"))
    counts: list[int] = []
    async with at_desk(vhost_url, publisher, counts.append) as desk:
        tally = await desk.discard(DeadFilter(queue="history", reason="wHY 0"))
    gone = {n for n in range(count) if n % 2 == 0 and n % 5 == 0}
    assert dict(tally.done) == {"history": len(gone)}
    assert counts == [PAGE, count]
    left = [f"m{number}" for number in range(count) if number not in gone]
    assert await looked(vhost_url) == left

    async with DeadQueue.open(vhost_url, "test look") as dead:
        ids = [held.letter.id for held in await letters(dead)]
    async with at_desk(vhost_url, publisher) as desk:
        await desk.discard([ids[-1], ids[0]])
    assert await looked(vhost_url) == left[1:-1]


async def test_unknown_ids_change_nothing(
    publisher: BrokerPublisher, connection: RobustConnection, vhost_url: str
) -> None:
    """One letter that is not there, or no id at all, and the others stay too (G11)."""
    await publisher.publish(letter(1), letter(2))
    async with DeadQueue.open(vhost_url, "test look") as dead:
        ids = [held.letter.id for held in await letters(dead)]
    for odd, why in (("m9~0123456789ab", "no such letter"), ("what", "is no id")):
        async with at_desk(vhost_url, publisher) as desk:
            with pytest.raises(NotDone, match=f"nothing was changed: .*{why}"):
                await desk.discard([*ids, odd])
        async with at_desk(vhost_url, publisher) as desk:
            with pytest.raises(NotDone, match=why):
                await desk.requeue([ids[0], odd])
    assert await looked(vhost_url) == ["m1", "m2"]
    assert await is_empty(connection, "sessions")


async def test_what_is_in_anothers_hands_is_not_seen_and_said(
    publisher: BrokerPublisher, vhost_url: str
) -> None:
    """Until that operator is done; then everything is there again."""
    await publisher.publish(letter(1), letter(2))
    async with at_desk(vhost_url, publisher) as first:
        assert not first.dead.others
        (shown, _) = (await first.listed(ALL, limit=9)).letters
        async with at_desk(vhost_url, publisher) as second:
            assert second.dead.others
            assert (await soon(second.listed(ALL, limit=9))).letters == []
            with pytest.raises(NotDone, match="or it is in another operator's hands"):
                await second.show(shown.letter.id)
    assert await looked(vhost_url) == ["m1", "m2"]
    async with at_desk(vhost_url, publisher) as third:
        assert not third.dead.others


async def test_what_dies_meanwhile_is_for_the_next_pass(
    publisher: BrokerPublisher, vhost_url: str
) -> None:
    """A letter that dies again as soon as it is requeued is not requeued for ever."""
    await publisher.publish(letter(1), letter(2))
    async with at_desk(vhost_url, publisher) as desk:
        await publisher.publish(letter(3))
        tally = await desk.discard(ALL)
    assert dict(tally.done) == {"sessions": 2}
    assert await looked(vhost_url) == ["m3"]


async def test_a_lost_connection_loses_no_letter(
    publisher: BrokerPublisher, vhost_url: str, wire: Wire, operator: Operator
) -> None:
    """What was taken and not settled is in the queue again; the operator is told."""
    await publisher.publish(*(letter(number) for number in range(2 * PAGE)))

    async def cut_off() -> None:
        async with DeadQueue.open(wire.url, "test operator") as dead:
            async for page in dead.pages():
                await dead.settle(page[:1])
                assert len(page) == PAGE
                wire.cut()
                await soon(wire.refused.wait())
                await dead.settle(page[1:2])

    with pytest.raises(BrokerUnavailable, match="is in 'dead' again"):
        await cut_off()

    async def all_back() -> list[str] | None:
        found = await looked(vhost_url)
        return found if len(found) >= 2 * PAGE - 1 else None

    found = await asyncio.wait_for(eventually(all_back), 30)
    assert set(found) >= {f"m{number}" for number in range(1, 2 * PAGE)}
