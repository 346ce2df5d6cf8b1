"""A worker on a queue: every message is done, dead, held or handed back."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from aio_pika import RobustConnection
from aiormq.exceptions import ConnectionInternalError
from structlog.testing import capture_logs

from orchestrator.broker.consuming import QueueWorker
from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.domain.errors import (
    BackendRefused,
    BrokerUnavailable,
    NotConfigured,
    Refused,
    SealBroken,
    StoreUnavailable,
    Undecodable,
)
from orchestrator.local.wire import Wire
from orchestrator.ports import Delivery, Handler, Message
from tests.broker.support import SOON_S, Operator, headers_of, is_empty, soon, take, work

pytestmark = pytest.mark.broker

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Station:
    """Runs workers in this process."""

    def __init__(self, url: str, publisher: BrokerPublisher) -> None:
        """Let them work at this broker."""
        self.url = url
        self.publisher = publisher

    def worker(self, handler: Handler, *, concurrency: int = 8) -> QueueWorker:
        """A worker for `callbacks` that does not run yet."""
        return QueueWorker(
            url=self.url,
            queue="callbacks",
            handler=handler,
            concurrency=concurrency,
            publisher=self.publisher,
            random=lambda: 0.0,
            clock=lambda: NOON,
        )

    @asynccontextmanager
    async def working(
        self, handler: Handler, *, concurrency: int = 8
    ) -> AsyncIterator[QueueWorker]:
        """A worker that takes messages until the context closes."""
        worker = self.worker(handler, concurrency=concurrency)
        async with worker.app:
            yield worker


@pytest.fixture
def station(vhost_url: str, publisher: BrokerPublisher) -> Station:
    """Where the workers of a test work."""
    return Station(vhost_url, publisher)


class Inbox:
    """A handler that keeps what it is given and does what it is told then."""

    def __init__(self, *then: Callable[[], Awaitable[None]]) -> None:
        """Do the first of `then` with the first message, and nothing when it is over."""
        self.given: asyncio.Queue[Delivery] = asyncio.Queue()
        self._then = list(then)

    async def __call__(self, delivery: Delivery) -> None:
        """Take it in."""
        self.given.put_nowait(delivery)
        if self._then:
            await self._then.pop(0)()

    async def next(self) -> Delivery:
        """The next one."""
        return await soon(self.given.get())


def failing(error: Exception) -> Callable[[], Awaitable[None]]:
    """Something that goes wrong."""

    async def fail() -> None:
        raise error

    return fail


async def test_the_handler_gets_the_bytes_and_the_message_is_done(
    station: Station, publisher: BrokerPublisher, connection: RobustConnection
) -> None:
    """A JSON body arrives undecoded; returning acknowledges."""
    inbox = Inbox()
    await publisher.publish(
        Message(
            id="m1", routing_key="callbacks", body=b'{"a": 1}', headers={"hop": "one"}
        )
    )

    async with station.working(inbox):
        delivery = await inbox.next()

    assert delivery == Delivery(
        body=b'{"a": 1}', message_id="m1", headers={"hop": "one"}, redelivered=False
    )
    assert await is_empty(connection, "callbacks")
    assert await is_empty(connection, "dead")


async def test_a_worker_starts_over_while_its_queue_has_no_leader(
    station: Station, publisher: BrokerPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is just being declared, the broker closes whoever wants to consume."""
    inbox = Inbox()
    worker = station.worker(inbox)
    monkeypatch.setattr(worker.app, "run", failing(ConnectionInternalError()))
    await publisher.publish(work(1))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(worker.run())
        assert (await inbox.next()).message_id == "m1"
        worker.exit()


async def test_an_undecodable_message_is_moved_to_dead_with_its_reason(
    station: Station, publisher: BrokerPublisher, connection: RobustConnection
) -> None:
    """The copy keeps body, id and our headers, without the broker's `x-*`."""
    await publisher.publish(
        Message(
            id="m1",
            routing_key="callbacks",
            body=b"what",
            content_type="text/plain",
            headers={"traceparent": "00-1", "x-death": "old"},
        )
    )

    async with station.working(Inbox(failing(Undecodable("step: field required")))):
        dead = await take(connection, "dead")

    assert (dead.body, dead.message_id, dead.content_type) == (
        b"what",
        "m1",
        "text/plain",
    )
    assert headers_of(dead) == {
        "traceparent": "00-1",
        "reason": "step: field required",
        "queue": "callbacks",
        "first-died-at": "2026-05-01T12:00:00.000+00:00",
        "died-at": "2026-05-01T12:00:00.000+00:00",
        "deliveries": 1,
    }
    assert await is_empty(connection, "callbacks")


@pytest.mark.parametrize(
    "error,reason",
    [
        (SealBroken("malformed seal"), "malformed seal"),
        (BackendRefused(status=400, error="INVALID"), "INVALID (400)"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_whatever_is_refused_for_good_is_moved_to_dead_with_its_reason(
    station: Station,
    publisher: BrokerPublisher,
    connection: RobustConnection,
    error: Refused,
    reason: str,
) -> None:
    """The operator sees why, not just that it was rejected."""
    await publisher.publish(work(1))

    async with station.working(Inbox(failing(error))):
        dead = await take(connection, "dead")

    headers = headers_of(dead)
    assert dead.message_id == "m1"
    assert (headers["reason"], headers["queue"]) == (reason, "callbacks")
    assert await is_empty(connection, "callbacks")


async def test_a_defect_of_ours_dead_letters_and_tells_only_its_type(
    station: Station, publisher: BrokerPublisher, connection: RobustConnection
) -> None:
    """An unexpected error's text may hold a value, so no log has it."""
    await publisher.publish(work(1))

    with capture_logs() as logs:
        async with station.working(Inbox(failing(ZeroDivisionError("the-value")))):
            dead = await take(connection, "dead")

    assert dead.message_id == "m1"
    assert isinstance(deaths := dead.headers["x-death"], list)
    assert isinstance(death := deaths[0], dict)
    assert (death["queue"], death["reason"]) == ("callbacks", "rejected")
    assert "the-value" not in repr(logs)
    assert {"event": "worker.rejected", "error": "ZeroDivisionError"}.items() <= next(
        log for log in logs if log["log_level"] == "error"
    ).items()


async def test_a_held_message_stays_in_hand_until_the_fault_is_over(
    station: Station, publisher: BrokerPublisher, connection: RobustConnection
) -> None:
    """The same delivery is tried again; none is spent and the fault is logged once."""
    away = StoreUnavailable("the database does not answer")
    inbox = Inbox(failing(away), failing(away), failing(away))
    await publisher.publish(work(1))

    with capture_logs() as logs:
        async with station.working(inbox) as worker:
            tries = [await inbox.next() for _ in range(3)]
            assert worker.faults == {"StoreUnavailable"}
            tries.append(await inbox.next())

    assert [delivery.redelivered for delivery in tries] == [False] * 4
    assert not any("x-delivery-count" in delivery.headers for delivery in tries)
    assert worker.faults == frozenset()
    assert await is_empty(connection, "callbacks")
    told = [log["event"] for log in logs if log.get("fault") == "StoreUnavailable"]
    assert told == ["worker.held", "worker.no_longer_held"]


async def test_what_is_held_when_the_worker_stops_is_handed_back(
    station: Station, publisher: BrokerPublisher, connection: RobustConnection
) -> None:
    """Another worker can take it at once; nothing waits for the fault."""
    away = BrokerUnavailable("no confirm within 10 s")
    inbox = Inbox(*[failing(away)] * 100)
    await publisher.publish(work(1))

    async with station.working(inbox):
        await inbox.next()

    handed_back = await take(connection, "callbacks")
    assert handed_back.message_id == "m1"
    assert handed_back.redelivered


async def test_undecodable_waits_too_while_dead_cannot_be_reached(
    station: Station, connection: RobustConnection, publisher: BrokerPublisher
) -> None:
    """A message leaves its queue only after its copy in `dead` is confirmed."""

    class Unreachable:
        """A publisher that is cut off once."""

        calls = 0

        async def publish(self, *messages: Message, timeout_s: float = 10.0) -> None:
            """Fail, then pass on."""
            self.calls += 1
            if self.calls == 1:
                raise BrokerUnavailable("the connection to the broker is down")
            await publisher.publish(*messages, timeout_s=timeout_s)

    unreachable = Unreachable()
    station.publisher = unreachable  # type: ignore[assignment] # it is a ports.Publisher
    inbox = Inbox(failing(Undecodable("no JSON")))
    await publisher.publish(work(1))

    async with station.working(inbox):
        assert (await take(connection, "dead")).message_id == "m1"

    assert unreachable.calls == 2
    assert inbox.given.qsize() == 1


async def test_no_more_is_in_hand_than_can_be_handled(
    station: Station, publisher: BrokerPublisher
) -> None:
    """Prefetch is the concurrency: the rest stays for other workers."""
    release = asyncio.Event()
    busy = Inbox(*[lambda: _until(release)] * 3)
    idle = Inbox()
    for number in range(8):
        await publisher.publish(work(number))

    async with station.working(busy, concurrency=3):
        in_hand = [(await busy.next()).message_id for _ in range(3)]
        async with station.working(idle):
            others = [(await idle.next()).message_id for _ in range(5)]
        assert busy.given.empty()
        release.set()

    assert sorted(in_hand + others) == [f"m{number}" for number in range(8)]


async def test_a_lost_connection_cancels_and_the_message_comes_again(
    station: Station,
    publisher: BrokerPublisher,
    connection: RobustConnection,
    operator: Operator,
) -> None:
    """After a reconnection the worker goes on, with what it had in hand first."""
    never = asyncio.Event()
    inbox = Inbox(lambda: _until(never))
    await publisher.publish(work(1))

    async with station.working(inbox):
        assert not (await inbox.next()).redelivered
        await operator.cut("worker callbacks")
        again = await inbox.next()
        await publisher.publish(work(2))
        after = await inbox.next()

    assert (again.message_id, again.redelivered) == ("m1", True)
    assert (after.message_id, after.redelivered) == ("m2", False)
    assert await is_empty(connection, "callbacks")
    assert await is_empty(connection, "dead")


async def test_a_worker_that_stops_while_its_connection_is_lost_stops(
    station: Station, publisher: BrokerPublisher, wire: Wire
) -> None:
    """There is nothing in hand then, so there is nothing to wait for."""
    cancelled = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    station.url = wire.url
    inbox = Inbox(hang)
    await publisher.publish(work(1))

    async with asyncio.timeout(SOON_S), station.working(inbox):
        await inbox.next()
        wire.cut()
        await cancelled.wait()


async def test_without_its_queue_a_worker_does_not_start(
    station: Station, connection: RobustConnection
) -> None:
    """The topology is somebody else's to declare; a missing one is said by name."""
    async with connection.channel() as channel:
        await channel.queue_delete("callbacks")

    with pytest.raises(NotConfigured, match="'callbacks' does not exist"):
        await station.worker(Inbox()).run()


async def test_a_worker_runs_until_it_is_told_to_exit(
    station: Station, publisher: BrokerPublisher, connection: RobustConnection
) -> None:
    """`run` ends in good order and leaves nothing of itself behind."""
    inbox = Inbox()
    worker = station.worker(inbox)
    running = asyncio.create_task(worker.run())
    await publisher.publish(work(1))
    await inbox.next()

    worker.exit()

    await soon(running)
    assert not asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
    assert await is_empty(connection, "callbacks")


async def _until(event: asyncio.Event) -> None:
    await event.wait()
