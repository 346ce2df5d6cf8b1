"""A worker on a queue without its broker: how it stops, and how it buries."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from unittest.mock import AsyncMock, create_autospec

import pytest
from aiormq.exceptions import ConnectionInternalError
from faststream import FastStream

from orchestrator.broker.consuming import QueueWorker
from orchestrator.domain.errors import BrokerUnavailable, Undecodable
from orchestrator.ports import Publisher
from tests.unit.broker.delivered import delivered

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Bench:
    """A worker and what it asks others for."""

    def __init__(self) -> None:
        """All goes well."""
        self.handler = AsyncMock(return_value=None)
        self.publisher = create_autospec(Publisher, instance=True)
        self.worker = QueueWorker(
            url="amqp://nobody.example/",
            queue="callbacks",
            handler=self.handler,
            concurrency=1,
            publisher=self.publisher,
            random=lambda: 0.0,
            clock=lambda: NOON,
        )


@pytest.fixture
def bench() -> Bench:
    """A worker that does not run yet."""
    return Bench()


def _nothing() -> None:
    """Nothing happens meanwhile."""


class Unled:
    """Starts of workers whose queue has no leader."""

    def __init__(self) -> None:
        """None so far."""
        self.starts = 0
        self.during: Callable[[], None] = _nothing
        self.refused = asyncio.Event()

    async def start(self, _: FastStream) -> None:
        """Begin to consume, which makes the broker close the connection."""
        self.starts += 1
        self.during()
        self.refused.set()
        raise ConnectionInternalError


@pytest.fixture
def unled(monkeypatch: pytest.MonkeyPatch) -> Unled:
    """The queue has no leader."""
    made = Unled()

    async def start(app: FastStream) -> None:
        await made.start(app)

    monkeypatch.setattr(FastStream, "start", start)
    return made


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_worker_that_waits_for_its_queue_hears_signals(
    bench: Bench, unled: Unled, number: signal.Signals
) -> None:
    """It ends in good order and starts no more (G9); then nobody listens any more."""
    running = asyncio.create_task(bench.worker.run())
    async with asyncio.timeout(5):
        await unled.refused.wait()
        signal.raise_signal(number)
        await running
    assert unled.starts == 1
    assert not asyncio.get_running_loop().remove_signal_handler(number)


async def test_a_signal_that_meets_a_start_which_fails_is_not_lost(
    bench: Bench, unled: Unled
) -> None:
    """What hears it then is given up for a new one."""
    unled.during = lambda: signal.raise_signal(signal.SIGTERM)
    async with asyncio.timeout(5):
        await bench.worker.run()
    assert unled.starts == 1


async def test_exit_ends_the_wait_for_a_queue(bench: Bench, unled: Unled) -> None:
    """As a signal does."""
    running = asyncio.create_task(bench.worker.run())
    async with asyncio.timeout(5):
        await unled.refused.wait()
        bench.worker.exit()
        await running
    assert unled.starts == 1


async def test_only_the_burial_is_repeated_while_the_broker_is_away(
    bench: Bench,
) -> None:
    """What the handler has refused it is not asked again."""
    message = delivered(b"what")
    bench.handler.side_effect = Undecodable("no JSON")
    away = BrokerUnavailable("the connection to the broker is down")
    bench.publisher.publish.side_effect = [away, away, None]

    async with asyncio.timeout(5):
        await bench.worker._settle(message)

    assert bench.handler.await_count == 1
    assert bench.publisher.publish.await_count == 3
    assert message.processed
    assert bench.worker.faults == frozenset()
