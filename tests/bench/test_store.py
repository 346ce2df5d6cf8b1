"""What the store can do while 100,000 rows wait, on both databases, durable ones.

Run by `pytest -m bench tests/bench/test_store.py -s`; it prints its figures.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from statistics import quantiles
from typing import Final

import pytest

from orchestrator.domain.chain import Slot, StepState, View
from orchestrator.local.postgresql import private_postgresql
from orchestrator.ports import Changes, Message, Store, Waiting
from orchestrator.store import open_store
from orchestrator.store.schema import migrate
from tests.contract.store.samples import a_chain, a_step

#: Rows of 100,000 take their time to be written.
pytestmark = [pytest.mark.bench, pytest.mark.timeout(300)]

WAITING: Final = 100_000
#: A sealed callback with a small result.
BODY: Final = random.Random(1).randbytes(2_000)
LEASE: Final = timedelta(seconds=10)
BATCH: Final = 100
CLOCKS: Final = 3


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
async def url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    """A database that waits for the disk, with 100,000 waiting rows."""
    folder = tmp_path_factory.mktemp("bench")
    if request.param == "sqlite":
        url = f"sqlite:///{folder / 'chains.db'}"
        await _fill(url)
        yield url
        return
    async with private_postgresql(folder) as server, server.database("bench") as url:
        await _fill(url)
        yield url


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """The store of one process on it."""
    async with open_store(url, patience_s=30) as opened:
        yield opened


@pytest.mark.parametrize("at_once", [1, 8])
async def test_decisions(store: Store, url: str, at_once: int) -> None:
    """How many steps one process decides in a second, each with two messages."""
    names = [f"{at_once}-{n}" for n in range(at_once)]
    for name in names:
        await store.begin_chain(a_chain(name), a_step(name), [])
    until = time.monotonic() + 3
    taken_s = await asyncio.gather(*(_decide(store, name, until) for name in names))
    each = [one for some in taken_s for one in some]
    _print(url, f"decide, {at_once} at once", each, f"{len(each) / 3:.0f}/s")
    assert each


async def test_a_beat_in_which_nothing_is_due(store: Store, url: str) -> None:
    """What each clock asks ten times a second."""
    each = [await _beat(store, _now(), "idle") for _ in range(100)]
    _print(url, "nothing due", [taken_s for taken_s, _ in each])
    assert not any(rows for _, rows in each)


async def test_a_backlog(url: str) -> None:
    """How soon three clocks take 100,000 rows that are all due; this uses them up."""
    late = _now() + timedelta(days=40)
    begun = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for n in range(CLOCKS):
            tasks.create_task(_drain(url, f"clock-{n}", late))
    taken_s = time.monotonic() - begun
    _print(url, "backlog", [taken_s, taken_s], f"{WAITING / taken_s:.0f} rows/s")


async def _fill(url: str) -> None:
    await migrate(url)
    chance = random.Random(2)
    async with open_store(url, patience_s=60) as store:
        for n in range(0, WAITING, 2_000):
            await store.put_waiting(
                *(
                    _row(f"w{m}", _now() + timedelta(days=1 + 30 * chance.random()))
                    for m in range(n, n + 2_000)
                )
            )


def _row(name: str, due_at: datetime) -> Waiting:
    return Waiting(
        id=name,
        kind="retry",
        due_at=due_at,
        created_at=_now(),
        chain_id=name,
        endpoint="https://example.org",
        message=Message(id=f"{name}:work", routing_key="callbacks", body=BODY),
    )


async def _decide(store: Store, name: str, until: float) -> list[float]:
    """Goes along one chain, a step a decision; how long each took."""
    taken_s: list[float] = []
    while time.monotonic() < until:
        number = len(taken_s) + 1

        def rule(view: View, number: int = number) -> tuple[None, Changes]:
            assert view.step is not None
            done = replace(view.step, state=StepState.FINISHED)
            live = a_step(name, number + 1)
            sent = [f"{name}-{number}-{kind}" for kind in ("event", "work")]
            outbox = tuple(Message(id=i, routing_key="x", body=BODY) for i in sent)
            return None, Changes(steps=(done, live), outbox=outbox)

        begun = time.perf_counter()
        await store.decide(Slot(chain_id=name, step=number), rule)
        taken_s.append(time.perf_counter() - begun)
        await store.drop_waiting([f"{name}-{number}-{k}" for k in ("event", "work")])
    return taken_s


async def _beat(
    store: Store, now: datetime, owner: str
) -> tuple[float, Sequence[Waiting]]:
    begun = time.perf_counter()
    rows = await store.take_due_waiting(now, owner=owner, lease=LEASE, limit=BATCH)
    return time.perf_counter() - begun, rows


async def _drain(url: str, owner: str, now: datetime) -> None:
    async with open_store(url, patience_s=30) as store:
        while rows := (await _beat(store, now, owner))[1]:
            await store.drop_waiting([row.id for row in rows])


def _now() -> datetime:
    return datetime.now(UTC)


def _percentile(values: list[float], percent: int) -> float:
    return quantiles(values, n=100)[percent - 1]


def _print(url: str, what: str, taken_s: list[float], note: str = "") -> None:
    """One line of the table."""
    name = url.partition(":")[0]
    middle, late = _percentile(taken_s, 50) * 1000, _percentile(taken_s, 99) * 1000
    print(  # noqa: T201 - a bench prints
        f"\n{name:<10} {what:<20} p50 {middle:8.1f} ms  p99 {late:8.1f} ms  {note}"
    )
