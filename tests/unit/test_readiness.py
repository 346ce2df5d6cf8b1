"""Readiness: what is away is told by name, and probes cost next to nothing."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from orchestrator.domain.errors import StoreUnavailable
from orchestrator.ports import Store
from orchestrator.readiness import BROKER, Readiness


class Database:
    """Answers, fails or hangs, and counts how often it was asked."""

    def __init__(self) -> None:
        """All is well."""
        self.asked = 0
        self.away = False
        self.answers = asyncio.Event()
        self.answers.set()

    async def ping(self) -> None:
        """Answer as it is told."""
        self.asked += 1
        await self.answers.wait()
        if self.away:
            raise StoreUnavailable("the database is away (secret.example)")


class Bench:
    """A readiness with its parts at hand."""

    def __init__(self, *bearable: str) -> None:
        """All is well."""
        self.database = Database()
        self.connected = True
        self.now_s = 0.0
        self.readiness = Readiness(
            store=cast("Store", self.database),
            connected=lambda: self.connected,
            bearable=bearable,
            timer=lambda: self.now_s,
        )


async def test_a_process_that_has_all_is_ready() -> None:
    """Nothing is said besides."""
    health = await Bench().readiness.health()
    assert (health.status, health.content) == (200, {"ready": True})


async def test_what_is_away_is_listed_by_name() -> None:
    """No address and no text of an error is among it."""
    bench = Bench()
    bench.database.away, bench.connected = True, False
    bench.readiness.told(frozenset({"SealKeyUnknown", "StoreUnavailable"}))
    health = await bench.readiness.health()
    assert health.status == 503
    assert health.content_type == "application/problem+json"
    assert health.content == {
        "title": "Service Unavailable",
        "status": 503,
        "detail": "away: broker, keys, store",
        "ready": False,
        "faults": ["broker", "keys", "store"],
    }


@pytest.mark.parametrize(
    "kind,name",
    [
        ("StoreUnavailable", "store"),
        ("BrokerUnavailable", "broker"),
        ("SealKeyUnknown", "keys"),
        ("NotAdmitted", "backend"),
        ("Unroutable", "Unroutable"),
    ],
)
async def test_what_holds_a_worker_makes_it_unready(kind: str, name: str) -> None:
    """Until it is told that nothing does."""
    bench = Bench()
    bench.readiness.told(frozenset({kind}))
    assert (await bench.readiness.health()).faults == (name,)
    bench.readiness.told(frozenset())
    assert (await bench.readiness.health()).ready


async def test_what_can_be_borne_is_told_all_the_same() -> None:
    """It is ready without the broker, but not without the store as well."""
    bench = Bench(BROKER)
    bench.connected = False
    health = await bench.readiness.health()
    assert (health.status, health.content) == (
        200,
        {"ready": True, "degraded": ["broker"]},
    )

    bench.database.away, bench.now_s = True, 1.0
    assert (await bench.readiness.health()).faults == ("broker", "store")
    assert (await bench.readiness.health()).status == 503


async def test_a_crowd_of_probes_is_one_look_a_second() -> None:
    """What was seen counts for a second."""
    bench = Bench()
    bench.database.answers.clear()
    probes = [asyncio.create_task(bench.readiness.health()) for _ in range(50)]
    await asyncio.sleep(0)
    bench.database.answers.set()
    await asyncio.gather(*probes)
    bench.now_s = 0.9
    await bench.readiness.health()
    assert bench.database.asked == 1

    bench.now_s = 1.0
    await bench.readiness.health()
    assert bench.database.asked == 2


async def test_a_database_that_hangs_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe is answered in time, whatever the database does."""
    monkeypatch.setattr("orchestrator.readiness.LOOK_S", 0.01)
    bench = Bench()
    bench.database.answers.clear()
    async with asyncio.timeout(5):
        assert (await bench.readiness.health()).faults == ("store",)


async def test_it_is_ready_again_when_the_database_answers() -> None:
    """Without a restart, at the next look."""
    bench = Bench()
    bench.database.away = True
    assert not (await bench.readiness.health()).ready
    bench.database.away, bench.now_s = False, 1.0
    assert (await bench.readiness.health()).ready
