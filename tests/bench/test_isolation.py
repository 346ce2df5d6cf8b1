"""One endpoint that hangs gets half of all callbacks: what is left for the others (G5)?

The offered load is 80 % of what one worker was measured to do in the same run, once with
the breaker and once without it, when only the limit and parking keep the others free.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from orchestrator.local.rabbitmq import Broker
from orchestrator.local.stack import Plan
from orchestrator.ports import PARKED
from schemas.messages import CallbackWork
from tests.contract.sandbox_lab import Endpoint, Received, endpoint_at_work
from tests.support.callbacks import Callbacks
from tests.support.lab import Lab, lab_at_work

pytestmark = [pytest.mark.bench, pytest.mark.timeout(400)]

#: The endpoint hangs for longer than it is waited for.
TIMEOUT_S = 5.0

#: The others, so many that the limit of one of them is not what is measured.
OTHERS = 8

#: Callbacks whose pace is the capacity, and how long each load is offered.
MEASURED = 600
OFFERED_S = 15.0

#: Messages leave in portions of this length.
TICK_S = 0.05

LOAD = 0.8
PROMISE = 0.9


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What one installation did, in callbacks per second."""

    breaker: bool
    capacity: float
    alone: float
    beside: float
    parked: int
    opened: bool

    @property
    def share(self) -> float:
        """What the hanging endpoint leaves of the others' throughput."""
        return self.beside / self.alone


async def test_a_hanging_endpoint_leaves_the_others_their_throughput(
    broker: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At least nine tenths of what it is without the hanging one."""
    figures = []
    for breaker in (False, True):
        async with broker.vhost(f"bench-{breaker}") as url:
            run_dir = tmp_path / str(breaker)
            run_dir.mkdir()
            figures.append(await _measure(url, run_dir, breaker=breaker))
    with capsys.disabled():
        _tell(broker, figures)
    for one in figures:
        assert one.share >= PROMISE, one
        assert one.parked > 0
        assert one.opened is one.breaker


async def _measure(vhost_url: str, run_dir: Path, *, breaker: bool) -> Figures:
    plan = Plan(
        endpoint=False,
        overrides={
            "isolation": {"breaker": breaker},
            "callbacks": {"timeout_s": TIMEOUT_S},
            "logs": {"level": "warning"},
        },
    )
    async with (
        lab_at_work(run_dir, vhost_url, plan) as lab,
        Callbacks.of(lab.stack) as callbacks,
        _others() as others,
        endpoint_at_work(_hang) as hanging,
    ):
        await _burst(callbacks, others, MEASURED // 4)  # connections, caches
        capacity = await _burst(callbacks, others, MEASURED)
        each = capacity * LOAD / 2
        alone = await _offer(callbacks, others, None, each)
        beside = await _offer(callbacks, others, hanging, each)
        rows = await lab.store.waiting(limit=100_000)
        return Figures(
            breaker=breaker,
            capacity=capacity,
            alone=alone,
            beside=beside,
            parked=sum(row.kind == PARKED for row in rows),
            opened=_has_opened(lab),
        )


@asynccontextmanager
async def _others() -> AsyncIterator[list[Endpoint]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(endpoint_at_work()) for _ in range(OTHERS)]


async def _hang(_: int, __: Received) -> web.Response:
    await asyncio.sleep(4 * TIMEOUT_S)
    return web.Response(status=204)


async def _burst(callbacks: Callbacks, others: Sequence[Endpoint], count: int) -> float:
    """How many callbacks a second there are when there is always another one."""
    targets = itertools.cycle(others)
    works = [callbacks.next(f"{next(targets).url}/") for _ in range(count)]
    before = _received(others)
    await callbacks.publish(*works)
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(120):
        while _received(others) - before < count:  # noqa: ASYNC110 - endpoints are ours
            await asyncio.sleep(TICK_S / 5)
    return count / (asyncio.get_running_loop().time() - began)


async def _offer(
    callbacks: Callbacks,
    others: Sequence[Endpoint],
    hanging: Endpoint | None,
    each_per_s: float,
) -> float:
    """What comes of the others' callbacks, as many being offered to the hanging one."""
    portions = _portions(callbacks, others, hanging, each_per_s)
    clock = asyncio.get_running_loop().time
    before, began = _received(others), clock()
    for number, portion in enumerate(portions):
        await asyncio.sleep(max(0.0, began + number * TICK_S - clock()))
        await callbacks.publish(*portion)
    came, took_s = _received(others) - before, clock() - began
    await asyncio.sleep(2 * TICK_S)
    return came / took_s


def _portions(
    callbacks: Callbacks,
    others: Sequence[Endpoint],
    hanging: Endpoint | None,
    each_per_s: float,
) -> list[list[CallbackWork]]:
    """Made before, as making them takes time too."""
    targets, owed = itertools.cycle(others), 0.0
    portions: list[list[CallbackWork]] = []
    for _ in range(round(OFFERED_S / TICK_S)):
        owed += each_per_s * TICK_S
        portion = []
        while owed >= 1:
            owed -= 1
            portion.append(callbacks.next(f"{next(targets).url}/"))
            if hanging is not None:
                portion.append(callbacks.next(f"{hanging.url}/"))
        portions.append(portion)
    return portions


def _received(endpoints: Sequence[Endpoint]) -> int:
    return sum(len(endpoint.received) for endpoint in endpoints)


def _has_opened(lab: Lab) -> bool:
    return any(event.type == "endpoint.opened" for event in lab.watch.events)


def _tell(broker: Broker, figures: Sequence[Figures]) -> None:
    names = ("breaker", "capacity/s", "alone/s", "beside/s", "share", "parked")
    print(f"\nRabbitMQ {broker.version}; one worker, {LOAD:.0%} of its capacity offered")  # noqa: T201 - a proof tells
    print("  ".join(f"{name:>10}" for name in names))  # noqa: T201 - a proof tells
    for one in figures:
        cells = (
            "on" if one.breaker else "off",
            f"{one.capacity:.0f}",
            f"{one.alone:.1f}",
            f"{one.beside:.1f}",
            f"{one.share:.1%}",
            str(one.parked),
        )
        print("  ".join(f"{cell:>10}" for cell in cells))  # noqa: T201 - a proof tells
    told = {
        "rabbitmq": broker.version,
        **{
            f"share_breaker_{'on' if one.breaker else 'off'}": round(one.share, 3)
            for one in figures
        },
        **{
            f"capacity_breaker_{'on' if one.breaker else 'off'}": round(one.capacity, 1)
            for one in figures
        },
    }
    print(json.dumps(told))  # noqa: T201 - a proof tells
