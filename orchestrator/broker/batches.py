"""Batch consuming, which FastStream lacks for RabbitMQ (reference faststream.md §7.3).

Made for a queue with a single active consumer: one batch at a time, in the order of the
queue. What the handler defers stays in hand and comes first in the next batch.
"""

from __future__ import annotations

import asyncio
import random as randomness
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Final

import structlog
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ChannelInvalidStateError

from orchestrator.broker.connection import connect, until_led
from orchestrator.broker.holding import (
    Faults,
    HandedBack,
    Holder,
    Random,
    ToldFaults,
    untold,
)
from orchestrator.broker.settling import ack, bury, delivery_of, reject
from orchestrator.broker.topology import require
from orchestrator.domain.errors import Refused
from orchestrator.ports import (
    BatchDelivery,
    BatchHandler,
    BatchOutcome,
    Clock,
    Publisher,
    utc_now,
)
from orchestrator.stopping import on_signals

_log = structlog.get_logger(__name__)

#: How long handing back may take; the end of the connection does it otherwise.
_CLOSE_S: Final = 2.0


async def _nothing() -> None:
    """Nobody wants to know that the worker is ready."""


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """How big a batch becomes and how long it is waited for.

    `size` counts new messages; deferred ones come on top, until both are twice that.
    `linger_s` is counted from the first message of a batch; `defer_s` is the longest that
    deferred messages stay away while nothing new arrives. A batch that is not full begins
    no sooner than `every_s` after the one before: a transaction costs ten messages.
    """

    size: int = 500
    linger_s: float = 0.02
    every_s: float = 0.1
    defer_s: float = 0.1


@dataclass(frozen=True, kw_only=True)
class _InHand:
    """A message in hand and when it was first presented."""

    message: AbstractIncomingMessage
    since: float

    def presented(self, now: float) -> BatchDelivery:
        """The message as the handler sees it."""
        plain = delivery_of(self.message)
        return BatchDelivery(
            body=plain.body,
            message_id=plain.message_id,
            headers=plain.headers,
            redelivered=plain.redelivered,
            waited_s=now - self.since,
        )

    @property
    def stale(self) -> bool:
        """Whether its channel is gone, so that the broker delivers it again."""
        try:
            return self.message.channel.is_closed
        except ChannelInvalidStateError:
            return True


class BatchWorker:
    """Gives the messages of a queue to a handler in batches, until it is to stop."""

    def __init__(
        self,
        *,
        url: str,
        queue: str,
        handler: BatchHandler,
        publisher: Publisher,
        limits: BatchLimits = BatchLimits(),
        drain_timeout_s: float = 25.0,
        on_ready: Callable[[], Awaitable[None]] = _nothing,
        on_faults: ToldFaults = untold,
        random: Random = randomness.random,
        clock: Clock = utc_now,
    ) -> None:
        """Build it; nothing connects before it runs.

        Args:
            url: the broker's URL; the worker has a connection of its own.
            queue: declared already; it is only looked up.
            handler: what to do with a batch, see `ports.BatchHandler`.
            publisher: for messages on their way to `dead`.
            limits: the size of a batch and the waits.
            drain_timeout_s: how long the batch in hand may take after SIGTERM.
            on_ready: called when messages are taken.
            on_faults: told what holds the batch in hand, whenever that changes.
            random: uniform in [0, 1), for the pauses of held batches.
            clock: the time.
        """
        self._url = url
        self._queue = queue
        self._handler = handler
        self._publisher = publisher
        self._limits = limits
        self._drain_timeout_s = drain_timeout_s
        self._on_ready = on_ready
        self._clock = clock
        self._stopping = asyncio.Event()
        self._faults = Faults(queue, on_faults)
        self._holder = Holder(faults=self._faults, stopping=self._stopping, random=random)
        self._arrived: deque[AbstractIncomingMessage] = deque()
        self._deferred: list[_InHand] = []
        self._changed = asyncio.Event()
        self._patience: asyncio.Timeout | None = None
        self._begun = -inf

    @property
    def faults(self) -> frozenset[str]:
        """What is away and holds messages; the worker is unready while there is any."""
        return self._faults.now

    async def run(self) -> None:
        """Work until SIGTERM, SIGINT or `exit`, then finish the batch in hand.

        Raises:
            NotConfigured: the broker's URL is wrong or the queue is missing.
            BrokerUnavailable: there is no broker to start with.
        """
        await run_all([self])

    def exit(self) -> None:
        """End `run`, as SIGTERM does: finish the batch in hand, then no more."""
        if self._stopping.is_set():
            return
        _log.info("worker.draining", queue=self._queue)
        self._stopping.set()
        self._changed.set()
        if self._patience is not None:
            now = asyncio.get_running_loop().time()
            self._patience.reschedule(now + self._drain_timeout_s)

    async def work(self) -> None:
        """The same without an ear for signals; see `run_all`."""
        async with AsyncExitStack() as stack:
            await until_led(lambda: stack.enter_async_context(self._consuming()))
            await self._on_ready()
            try:
                async with asyncio.timeout(None) as self._patience:
                    await self._work()
            except TimeoutError:
                _log.warning("worker.drain_timeout", queue=self._queue)

    @asynccontextmanager
    async def _consuming(self) -> AsyncIterator[None]:
        """Take messages; at the end the broker gets back, in order, what is in hand.

        Closing the channel does both in one step. Were the consumer cancelled first, the
        next one would get later messages before these.
        """
        async with await connect(self._url, f"worker {self._queue}") as connection:
            await require(await connection.channel(), self._queue)
            channel = await connection.channel()
            # While as many are deferred as make a batch, their causes can still arrive.
            await channel.set_qos(prefetch_count=2 * self._limits.size)
            queue = await channel.declare_queue(self._queue, passive=True)
            await queue.consume(self._take)
            _log.info("worker.ready", queue=self._queue)
            yield
            with suppress(*CONNECTION_EXCEPTIONS, TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await channel.close()

    async def _take(self, message: AbstractIncomingMessage) -> None:
        self._arrived.append(message)
        self._changed.set()

    async def _work(self) -> None:
        with suppress(HandedBack):
            while batch := await self._next_batch():
                await self._process(batch)

    # ------------------------------------------------------------------ collecting

    async def _next_batch(self) -> list[_InHand]:
        """Deferred messages, then new ones; none when it is to stop."""
        while True:
            await self._until(
                self._has_news, self._limits.defer_s if self._deferred else None
            )
            await self._until(self._is_full, self._linger_s())
            if self._stopping.is_set():
                return []
            if batch := self._gather():
                self._begun = asyncio.get_running_loop().time()
                return batch

    def _linger_s(self) -> float:
        """How long more messages are waited for, once there is one."""
        since_s = asyncio.get_running_loop().time() - self._begun
        return max(self._limits.linger_s, self._limits.every_s - since_s)

    async def _until(
        self, condition: Callable[[], bool], timeout_s: float | None
    ) -> None:
        """Wait until it holds, the time is over, or the worker is to stop."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not (condition() or self._stopping.is_set()):
                    self._changed.clear()
                    await self._changed.wait()

    def _has_news(self) -> bool:
        return bool(self._arrived)

    def _is_full(self) -> bool:
        return not self._arrived or len(self._arrived) >= self._limits.size

    def _gather(self) -> list[_InHand]:
        """Take a batch from what is in hand, leaving out what will be redelivered."""
        now = asyncio.get_running_loop().time()
        batch = [item for item in self._deferred if not item.stale]
        self._deferred = []
        for _ in range(min(len(self._arrived), self._limits.size)):
            item = _InHand(message=self._arrived.popleft(), since=now)
            if not item.stale:
                batch.append(item)
        return batch

    # -------------------------------------------------------- presenting, settling

    async def _process(self, batch: Sequence[_InHand]) -> None:
        try:
            outcome = await self._holder.until_done(partial(self._present, batch))
        except HandedBack:
            raise
        except Exception as error:  # noqa: BLE001 - one bad message must not stop the queue
            await self._process_failed(batch, error)
        else:
            await self._settle(batch, outcome)

    async def _present(self, batch: Sequence[_InHand]) -> BatchOutcome:
        now = asyncio.get_running_loop().time()
        outcome = await self._handler([item.presented(now) for item in batch])
        named = [*outcome.done, *outcome.deferred, *outcome.dead]
        if sorted(named) != list(range(len(batch))):
            raise ValueError("a batch's outcome must name each message exactly once")
        return outcome

    async def _process_failed(self, batch: Sequence[_InHand], error: Exception) -> None:
        """Present the messages one by one, so that only those at fault go to `dead`."""
        kind = type(error).__name__
        if len(batch) > 1:
            _log.error("worker.batch_split", queue=self._queue, error=kind)
            for item in batch:
                await self._process([item])
        elif isinstance(error, Refused):
            await self._settle(batch, BatchOutcome(done=(), dead={0: str(error)}))
        else:
            message = batch[0].message
            _log.error(
                "worker.rejected",
                queue=self._queue,
                message_id=message.message_id,
                error=kind,
            )
            await reject(message)

    async def _settle(self, batch: Sequence[_InHand], outcome: BatchOutcome) -> None:
        for index, reason in outcome.dead.items():
            await self._holder.until_done(
                partial(self._bury, batch[index].message, reason)
            )
        self._deferred += [batch[index] for index in sorted(outcome.deferred)]
        settled = sorted({*outcome.done, *outcome.dead})
        if settled and not self._deferred:
            await ack(batch[settled[-1]].message, all_before=True)
            return
        for index in settled:
            await ack(batch[index].message)

    async def _bury(self, message: AbstractIncomingMessage, reason: str) -> None:
        await bury(
            self._publisher,
            message,
            queue=self._queue,
            reason=reason,
            now=self._clock(),
        )


async def run_all(workers: Sequence[BatchWorker]) -> None:
    """Work on several queues until SIGTERM or SIGINT, each for itself.

    Raises:
        as `BatchWorker.run`; one that cannot work ends all.
    """

    def exit_all() -> None:
        for worker in workers:
            worker.exit()

    with on_signals(exit_all):
        working = [asyncio.ensure_future(worker.work()) for worker in workers]
        try:
            await asyncio.gather(*working)
        finally:
            for one in working:
                one.cancel()
            await asyncio.gather(*working, return_exceptions=True)
