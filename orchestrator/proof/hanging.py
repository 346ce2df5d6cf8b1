"""One endpoint that hangs gets half of all callbacks: what is left for the others (G5)?

The offered load is 80 % of what one worker was measured to do in the same run, once with
the breaker and once without it, when only the limit and parking keep the others free.
Both halves of what is compared alternate: the others' callbacks alone, and as many beside
those of an endpoint that answers only after nobody waits any more.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from orchestrator.domain.breaker import BreakerState
from orchestrator.domain.endpoint import origin_of
from orchestrator.local.stack import Plan, Stack
from orchestrator.ports import PARKED, Store
from orchestrator.proof.callbacks import Callbacks
from orchestrator.proof.ground import Ground
from orchestrator.proof.hanging_report import LOAD, Found, Pair, report, word
from orchestrator.proof.report import Report
from orchestrator.proof.sink import Count, Sink, sink_at_work
from orchestrator.store import open_store
from schemas.messages import CallbackWork

Say = Callable[[str], None]

#: An attempt is given up after 20 s (the default); the endpoint answers later still.
HANG_S: Final = 25.0

#: The others, so many that the limit of one of them is not what is measured.
OTHERS: Final = 8

#: Messages leave in portions of this length.
TICK_S: Final = 0.05

#: So many wait for the worker while its capacity is measured.
AHEAD: Final = 500

#: For what is on its way to arrive, on a busy machine.
_BOUND_S: Final = 120.0
_ROWS_MAX: Final = 1_000_000
_DROPPED_AT_ONCE: Final = 500
#: After so long the clock has released what it may, and who was asked has come.
_CLOCKS_BEAT_S: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """How long things are measured.

    Attributes:
        beside_s: longer than an attempt, so that some end and the breaker sees them.
    """

    warm_s: float = 3.0
    capacity_s: float = 10.0
    alone_s: float = 15.0
    beside_s: float = 45.0
    pairs: int = 3


_LENGTHS: Final = Lengths()


async def prove(ground: Ground, say: Say, lengths: Lengths = _LENGTHS) -> Report:
    """An installation without the breaker, then one with it."""
    found = []
    for breaker in (False, True):
        plan = Plan(endpoint=False, overrides={"isolation": {"breaker": breaker}})
        say(f"breaker {word(breaker=breaker)}")
        async with ground.stack(plan) as stack, _bench(stack, lengths.pairs) as bench:
            found.append(await _measure(bench, lengths, say, breaker=breaker))
    return report(found)


async def _measure(bench: _Bench, lengths: Lengths, say: Say, *, breaker: bool) -> Found:
    """Pair after pair, each with a hanging endpoint of its own."""
    await bench.saturate(lengths.warm_s)  # connections, caches
    pairs = []
    for hanging in bench.sink.hanging:
        capacity = await bench.saturate(lengths.capacity_s)
        each = capacity * LOAD / 2
        say(f"capacity {capacity:.0f}/s, so {each:.0f}/s are offered to the others")
        alone = await bench.offer(each, lengths.alone_s)
        held = await bench.held()
        beside = await bench.offer(each, lengths.beside_s, hanging)
        attempts = await bench.held() - held
        pairs.append(
            Pair(
                capacity=capacity,
                alone=alone,
                beside=beside,
                attempts=attempts,
                parked=await bench.parked(hanging),
                opened=await bench.opened(hanging),
            )
        )
        say(f"alone {alone:.0f}/s, beside {beside:.0f}/s, {attempts} attempts that hang")
        await bench.forget()
    return Found(breaker=breaker, pairs=pairs)


@dataclass(frozen=True, kw_only=True)
class _Bench:
    callbacks: Callbacks
    store: Store
    sink: Sink

    async def saturate(self, seconds: float) -> float:
        """How many callbacks a second there are when others always wait already."""
        loop, targets = asyncio.get_running_loop(), itertools.cycle(self.sink.urls)
        count = begun = await self.sink.count()
        end_s, published = loop.time() + seconds, 0
        while loop.time() < end_s:
            missing = AHEAD - published + count.posts - begun.posts
            works = [self.callbacks.next(next(targets)) for _ in range(missing)]
            if works:
                await self.callbacks.publish(*works)
            published += len(works)
            await asyncio.sleep(TICK_S)
            count = await self.sink.count()
        await self._arrived(begun.posts + published)
        return _pace(begun, count)

    async def offer(
        self, each_per_s: float, seconds: float, hanging: str | None = None
    ) -> float:
        """What comes of the others' callbacks, as many going to the hanging one."""
        portions = self._portions(each_per_s, seconds, hanging)
        clock = asyncio.get_running_loop().time
        begun, began_s = await self.sink.count(), clock()
        async with asyncio.TaskGroup() as publishing:
            for number, portion in enumerate(portions):
                await asyncio.sleep(max(0.0, began_s + number * TICK_S - clock()))
                publishing.create_task(self.callbacks.publish(*portion))
        ended = await self.sink.count()
        sent = sum(portions_of(each_per_s, seconds))
        await self._arrived(begun.posts + sent)
        return _pace(begun, ended)

    async def parked(self, url: str) -> int:
        """How many callbacks wait for an endpoint."""
        rows = await self.store.waiting(limit=_ROWS_MAX)
        origin = origin_of(url)
        return sum(row.kind == PARKED and row.endpoint == origin for row in rows)

    async def opened(self, url: str) -> bool:
        """Whether an endpoint's breaker has opened."""
        row = await self.store.endpoint(origin_of(url))
        return row is not None and row.state is not BreakerState.CLOSED

    async def forget(self) -> None:
        """End what hangs, and leave nothing of it for later."""
        async with asyncio.timeout(_BOUND_S):
            held, before = await self.held(), -1
            while held != before:
                await self.sink.hang_up()
                rows = [row.id for row in await self.store.waiting(limit=_ROWS_MAX)]
                for n in range(0, len(rows), _DROPPED_AT_ONCE):
                    await self.store.drop_waiting(rows[n : n + _DROPPED_AT_ONCE])
                await asyncio.sleep(_CLOCKS_BEAT_S)
                held, before = await self.held(), held

    async def held(self) -> int:
        """How many attempts at hanging endpoints there were."""
        return (await self.sink.count()).held

    def _portions(
        self, each_per_s: float, seconds: float, hanging: str | None
    ) -> list[list[CallbackWork]]:
        """Made before they are needed, as making them takes time too."""
        targets = itertools.cycle(self.sink.urls)
        make = self.callbacks.next
        portions = []
        for size in portions_of(each_per_s, seconds):
            works = [make(next(targets)) for _ in range(size)]
            besides = [make(hanging) for _ in works] if hanging else []
            portions.append([*works, *besides])
        return portions

    async def _arrived(self, posts: int) -> None:
        async with asyncio.timeout(_BOUND_S):
            while (  # noqa: ASYNC110 - another process counts
                await self.sink.count()
            ).posts < posts:
                await asyncio.sleep(TICK_S)


@asynccontextmanager
async def _bench(stack: Stack, hanging: int) -> AsyncIterator[_Bench]:
    async with (
        Callbacks.of(stack) as callbacks,
        open_store(stack.database_url) as store,
        sink_at_work(stack.processes, OTHERS, hanging=hanging, hang_s=HANG_S) as sink,
    ):
        yield _Bench(callbacks=callbacks, store=store, sink=sink)


def portions_of(each_per_s: float, seconds: float) -> list[int]:
    """How many callbacks leave at each tick, so that no fraction gets lost."""
    ticks = range(1, round(seconds / TICK_S) + 1)
    ends = [int(each_per_s * TICK_S * tick) for tick in ticks]
    return [end - begin for begin, end in zip([0, *ends[:-1]], ends, strict=True)]


def _pace(begun: Count, ended: Count) -> float:
    return (ended.posts - begun.posts) / (ended.told_at_s - begun.told_at_s)
