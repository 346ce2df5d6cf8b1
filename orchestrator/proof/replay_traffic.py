"""Chains that come at an even pace, whatever becomes of those before (an open loop)."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import ceil
from typing import Final

from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.domain.errors import BrokerUnavailable
from orchestrator.proof.replay_rows import Begun, Rows

#: Chains are written so long before their sessions are proved, all of that time at once.
AHEAD_S: Final = 1.0

#: Before what the broker has not taken is published again, as the clock would.
_PAUSE_S: Final = 0.5


@dataclass(kw_only=True)
class Traffic:
    """Chains at a pace.

    Attributes:
        urls: where their next sessions come from, one after the other.
        sent: when each chain's callback was published first, by the machine's monotonic
            clock.
        urls_of: each chain's.
        unconfirmed: how often something was sent again that the broker may have had.
    """

    rows: Rows
    publisher: BrokerPublisher
    urls: Sequence[str]
    rate: float
    sent: dict[str, float] = field(default_factory=dict)
    urls_of: dict[str, str] = field(default_factory=dict)
    unconfirmed: int = 0

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """They come while the context is open; all are published when it closes."""
        async with asyncio.TaskGroup() as tasks:
            over = asyncio.Event()
            tasks.create_task(self._flow(tasks, itertools.cycle(self.urls), over))
            try:
                yield
            finally:
                over.set()

    async def come(self, count: int) -> None:
        """So many of them."""
        urls = itertools.islice(itertools.cycle(self.urls), count)
        async with asyncio.TaskGroup() as tasks:
            await self._flow(tasks, urls, asyncio.Event())

    async def _flow(
        self, tasks: asyncio.TaskGroup, urls: Iterator[str], over: asyncio.Event
    ) -> None:
        portion = max(ceil(self.rate * AHEAD_S), 1)
        ahead = await self._begin(list(itertools.islice(urls, portion)))
        due_s = time.monotonic()
        while ahead and not over.is_set():
            some = list(itertools.islice(urls, portion))
            following = asyncio.create_task(self._begin(some))
            for begun in ahead:
                await asyncio.sleep(max(due_s - time.monotonic(), 0.0))
                tasks.create_task(self._publish(begun))
                due_s += 1 / self.rate
            ahead = await following

    async def _begin(self, urls: Sequence[str]) -> list[Begun]:
        begun = await self.rows.begin(urls) if urls else []
        self.urls_of |= {one.chain_id: url for one, url in zip(begun, urls, strict=True)}
        return begun

    async def _publish(self, begun: Begun) -> None:
        """As a gateway does: again, until the broker has it."""
        self.sent[begun.chain_id] = time.monotonic()
        while True:
            # Without a connection nothing is sent.
            sent = self.publisher.connected
            try:
                await self.publisher.publish(*begun.messages)
            except BrokerUnavailable:
                self.unconfirmed += sent
                await asyncio.sleep(_PAUSE_S)
            else:
                return


def latencies(
    sent: Mapping[str, float], received: Mapping[str, float], from_s: float, to_s: float
) -> list[float]:
    """How long the callbacks of a window took to their endpoints, the quickest first.

    One that has not come took for ever.
    """
    return sorted(
        received.get(chain_id, float("inf")) - at_s
        for chain_id, at_s in sent.items()
        if from_s <= at_s < to_s
    )
