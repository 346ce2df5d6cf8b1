"""The history in parts: side by side, each chain in one, and none lost by a change."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aio_pika import RobustConnection
from aio_pika.abc import AbstractIncomingMessage

from orchestrator.broker.batches import BatchWorker, run_all
from orchestrator.broker.dead import DeadQueue
from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.broker.topology import declare, installed, left_parts
from orchestrator.dead_letters import DeadDesk
from orchestrator.domain.dead import DeadFilter
from orchestrator.domain.parting import part_of
from orchestrator.ports import (
    EVENTS_EXCHANGE,
    Message,
    Store,
    event_message,
    history_queue,
)
from orchestrator.proof.backlog import backlog
from orchestrator.store import open_store
from orchestrator.store.schema import migrate
from schemas.events import ChainEvent, Event, parse_event
from tests.broker.support import eventually, is_empty, soon
from workers.history import HistoryWorker

pytestmark = pytest.mark.broker

EVENTS = 600


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """What all parts write into."""
    url = f"sqlite:///{tmp_path / 'chains.db'}"
    await migrate(url)
    async with open_store(url) as opened:
        yield opened


class Told:
    """What a subscriber to everything has had, in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def take(self, message: AbstractIncomingMessage) -> None:
        """Keep it."""
        self.events.append(parse_event(message.body))

    async def all_of(self, events: Sequence[ChainEvent]) -> None:
        """Wait until all of these were told."""

        async def look() -> bool | None:
            return len({e.id for e in self.events}) >= len(events) or None

        await eventually(look)


@pytest.fixture
async def told(connection: RobustConnection) -> Told:
    """A subscriber to everything."""
    channel = await connection.channel()
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind(EVENTS_EXCHANGE, "#")
    told = Told()
    await queue.consume(told.take, no_ack=True)
    return told


def worker(
    url: str,
    store: Store,
    publisher: BrokerPublisher,
    part: int,
    on_ready: Callable[[], None] = lambda: None,
) -> BatchWorker:
    """The worker of a part, with a connection of its own."""

    async def ready() -> None:
        on_ready()

    return BatchWorker(
        url=url,
        queue=history_queue(part),
        handler=HistoryWorker(
            store=store, publisher=publisher, subscribers=publisher, part=part
        ),
        publisher=publisher,
        on_ready=ready,
    )


@asynccontextmanager
async def writing(
    url: str, store: Store, publisher: BrokerPublisher, *parts: int
) -> AsyncIterator[None]:
    """Workers of these parts, each as in a process of its own."""
    workers = [worker(url, store, publisher, part) for part in parts]
    running = asyncio.create_task(run_all(workers))
    try:
        yield
    finally:
        for one in workers:
            one.exit()
        await soon(running)


async def complete(
    store: Store, told: Iterable[Event], produced: Sequence[ChainEvent]
) -> dict[str, tuple[list[Event], list[Event]]]:
    """Each is written and told once, without a gap; by chain, as written and as told."""
    ids = defaultdict(set)
    for event in produced:
        ids[event.chainid].add(event.id)
    heard = defaultdict(list)
    for one in told:
        heard[one.subject].append(one)
    chains = {}
    for chain_id, expected in ids.items():
        rows = await store.events(chain_id)
        assert {row.id for row in rows} == expected
        assert [row.sequence for row in rows] == list(range(1, len(expected) + 1))
        assert sorted(heard[chain_id], key=lambda e: e.sequence or 0) == rows
        chains[chain_id] = (rows, heard[chain_id])
    return chains


def in_order(rows: Sequence[Event], heard: Sequence[Event]) -> None:
    """Causes come first, and it was told as it was written."""
    places = {row.id: row.sequence or 0 for row in rows}
    for row in rows:
        assert places.get(row.causationid or "", 0) < places[row.id]
    assert heard == rows


async def test_parts_are_written_side_by_side(
    vhost_url: str, connection: RobustConnection, store: Store, told: Told
) -> None:
    """Each chain's events are in one, in order; none is written or told twice."""
    await declare(connection, installed(2))
    events = list(backlog(EVENTS))
    assert {part_of(event.id, 2) for event in events} == {0, 1}
    async with BrokerPublisher.open(vhost_url, "parts", history_parts=2) as publisher:
        await publisher.publish(*map(event_message, events))
        async with writing(vhost_url, store, publisher, 0, 1):
            await told.all_of(events)
            chains = await complete(store, told.events, events)
    for rows, heard in chains.values():
        in_order(rows, heard)
    assert not await store.unpublished_ids(9)
    assert not await store.unpublished_ids(9, part=1)


async def test_a_part_without_a_worker_waits_and_holds_up_no_other(
    vhost_url: str, connection: RobustConnection, store: Store, told: Told
) -> None:
    """Its events are there when somebody takes it."""
    await declare(connection, installed(2))
    events = list(backlog(EVENTS))
    async with BrokerPublisher.open(vhost_url, "parts", history_parts=2) as publisher:
        await publisher.publish(*map(event_message, events))
        async with writing(vhost_url, store, publisher, 1):
            await told.all_of([e for e in events if part_of(e.id, 2) == 1])
        assert {part_of(event.id, 2) for event in told.events} == {1}
        async with writing(vhost_url, store, publisher, 0):
            await told.all_of(events)
    for rows, heard in (await complete(store, told.events, events)).values():
        in_order(rows, heard)


async def test_fewer_parts_lose_nothing(
    vhost_url: str, connection: RobustConnection, store: Store, told: Told
) -> None:
    """What is in the queues of before is found and written, beside what follows."""
    await declare(connection, installed(3))
    events = list(backlog(EVENTS))
    async with BrokerPublisher.open(vhost_url, "before", history_parts=3) as publisher:
        await publisher.publish(*map(event_message, events[:400]))
    async with BrokerPublisher.open(vhost_url, "after") as publisher:
        await publisher.publish(*map(event_message, events[400:]))
        left = await left_parts(connection, 1)
        assert left == [1, 2]
        async with writing(vhost_url, store, publisher, 0, *left):
            await told.all_of(events)
            await complete(store, told.events, events)


async def test_more_parts_lose_nothing(
    vhost_url: str, connection: RobustConnection, store: Store, told: Told
) -> None:
    """The first part keeps its queue, and what is in there."""
    events = list(backlog(EVENTS))
    async with BrokerPublisher.open(vhost_url, "before") as publisher:
        await publisher.publish(*map(event_message, events[:400]))
    await declare(connection, installed(2))
    async with BrokerPublisher.open(vhost_url, "after", history_parts=2) as publisher:
        await publisher.publish(*map(event_message, events[400:]))
        assert await left_parts(connection, 2) == []
        async with writing(vhost_url, store, publisher, 0, 1):
            await told.all_of(events)
            await complete(store, told.events, events)


async def test_a_dead_event_is_requeued_to_where_its_chain_is_now(
    vhost_url: str, connection: RobustConnection, publisher: BrokerPublisher
) -> None:
    """Its queue may be no more."""
    buried = {"reason": "no JSON", "queue": "history.3"}
    letter = Message(id="C1-1-0-x-0", routing_key="dead", body=b"{}", headers=buried)
    await publisher.publish(letter)
    async with DeadQueue.open(vhost_url, "test operator") as dead:
        tally = await DeadDesk(dead=dead, publisher=publisher).requeue(DeadFilter())
    assert tally.done == {"history.3": 1}
    assert not await is_empty(connection, "history")


async def test_a_signal_ends_all_parts_of_a_process(
    vhost_url: str, connection: RobustConnection, store: Store, told: Told
) -> None:
    """No part is left behind that would take events for itself."""
    await declare(connection, installed(2))
    async with BrokerPublisher.open(vhost_url, "parts", history_parts=2) as publisher:
        both = (asyncio.Event(), asyncio.Event())
        workers = [
            worker(vhost_url, store, publisher, part, on_ready=ready.set)
            for part, ready in enumerate(both)
        ]
        running = asyncio.create_task(run_all(workers))
        await soon(asyncio.gather(*(ready.wait() for ready in both)))
        os.kill(os.getpid(), signal.SIGTERM)
        await soon(running)
        await publisher.publish(*map(event_message, backlog(20)))
    assert not told.events
