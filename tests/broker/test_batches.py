"""Batches: in order, one at a time, each message in exactly one place at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import chain

import pytest
from aio_pika import RobustConnection
from structlog.testing import capture_logs

from orchestrator.broker.batches import BatchLimits, BatchWorker
from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.domain.errors import SealBroken, StoreUnavailable, Undecodable
from orchestrator.local.wire import Wire
from orchestrator.ports import BatchDelivery, BatchHandler, BatchOutcome, Message
from tests.broker.support import SOON_S, Operator, headers_of, is_empty, soon, take

pytestmark = pytest.mark.broker

Decide = Callable[[Sequence[str]], BatchOutcome]


def event(number: int) -> Message:
    """An event on its way to the history."""
    return Message(id=f"e{number}", routing_key="history", body=b"{}")


def all_done(ids: Sequence[str]) -> BatchOutcome:
    """Nothing is left of the batch."""
    return BatchOutcome(done=range(len(ids)))


class History:
    """A batch handler that keeps what it is given and decides as it is told."""

    def __init__(self, *decisions: Decide) -> None:
        """Decide the first batches so, and every later one as done."""
        self.batches: asyncio.Queue[list[str]] = asyncio.Queue()
        self.waited_s: dict[str, float] = {}
        self._decisions = list(decisions)

    async def __call__(self, batch: Sequence[BatchDelivery]) -> BatchOutcome:
        """Take it in and decide."""
        ids = [delivery.message_id for delivery in batch]
        self.waited_s |= {d.message_id: d.waited_s for d in batch}
        self.batches.put_nowait(ids)
        decide = self._decisions.pop(0) if self._decisions else all_done
        return decide(ids)

    async def next(self) -> list[str]:
        """The next batch's ids."""
        return await soon(self.batches.get())

    async def ids(self, count: int) -> list[str]:
        """So many ids, over as many batches as it takes."""
        ids: list[str] = []
        while len(ids) < count:
            ids += await self.next()
        return ids


class Station:
    """Runs batch workers in this process."""

    def __init__(self, url: str, publisher: BrokerPublisher) -> None:
        """Let them work at this broker."""
        self.url = url
        self._publisher = publisher

    @asynccontextmanager
    async def working(
        self,
        handler: BatchHandler,
        *,
        size: int = 10,
        linger_s: float = 0.1,
        every_s: float = 0.0,
        defer_s: float = 0.05,
        drain_timeout_s: float = 25.0,
    ) -> AsyncIterator[BatchWorker]:
        """A worker that takes events from `history` until the context closes."""
        ready = asyncio.Event()

        async def on_ready() -> None:
            ready.set()

        worker = BatchWorker(
            url=self.url,
            queue="history",
            handler=handler,
            publisher=self._publisher,
            limits=BatchLimits(
                size=size, linger_s=linger_s, every_s=every_s, defer_s=defer_s
            ),
            drain_timeout_s=drain_timeout_s,
            on_ready=on_ready,
            random=lambda: 0.0,
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(worker.run())
            await soon(ready.wait())
            yield worker
            worker.exit()


@pytest.fixture
def station(vhost_url: str, publisher: BrokerPublisher) -> Station:
    """Where the workers of a test work."""
    return Station(vhost_url, publisher)


async def test_batches_are_full_and_in_the_order_of_the_queue(
    station: Station, publisher: BrokerPublisher, connection: RobustConnection
) -> None:
    """A backlog is worked off in full batches, nothing is left behind."""
    history = History()
    await publisher.publish(*(event(number) for number in range(200)))

    async with station.working(history, size=50, linger_s=5.0):
        batches = [await history.next() for _ in range(4)]

    assert [len(batch) for batch in batches] == [50] * 4
    assert list(chain.from_iterable(batches)) == [f"e{number}" for number in range(200)]
    assert await is_empty(connection, "history")


async def test_a_lone_event_does_not_wait_for_a_full_batch(
    station: Station, publisher: BrokerPublisher
) -> None:
    """The linger is over soon when nothing else comes."""
    history = History()

    async with station.working(history):
        await publisher.publish(event(1))
        assert await history.next() == ["e1"]


async def test_a_batch_soon_after_another_takes_along_what_comes_meanwhile(
    station: Station, publisher: BrokerPublisher
) -> None:
    """A transaction for every event would cost more than all else together."""
    history = History()

    async with station.working(history, linger_s=0.0, every_s=2.0):
        await publisher.publish(event(1))
        assert await history.next() == ["e1"]
        await publisher.publish(event(2))
        await publisher.publish(event(3))
        assert await history.next() == ["e2", "e3"]


async def test_a_full_batch_follows_another_at_once(
    station: Station, publisher: BrokerPublisher
) -> None:
    """A backlog is not slowed down by waiting for more."""
    history = History()

    async with station.working(history, size=2, linger_s=0.0, every_s=60.0):
        await publisher.publish(event(1))
        assert await history.next() == ["e1"]
        await publisher.publish(event(2), event(3))
        assert await history.next() == ["e2", "e3"]


async def test_a_deferred_event_comes_first_in_the_next_batch(
    station: Station, publisher: BrokerPublisher, connection: RobustConnection
) -> None:
    """What waits for its cause is shown again with it, and is done with it."""
    history = History(lambda _: BatchOutcome(done=[1], deferred=[0, 2]))
    await publisher.publish(*(event(number) for number in range(3)))

    async with station.working(history, defer_s=60):
        assert await history.next() == ["e0", "e1", "e2"]
        await publisher.publish(event(3))
        assert await history.next() == ["e0", "e2", "e3"]
        assert history.waited_s["e0"] == history.waited_s["e2"] > history.waited_s["e3"]

    assert await is_empty(connection, "history")


async def test_a_deferred_event_comes_again_though_nothing_new_arrives(
    station: Station, publisher: BrokerPublisher
) -> None:
    """After a while it is shown alone, so that its patience can end."""
    defer = [lambda _: BatchOutcome(done=[], deferred=[0])] * 3
    history = History(*defer)

    async with station.working(history, defer_s=0.01):
        await publisher.publish(event(1))
        assert await history.ids(4) == ["e1"] * 4

    assert history.waited_s["e1"] >= 0.03


async def test_a_batch_full_of_deferred_events_does_not_hide_their_cause(
    station: Station, publisher: BrokerPublisher
) -> None:
    """The events behind a full batch of waiting ones are in hand as well."""
    history = History(*[lambda ids: BatchOutcome(done=[], deferred=range(len(ids)))] * 2)
    await publisher.publish(*(event(number) for number in range(10)))

    async with station.working(history, size=5):
        assert await history.next() == [f"e{number}" for number in range(5)]
        assert await history.next() == [f"e{number}" for number in range(10)]
        assert await history.next() == [f"e{number}" for number in range(10)]


async def test_a_dead_event_is_moved_with_its_reason(
    station: Station, publisher: BrokerPublisher, connection: RobustConnection
) -> None:
    """The others of its batch are done."""
    history = History(lambda _: BatchOutcome(done=[0, 2], dead={1: "type: unknown"}))
    await publisher.publish(*(event(number) for number in range(3)))

    async with station.working(history):
        dead = await take(connection, "dead")

    assert dead.message_id == "e1"
    headers = headers_of(dead)
    assert (headers["reason"], headers["queue"]) == ("type: unknown", "history")
    assert await is_empty(connection, "history")


async def test_one_bad_event_does_not_take_its_batch_along(
    station: Station, publisher: BrokerPublisher, connection: RobustConnection
) -> None:
    """After a defect each event is shown alone; only those that fail alone are dead."""

    def choke(ids: Sequence[str]) -> BatchOutcome:
        if "e1" in ids:
            raise ZeroDivisionError("the-value")
        if "e3" in ids:
            raise Undecodable("no event")
        if "e4" in ids:
            raise SealBroken("malformed seal")
        return all_done(ids)

    history = History(*[choke] * 6)
    await publisher.publish(*(event(number) for number in range(5)))

    with capture_logs() as logs:
        async with station.working(history):
            dead = {
                str(message.message_id): headers_of(message)
                for message in [await take(connection, "dead") for _ in range(3)]
            }
            await publisher.publish(event(5))
            assert await history.ids(11) == [
                *(f"e{number}" for number in range(5)),
                *(f"e{number}" for number in range(5)),
                "e5",
            ]

    assert set(dead) == {"e1", "e3", "e4"}
    assert "x-death" in dead["e1"]
    assert dead["e3"]["reason"] == "no event"
    assert dead["e4"]["reason"] == "malformed seal"
    assert "the-value" not in repr(logs)
    assert await is_empty(connection, "history")


async def test_an_outcome_that_forgets_an_event_is_a_defect(
    station: Station, publisher: BrokerPublisher, connection: RobustConnection
) -> None:
    """Nothing is settled by accident: a handler's mistake is visible in `dead`."""

    def forgetful(ids: Sequence[str]) -> BatchOutcome:
        return BatchOutcome(done=[]) if "e1" in ids else all_done(ids)

    await publisher.publish(event(0), event(1))

    async with station.working(History(*[forgetful] * 3)):
        assert (await take(connection, "dead")).message_id == "e1"

    assert await is_empty(connection, "history")


async def test_a_held_batch_is_shown_again_until_the_fault_is_over(
    station: Station, publisher: BrokerPublisher, connection: RobustConnection
) -> None:
    """A database that is away costs no delivery."""

    def away(_: Sequence[str]) -> BatchOutcome:
        raise StoreUnavailable("the database does not answer")

    history = History(away, away)
    await publisher.publish(event(0), event(1))

    async with station.working(history) as worker:
        assert await history.next() == ["e0", "e1"]
        assert await history.next() == ["e0", "e1"]
        assert worker.faults == {"StoreUnavailable"}
        assert await history.next() == ["e0", "e1"]

    assert worker.faults == frozenset()
    assert await is_empty(connection, "history")
    assert await is_empty(connection, "dead")


async def test_a_worker_that_stops_hands_over_in_order(
    station: Station, publisher: BrokerPublisher, connection: RobustConnection
) -> None:
    """The next active consumer begins with what was deferred and what was in hand."""
    release = asyncio.Event()
    first = History(lambda _: BatchOutcome(done=[0, 2, 3, 4], deferred=[1]))
    second = History()

    async def slow(batch: Sequence[BatchDelivery]) -> BatchOutcome:
        outcome = await first(batch)
        await release.wait()
        return outcome

    await publisher.publish(*(event(number) for number in range(25)))

    async with station.working(slow, size=5) as worker:
        assert await first.next() == [f"e{number}" for number in range(5)]
        async with station.working(second, size=5):
            worker.exit()
            release.set()
            seen = await second.ids(21)

    assert first.batches.empty()
    assert seen == ["e1", *(f"e{number}" for number in range(5, 25))]
    assert await is_empty(connection, "history")


async def test_a_batch_that_is_not_finished_in_time_is_handed_back(
    station: Station, publisher: BrokerPublisher, connection: RobustConnection
) -> None:
    """A handler that hangs does not keep the process."""
    history = History()

    async def hang(batch: Sequence[BatchDelivery]) -> BatchOutcome:
        await history(batch)
        await asyncio.Event().wait()
        raise AssertionError

    await publisher.publish(event(0))

    async with asyncio.timeout(SOON_S):
        async with station.working(hang, drain_timeout_s=0.05):
            assert await history.next() == ["e0"]
        async with station.working(history):
            assert await history.next() == ["e0"]


async def test_a_worker_that_stops_while_its_connection_is_lost_stops(
    station: Station, wire: Wire
) -> None:
    """There is nothing to hand back then, the broker has it already."""
    station.url = wire.url

    async with asyncio.timeout(SOON_S), station.working(History()):
        wire.cut()


async def test_after_a_lost_connection_events_come_again_in_order(
    station: Station,
    publisher: BrokerPublisher,
    connection: RobustConnection,
    operator: Operator,
) -> None:
    """Nothing of the lost channel is settled or shown twice from memory."""
    release = asyncio.Event()
    history = History()

    async def slow(batch: Sequence[BatchDelivery]) -> BatchOutcome:
        outcome = await history(batch)
        await release.wait()
        return outcome

    await publisher.publish(*(event(number) for number in range(12)))

    async with station.working(slow, size=5):
        first = await history.next()
        await operator.cut("worker history")
        release.set()
        again = await history.ids(12)

    assert first == [f"e{number}" for number in range(5)]
    assert again == [f"e{number}" for number in range(12)]
    assert await is_empty(connection, "history")
