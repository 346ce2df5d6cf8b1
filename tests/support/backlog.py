"""A backlog in the lanes beside the live one, and how long live callbacks take."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

from aiohttp import web

from orchestrator.broker.connection import connect
from orchestrator.ports import LANES
from orchestrator.proof.callbacks import Callbacks
from orchestrator.proof.endpoints import Endpoint, Received, endpoint_at_work
from orchestrator.proof.lab import Lab, eventually
from schemas.messages import CallbackWork, Lane

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel, AbstractConnection

OTHERS: Final = (Lane.REPLAY, Lane.EVENTS)

#: How long each callback of a backlog takes its worker: the machine is not what is tried.
SLOW_S: Final = 5.0

#: So many endpoints that no one's limit, and hence no parking, empties the lanes.
ENDPOINTS: Final = 8

#: How many callbacks of a lane differ from each other.
DIFFERENT: Final = 500

#: Live callbacks of one round, one after the other.
ROUND: Final = 25

#: How long a busy broker may take to write what it was given.
FILL_S: Final = 300.0


@dataclass(frozen=True, kw_only=True)
class Lanes:
    """An installation whose lanes can be filled and emptied.

    Attributes:
        busy: the endpoints of what is piled up.
        live: the endpoint of live callbacks.
    """

    lab: Lab
    callbacks: Callbacks
    connection: AbstractConnection
    channel: AbstractChannel
    busy: Sequence[Endpoint]
    live: Endpoint

    @classmethod
    @asynccontextmanager
    async def of(cls, lab: Lab) -> AsyncIterator[Lanes]:
        """With endpoints of their own."""
        async with AsyncExitStack() as stack:
            connection = await connect(lab.stack.broker_url, "backlog")
            await stack.enter_async_context(connection)
            yield cls(
                lab=lab,
                callbacks=await stack.enter_async_context(Callbacks.of(lab.stack)),
                connection=connection,
                channel=await connection.channel(),
                busy=[
                    await stack.enter_async_context(endpoint_at_work(_slowly))
                    for _ in range(ENDPOINTS)
                ],
                live=await stack.enter_async_context(endpoint_at_work()),
            )

    async def fill(self, count: int) -> None:
        """Put so many into each of the other lanes; their workers have begun then.

        Of different ones there are few, as workers do not get far.
        """
        assert count % DIFFERENT == 0
        portion = self._portion()
        async with asyncio.timeout(FILL_S):
            for _ in range(count // DIFFERENT):
                await self.callbacks.publish(*portion)
        await eventually(self._both_at_work)

    def _portion(self) -> list[CallbackWork]:
        targets = itertools.cycle(self.busy)
        return [
            self.callbacks.next(f"{next(targets).url}/{lane}", lane=lane)
            for _ in range(DIFFERENT)
            for lane in OTHERS
        ]

    async def _both_at_work(self) -> bool | None:
        paths = {request.path for one in self.busy for request in one.received}
        return paths == {f"/{lane}" for lane in OTHERS} or None

    async def depths(self) -> list[int]:
        """How many are left in each of the other lanes that no worker has."""
        queues = [
            await self.channel.declare_queue(LANES[lane], passive=True) for lane in OTHERS
        ]
        return [queue.declaration_result.message_count or 0 for queue in queues]

    async def empty(self) -> None:
        """Throw away what no worker has yet."""
        for lane in OTHERS:
            queue = await self.channel.get_queue(LANES[lane])
            await queue.purge()

    async def latency_s(self, rounds: int) -> float:
        """How long one live callback takes from here to its endpoint.

        The median; of several rounds the best, as others may use the machine as well.
        """
        return min([await self._median_s() for _ in range(rounds)])

    async def _median_s(self) -> float:
        clock, took_s = asyncio.get_running_loop().time, list[float]()
        for _ in range(ROUND):
            before, began = len(self.live.received), clock()
            await self.callbacks.publish(self.callbacks.next(f"{self.live.url}/"))
            await self._received(before + 1)
            took_s.append(self.live.received[before].at_s - began)
        return median(took_s)

    async def _received(self, count: int) -> None:
        async def look() -> bool | None:
            return len(self.live.received) >= count or None

        await eventually(look)


async def _slowly(_: int, __: Received) -> web.StreamResponse:
    await asyncio.sleep(SLOW_S)
    return web.Response(status=204)
