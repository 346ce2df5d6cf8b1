"""One worker on one queue, run by FastStream (reference faststream.md §7.3).

FastStream brings the connection, the task for each delivery and the life of the process.
Settling is ours, in one place: a message is acknowledged, moved to `dead`, rejected or
handed back here and nowhere else.
"""

from __future__ import annotations

import asyncio
import random as randomness
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import cast

import aiormq
import structlog
from aio_pika import IncomingMessage, RobustQueue
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aiormq.exceptions import ConnectionInternalError
from faststream import AckPolicy, FastStream
from faststream.rabbit import Channel, RabbitBroker, RabbitMessage, RabbitQueue

from orchestrator.broker.connection import RECONNECT_S, broker_url, connect, until_led
from orchestrator.broker.holding import (
    Faults,
    HandedBack,
    Holder,
    Random,
    ToldFaults,
    untold,
)
from orchestrator.broker.pausing import Away, Pause, never
from orchestrator.broker.settling import ack, bury, delivery_of, hand_back, reject
from orchestrator.broker.topology import require
from orchestrator.domain.errors import Refused
from orchestrator.ports import Clock, Handler, Publisher, utc_now
from orchestrator.stopping import hear, on_signals

_log = structlog.get_logger(__name__)

#: How long a consumer may take to be cancelled; the broker answers at once or not at all.
_CANCEL_S = 2.0


#: What FastStream gives to aio-pika, which calls for it by another of its names.
_Consume = Callable[[AbstractIncomingMessage], Awaitable[object]]


async def _nothing() -> None:
    """Nobody wants to know that the worker is ready."""


class QueueWorker:
    """Gives every message of a queue to a handler, at most `concurrency` at a time.

    `app` is the FastStream application; `run` runs it until SIGTERM or SIGINT.
    """

    def __init__(
        self,
        *,
        url: str,
        queue: str,
        handler: Handler,
        concurrency: int,
        publisher: Publisher,
        drain_timeout_s: float = 25.0,
        on_ready: Callable[[], Awaitable[None]] = _nothing,
        on_faults: ToldFaults = untold,
        away: Away = never,
        random: Random = randomness.random,
        clock: Clock = utc_now,
    ) -> None:
        """Build it; nothing connects before it runs.

        Args:
            url: the broker's URL; the worker has a connection of its own.
            queue: declared already; it is only looked up.
            handler: what to do with a message, see `ports.Handler`.
            concurrency: also the prefetch, so that nothing hides in a busy worker.
            publisher: for refused messages on their way to `dead`.
            drain_timeout_s: how long messages in hand may take after SIGTERM.
            on_ready: called when messages are taken.
            on_faults: told what holds messages, whenever that changes.
            away: whether nothing can be handled; asked while messages are held, and
                while it is so no more are taken.
            random: uniform in [0, 1), for the pauses of held messages.
            clock: the time.
        """
        self._url = url
        self._queue = RabbitQueue(queue, declare=False)
        self._handler = handler
        self._publisher = publisher
        self._on_ready = on_ready
        self._clock = clock
        self._stopping = asyncio.Event()
        self._exiting = False
        self._in_hand = 0
        self._on_faults = on_faults
        self._pause = Pause(queue, self, away)
        self._faults = Faults(queue, self._changed_faults)
        self._holder = Holder(faults=self._faults, stopping=self._stopping, random=random)
        self._concurrency = concurrency
        self._drain_timeout_s = drain_timeout_s
        self._broker, self.app = self._make()

    @property
    def faults(self) -> frozenset[str]:
        """What is away and holds messages; the worker is unready while there is any."""
        return self._faults.now

    async def run(self) -> None:
        """Work until SIGTERM, SIGINT or `exit`, then finish what is in hand.

        Raises:
            NotConfigured: the broker's URL is wrong or the queue is missing.
            BrokerUnavailable: there is no broker to start with.
        """
        with on_signals(self.exit):
            await until_led(self._run)

    def exit(self) -> None:
        """End `run`, as SIGTERM does; while it waits for its queue, it starts no more."""
        self._exiting = True
        self.app.exit()

    async def stop_consuming(self) -> None:
        """Take no more messages; see `Pause`."""
        queue = await self._broker.declare_queue(self._queue)
        for tag in await _consumers(queue):
            await queue.cancel(tag)

    async def consume_again(self) -> None:
        """Take messages as before."""
        queue = await self._broker.declare_queue(self._queue)
        if not await _consumers(queue):
            await queue.consume(self._consume)

    async def _run(self) -> None:
        if self._exiting:
            return
        broker, app = self._broker, self.app
        try:
            await app.run()
        except ConnectionInternalError:  # they cannot be started again
            self._broker, self.app = self._make()
            raise
        finally:
            await broker.stop()

    def _make(self) -> tuple[RabbitBroker, FastStream]:
        """FastStream's parts, which connect when they are run."""
        broker = self._make_broker()
        # `_stop_taking` goes first: FastStream itself stops listening before it cancels
        # the consumer, and what arrives in between would stay unsettled.
        app = FastStream(
            broker,
            logger=None,
            lifespan=self._hearing,
            on_startup=[self._await_queue],
            after_startup=[self._ready],
            on_shutdown=[self._stop_taking],
        )
        return broker, app

    def _make_broker(self) -> RabbitBroker:
        """A broker that decodes, logs, answers and settles nothing by itself."""
        broker = RabbitBroker(
            str(broker_url(self._url, f"worker {self._queue.name}")),
            reconnect_interval=RECONNECT_S,
            graceful_timeout=self._drain_timeout_s,
            apply_types=False,
            logger=None,
        )
        subscribe = broker.subscriber(
            self._queue,
            # A channel of its own: a fault on any other would take its consumer along.
            channel=Channel(prefetch_count=self._concurrency),
            ack_policy=AckPolicy.MANUAL,
            parser=_unparsed,
            decoder=_undecoded,
            no_reply=True,
        )
        subscribe(self._take)
        self._consume = cast("_Consume", subscribe.consume)
        return broker

    @asynccontextmanager
    async def _hearing(self) -> AsyncIterator[None]:
        """Signals end `run`; FastStream has them end one start, which may be given up."""
        hear(self.exit)
        yield

    async def _await_queue(self) -> None:
        async with await connect(self._url, f"worker {self._queue.name} start") as first:
            await require(await first.channel(), self._queue.name)

    def _changed_faults(self, now: frozenset[str]) -> None:
        self._on_faults(now)
        self._pause.told(now)

    async def _ready(self) -> None:
        _log.info("worker.ready", queue=self._queue.name)
        await self._on_ready()

    async def _stop_taking(self) -> None:
        """Cancel the consumer; what is in hand goes on, what is held is handed back."""
        _log.info("worker.draining", queue=self._queue.name, in_hand=self._in_hand)
        self._stopping.set()
        await self._pause.close()
        try:
            async with asyncio.timeout(_CANCEL_S):
                await self.stop_consuming()
        except (*CONNECTION_EXCEPTIONS, TimeoutError) as error:
            # The connection is down: the broker has taken everything back already.
            _log.warning("worker.cancel_failed", error=type(error).__name__)

    async def _take(self, message: RabbitMessage) -> None:
        self._in_hand += 1
        try:
            await self._settle(message.raw_message)
        finally:
            self._in_hand -= 1

    async def _settle(self, message: AbstractIncomingMessage) -> None:
        try:
            await self._handle(message)
        except HandedBack:
            await hand_back(message)
        except Exception as error:  # noqa: BLE001 - a defect of ours must not stop others
            # The text of an unknown error may hold anything, so only its type is told.
            _log.error(
                "worker.rejected",
                queue=self._queue.name,
                message_id=message.message_id,
                error=type(error).__name__,
            )
            await reject(message)
        else:
            await ack(message)

    async def _handle(self, message: AbstractIncomingMessage) -> None:
        """Have it handled or buried, each as often as it takes."""
        try:
            await self._holder.until_done(partial(self._handler, delivery_of(message)))
        except Refused as error:
            await self._holder.until_done(partial(self._bury, message, str(error)))

    async def _bury(self, message: AbstractIncomingMessage, reason: str) -> None:
        await bury(
            self._publisher,
            message,
            queue=self._queue.name,
            reason=reason,
            now=self._clock(),
        )


async def _consumers(queue: RobustQueue) -> list[str]:
    """The tags of those that take messages on the queue's channel."""
    underlay = await queue.channel.get_underlay_channel()
    return list(cast("aiormq.Channel", underlay).consumers)


async def _unparsed(message: IncomingMessage) -> RabbitMessage:
    """No more than FastStream must have; it would make up ids, which take their time."""
    return RabbitMessage(
        raw_message=message, body=message.body, correlation_id=message.message_id or "-"
    )


async def _undecoded(message: RabbitMessage) -> RabbitMessage:
    """The message itself: by default FastStream decodes bodies by content type."""
    return message
