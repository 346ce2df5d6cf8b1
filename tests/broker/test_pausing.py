"""A worker that can handle nothing takes no more messages until it can again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aio_pika import RobustConnection
from structlog.testing import capture_logs
from structlog.types import EventDict

from orchestrator.broker.consuming import QueueWorker
from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.domain.errors import StoreUnavailable
from orchestrator.ports import Delivery
from tests.broker.support import Operator, eventually, is_empty, soon, take, work

pytestmark = pytest.mark.broker


@dataclass
class Site:
    """A worker and the database that it needs.

    Attributes:
        away: whether the database is.
        tried: the ids of messages as they are tried, again and again.
        done: those that were handled.
    """

    away: bool = False
    tried: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    done: asyncio.Queue[Delivery] = field(default_factory=asyncio.Queue)

    async def __call__(self, delivery: Delivery) -> None:
        """Handle a message, if the database is there."""
        self.tried.put_nowait(delivery.message_id)
        if self.away:
            raise StoreUnavailable("the database is away")
        self.done.put_nowait(delivery)

    async def look(self) -> bool:
        """Whether the database is away."""
        return self.away

    async def handled(self) -> Delivery:
        """The next message that is handled."""
        return await soon(self.done.get())


@pytest.fixture(autouse=True)
def _looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pace is not what is tested."""
    monkeypatch.setattr("orchestrator.broker.pausing.LOOK_S", 0.05)


@asynccontextmanager
async def _working(
    site: Site, url: str, publisher: BrokerPublisher
) -> AsyncIterator[QueueWorker]:
    worker = QueueWorker(
        url=url,
        queue="callbacks",
        handler=site,
        concurrency=8,
        publisher=publisher,
        away=site.look,
        random=lambda: 0.0,
    )
    async with worker.app:
        yield worker


async def _until_paused(logs: list[EventDict]) -> None:
    """Wait until it says so: the broker counts consumers that have something in hand."""

    async def look() -> bool:
        return any(log["event"] == "worker.paused" for log in logs)

    await eventually(look)


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    """What is logged in a test."""
    with capture_logs() as captured:
        yield captured


async def test_what_comes_while_a_worker_is_paused_is_left_to_others(
    vhost_url: str,
    publisher: BrokerPublisher,
    connection: RobustConnection,
    logs: list[EventDict],
) -> None:
    """What it has in hand stays there, and no delivery is spent; then it goes on."""
    sick, sound = Site(away=True), Site()
    await publisher.publish(work(1))
    async with _working(sick, vhost_url, publisher):
        await soon(sick.tried.get())
        await _until_paused(logs)
        for number in range(2, 12):
            await publisher.publish(work(number))
        async with _working(sound, vhost_url, publisher):
            others = [await sound.handled() for _ in range(10)]

        sick.away = False
        first = await sick.handled()
        await publisher.publish(work(12))
        last = await sick.handled()

    ids = {delivery.message_id for delivery in others}
    assert ids == {f"m{number}" for number in range(2, 12)}
    assert (first.message_id, first.redelivered) == ("m1", False)
    assert (last.message_id, last.redelivered) == ("m12", False)
    assert await is_empty(connection, "callbacks")


async def test_a_paused_worker_whose_connection_breaks_stays_paused(
    vhost_url: str,
    publisher: BrokerPublisher,
    connection: RobustConnection,
    operator: Operator,
    logs: list[EventDict],
) -> None:
    """Its messages go back to the queue; when it can, it takes them again."""
    site = Site(away=True)
    await publisher.publish(work(1))
    async with _working(site, vhost_url, publisher) as worker:
        await soon(site.tried.get())
        await _until_paused(logs)
        await operator.cut("worker callbacks")

        async def given_back() -> bool:
            return not worker.faults

        await eventually(given_back)
        while not site.tried.empty():
            site.tried.get_nowait()
        await publisher.publish(work(2))
        await _until_ready(connection, 2)
        assert site.tried.empty()

        site.away = False
        handled = {(await site.handled()).message_id for _ in range(2)}
    assert handled == {"m1", "m2"}
    assert await is_empty(connection, "callbacks")


async def _until_ready(connection: RobustConnection, count: int) -> None:
    """Wait until so many messages are free for anybody."""

    async def look() -> bool:
        async with connection.channel() as channel:
            queue = await channel.declare_queue("callbacks", passive=True)
            return queue.declaration_result.message_count == count

    await eventually(look)


async def test_a_paused_worker_that_stops_hands_back_what_it_has(
    vhost_url: str,
    publisher: BrokerPublisher,
    connection: RobustConnection,
    logs: list[EventDict],
) -> None:
    """Nobody has to wait for the end of the fault."""
    site = Site(away=True)
    await publisher.publish(work(1))
    async with _working(site, vhost_url, publisher):
        await soon(site.tried.get())
        await _until_paused(logs)

    handed_back = await take(connection, "callbacks")
    assert (handed_back.message_id, handed_back.redelivered) == ("m1", True)
