"""Taking no more messages while the worker itself cannot handle any (DESIGN §3).

What is in hand stays in hand; what comes later stays in the queue, for workers that can.
One message's own trouble, a row that is locked or a key that is gone, pauses nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol

import structlog
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

_log = structlog.get_logger(__name__)

#: Whether nothing can be handled just now.
Away = Callable[[], Awaitable[bool]]

#: Between two looks whether that is over.
LOOK_S: Final = 1.0

#: How long a switch that is on its way may take once the worker is to stop.
CLOSE_S: Final = 2.0


async def never() -> bool:
    """Nothing that is away keeps this worker from all of its messages."""
    return False


class Consumer(Protocol):
    """What is stopped and started; either may be repeated."""

    async def stop_consuming(self) -> None:
        """Take no more messages."""

    async def consume_again(self) -> None:
        """Take messages as before."""


class Pause:
    """Stops a consumer while messages are held and what all of them need is away."""

    def __init__(self, queue: str, consumer: Consumer, away: Away) -> None:
        """Begin with a consumer that takes messages."""
        self._queue = queue
        self._consumer = consumer
        self._away = away
        self._held = False
        self._paused = False
        self._stopping = False
        self._changed = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    def told(self, held: frozenset[str]) -> None:
        """What holds messages has changed."""
        self._held = bool(held)
        self._changed.set()
        idle = self._watching is None or self._watching.done()
        if idle and (self._held or self._paused) and not self._stopping:
            self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Switch no more; a consumer that is paused stays so."""
        self._stopping = True
        self._changed.set()
        if self._watching is not None:
            await asyncio.wait({self._watching}, timeout=CLOSE_S)
            self._watching.cancel()

    async def _watch(self) -> None:
        """Look until nothing is held, and the consumer takes messages."""
        while (self._held or self._paused) and not self._stopping:
            self._changed.clear()
            away = await self._away()
            # A connection that breaks meanwhile comes back: then this is done again.
            with suppress(*CONNECTION_EXCEPTIONS):
                await self._switch(paused=away)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), LOOK_S)

    async def _switch(self, *, paused: bool) -> None:
        if paused == self._paused or self._stopping:
            return
        if paused:
            # Also when it fails half-way: the consumer may not come back by itself.
            self._paused = True
            await self._consumer.stop_consuming()
            _log.warning("worker.paused", queue=self._queue)
        else:
            await self._consumer.consume_again()
            _log.info("worker.resumed", queue=self._queue)
            self._paused = False
