"""Callback hops of one process at a time: who makes them, from where, and how fast.

Counted is what the endpoints get, from the moment when all messages of a turn are in the
queue until the last came. What a process has in hand at either end is at most its
prefetch, so over thousands of hops that is the pace of acknowledgements too; and a turn
is over only when every event and every work that has to follow is in its queue.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aio_pika import RobustConnection
from aio_pika.abc import AbstractIncomingMessage, AbstractRobustChannel

from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.local.processes import Processes
from orchestrator.ports import Message
from orchestrator.proof.sink import Count, Sink

#: For a turn to end on a busy machine.
TURN_BOUND_S: Final = 300.0
PUBLISHED_BOUND_S: Final = 120.0
LOOK_S: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class Racer:
    """A process that makes hops.

    Attributes:
        name: also its process'.
        events: the queue that gets an event for each hop.
        work: the queue that gets a work message for each.
        message: the next one that it consumes; it leads to this URL.
    """

    name: str
    events: str
    work: str
    message: Callable[[str], Message]


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What one turn came to.

    Attributes:
        hops_per_s: by the endpoints' count.
        cpu_ms: what the process itself took of the processors for a hop, all its threads.
        bytes_each: the lengths of a POSTed body, an event and a work message.
    """

    hops_per_s: float
    cpu_ms: float
    bytes_each: tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Track:
    """Where turns are taken."""

    processes: Processes
    connection: RobustConnection
    channel: AbstractRobustChannel
    publisher: BrokerPublisher
    sink: Sink

    async def turn(self, racer: Racer, hops: int) -> Turn:
        """Give a process so many messages and wait until nothing is left to do."""
        urls = self.sink.urls
        messages = [racer.message(urls[n % len(urls)]) for n in range(hops)]
        before = await self.sink.count()
        await self.publisher.publish(*messages, timeout_s=PUBLISHED_BOUND_S)
        start, used_s = await self.sink.count(), self._cpu_s(racer)
        async with asyncio.timeout(TURN_BOUND_S):
            end = await self._posted(before.posts + hops)
            used_s = self._cpu_s(racer) - used_s
            event_bytes = await self._taken_away(racer.events, hops)
            work_bytes = await self._taken_away(racer.work, hops)
        made = end.posts - start.posts
        body_bytes = (end.body_bytes - before.body_bytes) // hops
        return Turn(
            hops_per_s=made / (end.last_at_s - start.told_at_s),
            cpu_ms=used_s / made * 1000,
            bytes_each=(body_bytes, event_bytes, work_bytes),
        )

    async def _posted(self, posts: int) -> Count:
        """The count as soon as so many came in all."""
        while True:
            count = await self.sink.count()
            if count.posts >= posts:
                return count
            await asyncio.sleep(LOOK_S)

    async def _taken_away(self, queue: str, hops: int) -> int:
        """Wait until as many are there, and empty the queue; the length of the first."""
        while await self._waiting(queue) < hops:  # noqa: ASYNC110 - queues make no noise
            await asyncio.sleep(LOOK_S)
        first: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        async with self.connection.channel() as channel:
            await channel.set_qos(prefetch_count=1)
            # Not by `get`: a queue with a single active consumer has none.
            await (await channel.get_queue(queue, ensure=False)).consume(first.put)
            body = (await first.get()).body
        await (await self.channel.get_queue(queue, ensure=False)).purge()
        return len(body)

    async def _waiting(self, queue: str) -> int:
        declared = await self.channel.declare_queue(queue, passive=True, robust=False)
        return declared.declaration_result.message_count or 0

    def _cpu_s(self, racer: Racer) -> float:
        return cpu_s(self.processes.pid(racer.name))


def cpu_s(pid: int) -> float:
    """What a process has taken of the processors, by the kernel's account."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def alike(one: Sequence[int], other: Sequence[int], *, tolerance: float) -> bool:
    """Whether all lengths are nearly the same."""
    pairs = zip(one, other, strict=True)
    return all(abs(a - b) <= tolerance * max(a, b) for a, b in pairs)
