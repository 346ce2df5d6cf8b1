"""Pausing: a consumer stops while nothing can be handled, and surely starts again."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.broker.pausing import Pause

HELD = frozenset({"StoreUnavailable"})


class Tap:
    """A consumer that keeps what it was told, and may be cut off from its broker."""

    def __init__(self) -> None:
        """It takes messages."""
        self.told: asyncio.Queue[str] = asyncio.Queue()
        self.cut_off = 0

    async def stop_consuming(self) -> None:
        """Take no more."""
        self._tell("stop")

    async def consume_again(self) -> None:
        """Take them again."""
        self._tell("start")

    def _tell(self, what: str) -> None:
        self.told.put_nowait(what)
        if self.cut_off:
            self.cut_off -= 1
            raise ConnectionError

    async def next(self) -> str:
        """What it is told next."""
        return await asyncio.wait_for(self.told.get(), 5)


class Bench:
    """A pause with its parts at hand."""

    def __init__(self) -> None:
        """All is well."""
        self.tap = Tap()
        self.away = False
        self.looked = asyncio.Event()
        self.pause = Pause("sessions", self.tap, self._look)

    async def _look(self) -> bool:
        self.looked.set()
        return self.away

    async def look(self) -> None:
        """Wait for the next look, and for what follows from it."""
        self.looked.clear()
        await asyncio.wait_for(self.looked.wait(), 5)
        await asyncio.sleep(0)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Looks follow each other at once."""
    monkeypatch.setattr("orchestrator.broker.pausing.LOOK_S", 0.001)
    return Bench()


async def test_no_more_is_taken_until_it_is_back(bench: Bench) -> None:
    """The consumer stops at the first fault and starts when the look is good."""
    bench.away = True
    bench.pause.told(HELD)
    assert await bench.tap.next() == "stop"

    bench.away = False
    assert await bench.tap.next() == "start"
    await bench.pause.close()
    assert bench.tap.told.empty()


async def test_the_trouble_of_one_message_pauses_nothing(bench: Bench) -> None:
    """It is held, but what all need answers: others are taken as before."""
    bench.pause.told(HELD)
    await bench.look()
    await bench.look()
    await bench.pause.close()
    assert bench.tap.told.empty()


async def test_a_pause_outlasts_the_messages_that_were_held(bench: Bench) -> None:
    """A lost connection takes them away; what comes next would only be held as well."""
    bench.away = True
    bench.pause.told(HELD)
    assert await bench.tap.next() == "stop"

    bench.pause.told(frozenset())
    await bench.look()
    assert bench.tap.told.empty()

    bench.away = False
    assert await bench.tap.next() == "start"
    await bench.pause.close()


async def test_a_start_that_fails_is_made_again(bench: Bench) -> None:
    """A worker that never takes messages again would be worse than any fault."""
    bench.away = True
    bench.pause.told(HELD)
    assert await bench.tap.next() == "stop"

    bench.tap.cut_off = 2
    bench.away = False
    assert [await bench.tap.next() for _ in range(3)] == ["start"] * 3
    await bench.pause.close()
    assert bench.tap.told.empty()


async def test_after_a_stop_that_failed_half_way_it_starts_again(bench: Bench) -> None:
    """The consumer may be gone with its connection, and nobody else brings it back."""
    bench.away = True
    bench.tap.cut_off = 1
    bench.pause.told(HELD)
    assert await bench.tap.next() == "stop"

    bench.away = False
    assert await bench.tap.next() == "start"
    await bench.pause.close()


async def test_a_worker_that_stops_takes_nothing_more(bench: Bench) -> None:
    """The end of the fault comes too late to take messages again."""
    bench.away = True
    bench.pause.told(HELD)
    assert await bench.tap.next() == "stop"

    await bench.pause.close()
    bench.away = False
    bench.pause.told(frozenset())
    bench.pause.told(HELD)
    await asyncio.sleep(0.01)
    assert bench.tap.told.empty()
