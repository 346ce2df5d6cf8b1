"""How late a process says that it is."""

import asyncio
import time

import pytest

from orchestrator.gateway.lateness import BEATS, Lateness, looking


def test_a_process_that_nobody_looked_at_is_not_late() -> None:
    """Nor is one whose clock went back."""
    lateness = Lateness()
    assert lateness.longest_s == 0.0
    lateness.note(-1.0)
    assert lateness.longest_s == 0.0


def test_the_longest_of_the_last_beats_counts() -> None:
    """And no longer than that."""
    lateness = Lateness()
    lateness.note(0.3)
    for _ in range(BEATS - 1):
        lateness.note(0.1)
    assert lateness.longest_s == 0.3
    lateness.note(0.1)
    assert lateness.longest_s == 0.1


async def test_who_holds_the_event_loop_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was due meanwhile ran so much later."""
    lateness, seen, hold_s = Lateness(), asyncio.Event(), 0.3

    def noted(late_s: float) -> None:
        if late_s >= hold_s / 2:
            seen.set()

    monkeypatch.setattr(Lateness, "note", lambda _, late_s: noted(late_s))
    async with looking(lateness):
        await asyncio.sleep(0)  # it has begun to look
        until = time.monotonic() + hold_s
        while time.monotonic() < until:
            pass
        async with asyncio.timeout(10):
            await seen.wait()
