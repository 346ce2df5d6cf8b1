"""The clock worker as it runs: side by side, through faults, until it is stopped."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from orchestrator.domain.errors import (
    BrokerUnavailable,
    StoreUnavailable,
)
from orchestrator.ports import Waiting
from tests.support.samples import RESULTS_KEPT, disclosure, result_of
from tests.support.workshop import Workshop
from tests.unit.conftest import LoseStore
from tests.unit.workers.due import parked, published, waiting
from workers.clock import IDLE_S, PURGE_IDLE_S, _Pauses


async def test_two_clocks_do_not_publish_the_same(workshop: Workshop) -> None:
    """What one has leased the other leaves alone."""
    await workshop.store.put_waiting(waiting("a"))
    workshop.publisher.slow = asyncio.Event()
    beating = asyncio.create_task(workshop.beat())
    await workshop.publisher.asked.wait()
    assert await workshop.beat() == 0
    workshop.publisher.slow.set()
    assert await beating == 1
    assert published(workshop) == ["a:work"]


async def test_run_beats_until_it_is_stopped(workshop: Workshop) -> None:
    """What becomes due meanwhile goes out; the stop is not waited for."""
    stop = asyncio.Event()
    running = asyncio.create_task(workshop.clock_worker().run(stop))
    await workshop.store.put_waiting(waiting("a"))
    async with asyncio.timeout(5):
        await workshop.publisher.asked.wait()
        stop.set()
        await running
    assert published(workshop) == ["a:work"]
    assert await workshop.waiting() == []


async def test_what_is_left_is_worked_off_beside_the_users_of_now(
    workshop: Workshop,
) -> None:
    """While there is more, the clock rests as long as it has worked."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    asked, slow = workshop.publisher.asked, asyncio.Event()
    workshop.publisher.slow = slow
    await workshop.store.put_waiting(waiting("a"))
    running = asyncio.create_task(workshop.clock_worker().run(stop))
    async with asyncio.timeout(5):
        await asked.wait()
        asked.clear()
        await workshop.store.put_waiting(waiting("b"))
        begun = loop.time()
        await asyncio.wait({running}, timeout=0.1)
        slow.set()
        worked_s, rested = loop.time() - begun, loop.time()
        await asked.wait()
        assert loop.time() - rested >= worked_s
        stop.set()
        await running


@pytest.mark.parametrize(
    "busy, took_s, rest_s",
    [
        (0, 5.0, 0.1),
        (25, 0.01, 0.01),
        (25, 0.025, 0.025),
        (25, 0.1, 0.4),
        (25, 0.5, 3.0),
        (1, 9.0, 3.0),
    ],
)
def test_the_fuller_the_machine_the_longer_the_clock_rests(
    busy: int, took_s: float, rest_s: float
) -> None:
    """As often as long as it took longer than is brisk, up to a limit."""
    pauses = _Pauses(idle_s=0.1, brisk_s=0.025, rest_max_s=3.0)
    assert pauses.after(busy, took_s) == pytest.approx(rest_s)


async def test_what_is_parked_is_released_without_a_rest(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each endpoint's portion is its throttle; a rest would only make it smaller."""
    pauses: list[float] = []
    stop = asyncio.Event()

    async def note(_: asyncio.Event, pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) == 4:  # each beat has beaten
            stop.set()
        await stop.wait()

    monkeypatch.setattr("workers.clock._stopped", note)
    await workshop.store.park([parked("a")], busy_until={})
    async with asyncio.timeout(5):
        await workshop.clock_worker().run(stop)
    assert published(workshop) == ["a:work"]
    assert sorted(pauses) == [0.0, IDLE_S, IDLE_S, PURGE_IDLE_S]


async def test_run_waits_out_faults(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, lose_store: LoseStore
) -> None:
    """Broker or store come back, and the clock goes on (DESIGN §3)."""
    monkeypatch.setattr("workers.clock.FAULT_PAUSE_S", 0.0)
    stop, faults = asyncio.Event(), 0

    async def away(*_: object, **__: object) -> list[Waiting]:
        nonlocal faults
        faults += 1
        if faults == 3:
            stop.set()
            return []
        kind = (StoreUnavailable, BrokerUnavailable)[faults - 1]
        raise kind("away")

    lose_store("take_due_steps")
    monkeypatch.setattr(workshop.store, "take_due_waiting", away)
    async with asyncio.timeout(5):
        await workshop.clock_worker().run(stop)
    assert faults == 3


async def test_what_is_due_does_not_wait_for_a_backend_that_hangs(
    workshop: Workshop,
) -> None:
    """A frozen IRMA server is no reason to keep retries and outbox back."""
    await workshop.begin()
    workshop.clock.advance(20)
    looking, answer, stop = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        looking.set()
        await answer.wait()

    workshop.backend.looking = hang
    running = asyncio.create_task(workshop.clock_worker().run(stop))
    async with asyncio.timeout(5):
        await looking.wait()
        await workshop.store.put_waiting(waiting("a"))
        await workshop.publisher.asked.wait()
        stop.set()
        answer.set()
        await running
    assert published(workshop)[0] == "a:work"


async def test_rows_are_looked_at_side_by_side(workshop: Workshop) -> None:
    """One session whose look-up takes its time does not keep the others waiting."""
    for _ in range(3):
        await workshop.begin()
    workshop.clock.advance(20)
    workshop.backend.looking = asyncio.Barrier(3).wait
    async with asyncio.timeout(5):
        assert await workshop.beat() == 3


async def test_a_fault_is_not_waited_out_when_it_is_to_stop(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause after a fault ends with the process."""
    monkeypatch.setattr("workers.clock.FAULT_PAUSE_S", 600.0)
    await workshop.store.put_waiting(waiting("a"))
    workshop.publisher.down = True
    stop, failed = asyncio.Event(), asyncio.Event()
    worker = replace(workshop.clock_worker(), told=lambda _: failed.set())
    running = asyncio.create_task(worker.run(stop))
    await failed.wait()
    stop.set()
    async with asyncio.timeout(60):
        await running


async def test_what_is_over_for_long_enough_loses_its_secrets(workshop: Workshop) -> None:
    """The row stays, for whoever asks what happened; a running chain is left alone."""
    ended, running = await workshop.begin(disclosure()), await workshop.begin()
    await workshop.report(ended.slot, result_of(ended.token, "DONE"))
    workshop.clock.advance(RESULTS_KEPT.total_seconds())
    assert await workshop.clock_worker().purge_due() == 0

    workshop.clock.advance(1)
    assert await workshop.clock_worker().purge_due() == 1

    row = await workshop.row(ended.slot)
    assert workshop.rows.result(row) is None
    assert workshop.rows.token(row) is None
    assert row.final_status == "DONE"
    assert workshop.rows.token(await workshop.row(running.slot)) == running.token


async def test_the_clock_tells_what_its_beats_fail_with(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for each change, until every beat succeeds."""
    monkeypatch.setattr("workers.clock.FAULT_PAUSE_S", 0.0)
    told: list[frozenset[str]] = []
    stop = asyncio.Event()
    publish_due = workshop.store.take_due_waiting
    failures = 3

    async def away(
        now: datetime, *, owner: str, lease: timedelta, limit: int
    ) -> list[Waiting]:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise StoreUnavailable("the database is away")
        return await publish_due(now, owner=owner, lease=lease, limit=limit)

    def hear(now: frozenset[str]) -> None:
        told.append(now)
        if not now:
            stop.set()

    monkeypatch.setattr(workshop.store, "take_due_waiting", away)
    async with asyncio.timeout(5):
        await replace(workshop.clock_worker(), told=hear).run(stop)
    assert told == [frozenset({"StoreUnavailable"}), frozenset()]
