"""A gateway's reply queue: wakes the bridge POSTs that wait in this process.

Never direct reply-to: every mandatory publish to it comes back (reference delivery.md
§21).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final
from uuid import uuid4

import structlog
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

from orchestrator.broker.settling import ack
from schemas.messages import MessageInvalid, WakeUp, parse_wake_up

_log = structlog.get_logger(__name__)

#: Wake-ups in hand at once. They are tiny; what takes time is one that nobody waits for.
PREFETCH: Final = 256

#: How long a gateway that stops waits for wake-ups that nobody waited for.
DRAIN_S: Final = 5.0

Unclaimed = Callable[[WakeUp], Awaitable[None]]


class ReplyQueue:
    """`ports.Replies` on an exclusive queue that lives as long as its connection.

    After a reconnection it is there again under the same name; what was in it is lost.
    """

    def __init__(self, name: str, unclaimed: Unclaimed) -> None:
        """Route wake-ups; `open` makes the queue they come from."""
        self._name = name
        self._unclaimed = unclaimed
        self._waiting: dict[str, asyncio.Queue[WakeUp]] = {}
        self._left: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, connection: AbstractConnection, *, unclaimed: Unclaimed
    ) -> AsyncIterator[ReplyQueue]:
        """Declare and consume, until the context closes.

        Args:
            connection: best one of its own: while a broker still holds a dead
                connection's exclusive queue, all channels wait for it.
            unclaimed: is told each wake-up that nobody waits for (any more).
        """
        replies = cls(f"gateway.{uuid4().hex}", unclaimed)
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=PREFETCH)
        queue = await channel.declare_queue(
            replies.queue, exclusive=True, auto_delete=True
        )
        await queue.consume(replies.receive)
        try:
            yield replies
        finally:
            await channel.close()
            await replies.drain()

    @property
    def queue(self) -> str:
        """The queue's name, to be put into `ReplyAddress.queue`."""
        return self._name

    @asynccontextmanager
    async def waiter(self, correlation_id: str) -> AsyncIterator[Waiting]:
        """Wait for the wake-ups of one bridge POST for as long as the context is open."""
        if correlation_id in self._waiting:
            raise ValueError("somebody waits under this correlation id already")
        inbox: asyncio.Queue[WakeUp] = asyncio.Queue()
        self._waiting[correlation_id] = inbox
        try:
            yield Waiting(inbox)
        finally:
            del self._waiting[correlation_id]
            self._leave(inbox)

    async def receive(self, message: AbstractIncomingMessage) -> None:
        """Route one message; it is acknowledged whatever it is."""
        try:
            await self._route(message.correlation_id or "", parse_wake_up(message.body))
        except MessageInvalid as error:
            _log.warning("reply.undecodable", why=str(error))
        await ack(message)

    async def drain(self) -> None:
        """Finish what was told to `unclaimed`."""
        if self._left:
            await asyncio.wait(self._left, timeout=DRAIN_S)

    async def _route(self, correlation_id: str, wake_up: WakeUp) -> None:
        if inbox := self._waiting.get(correlation_id):
            inbox.put_nowait(wake_up)
        else:
            await self._tell_unclaimed(wake_up)

    def _leave(self, inbox: asyncio.Queue[WakeUp]) -> None:
        """What came in just before its waiter went is nobody's either."""
        while not inbox.empty():
            task = asyncio.create_task(self._tell_unclaimed(inbox.get_nowait()))
            self._left.add(task)
            task.add_done_callback(self._left.discard)

    async def _tell_unclaimed(self, wake_up: WakeUp) -> None:
        try:
            await self._unclaimed(wake_up)
        except Exception as error:  # noqa: BLE001 - the row's deadline decides without us
            _log.warning("reply.unclaimed_failed", error=type(error).__name__)


class Waiting:
    """`ports.Waiter` of one bridge POST."""

    def __init__(self, inbox: asyncio.Queue[WakeUp]) -> None:
        """Read from this inbox."""
        self._inbox = inbox

    async def wake_up(self, timeout_s: float) -> WakeUp | None:
        """The next wake-up, or None when the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._inbox.get()
        except TimeoutError:
            return None
