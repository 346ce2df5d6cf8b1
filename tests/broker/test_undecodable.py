"""A body that cannot be decoded never stops a worker, whatever kind of worker it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from aio_pika import RobustConnection

from orchestrator.background import Background
from orchestrator.broker.batches import BatchWorker
from orchestrator.broker.consuming import QueueWorker
from orchestrator.broker.dead import DeadQueue
from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.domain.chain import Slot
from orchestrator.domain.delivery import Answer
from orchestrator.ports import (
    LANES,
    Delivery,
    Handler,
    Message,
    Queues,
    event_message,
    work_message,
)
from orchestrator.sealing import Sealer
from orchestrator.store import open_store
from orchestrator.store.schema import migrate
from orchestrator.work import start_message
from tests.broker.support import eventually, is_empty, soon
from tests.support.events import started
from tests.support.fakes import (
    FakeBackend,
    FakeCaller,
    FakeClock,
    FakePublisher,
    FakeReplies,
    FakeSigner,
)
from tests.support.parts import Pauses, SharedGateway
from tests.support.samples import NOW
from tests.support.workshop import Workshop

pytestmark = pytest.mark.broker

#: None of them is work or an event; some trouble parsers.
BODIES = (
    b"",
    b"MARKER",
    b"\xff\xfe\x00",
    b"null",
    b"{}",
    b'{"kind": "MARKER", "type": "MARKER"}',
    b'{"kind": "callback", "id": "\\ud800"}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"9" * 10_000,
    b'{"kind": "callback", "step": 1e999999, "sealed": "MARKER"}',
    json.dumps({"kind": "start", "id": "a b"}).encode("utf-16"),
)


@pytest.fixture
async def workshop(tmp_path: Path) -> AsyncIterator[Workshop]:
    """Workers on a real store; what they say to others stays here."""
    url = f"sqlite:///{tmp_path / 'chains.db'}"
    await migrate(url)
    clock = FakeClock(NOW)
    async with open_store(url, now=clock) as store:
        yield Workshop(
            store=store,
            clock=clock,
            publisher=FakePublisher(),
            replies=FakeReplies(clock),
            backend=FakeBackend(),
            signer=FakeSigner(),
            sealer=Sealer(b"\x01" * 32, "k1", b"\x02" * 32),
            background=Background(),
            shared=cast("SharedGateway", None),
        )


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A vhost and its workers."""

    url: str
    publisher: BrokerPublisher
    connection: RobustConnection

    async def survives(
        self, queue: str, working: AbstractAsyncContextManager[None], good: Message
    ) -> None:
        """What cannot be decoded is dead with a reason; the good one comes through."""
        bad = [
            Message(id=f"bad{number}", routing_key=queue, body=body)
            for number, body in enumerate(BODIES)
        ]
        await self.publisher.publish(*bad, good)

        async def buried() -> dict[str, str] | None:
            async with DeadQueue.open(self.url, "test look") as dead:
                found = [held.letter async for page in dead.pages() for held in page]
            reasons = {one.message_id: one.reason or "" for one in found}
            return reasons if len(reasons) >= len(bad) else None

        async with working:
            reasons = await eventually(buried)
        assert set(reasons) == {message.id for message in bad}
        assert all(reasons.values())
        assert "MARKER" not in str(reasons)
        # Handed back at the end, were the good one not done by now.
        assert await is_empty(self.connection, queue)

    @asynccontextmanager
    async def worker(self, queue: str, handler: Handler) -> AsyncIterator[None]:
        """A worker that takes one message at a time."""
        worker = QueueWorker(
            url=self.url,
            queue=queue,
            handler=handler,
            concurrency=1,
            publisher=self.publisher,
        )
        async with worker.app:
            yield


@pytest.fixture
def bench(
    vhost_url: str, publisher: BrokerPublisher, connection: RobustConnection
) -> Bench:
    """Where they are tried."""
    return Bench(url=vhost_url, publisher=publisher, connection=connection)


@pytest.mark.parametrize("lane", LANES)
async def test_a_callback_worker_goes_on(
    bench: Bench, workshop: Workshop, lane: str
) -> None:
    """In each lane; the callback behind them is posted."""
    work = workshop.callback(Slot(chain_id="C1", step=1), "T")
    caller = FakeCaller([Answer(status=204, body=b"", duration_s=0.0)])
    handler = workshop.callback_worker(caller, Pauses(workshop.clock))
    good = work_message(work.model_copy(update={"lane": lane}))

    await bench.survives(good.routing_key, bench.worker(good.routing_key, handler), good)
    assert len(caller.posts) == 1


async def test_a_session_worker_goes_on(bench: Bench, workshop: Workshop) -> None:
    """The work behind them is done."""
    seen: list[str] = []
    handler = workshop.session_worker()

    async def watched(delivery: Delivery) -> None:
        await handler(delivery)
        seen.append(delivery.message_id)

    good = start_message(Slot(chain_id="C1", step=1), "acme")
    working = bench.worker(Queues.SESSIONS, watched)
    await bench.survives(Queues.SESSIONS, working, good)
    assert seen == [good.id]


async def test_a_history_worker_goes_on(bench: Bench, workshop: Workshop) -> None:
    """The event behind them is written, whatever batch it came in."""
    event = started()
    worker = BatchWorker(
        url=bench.url,
        queue=Queues.HISTORY,
        handler=workshop.history_worker(),
        publisher=bench.publisher,
    )
    await bench.survives(Queues.HISTORY, _running(worker), event_message(event))
    assert [one.id for one in await workshop.store.events("C1")] == ["e1"]


@asynccontextmanager
async def _running(worker: BatchWorker) -> AsyncIterator[None]:
    running = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        worker.exit()
        await soon(running)
