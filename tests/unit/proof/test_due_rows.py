"""What is made of the arrivals of rows whose time has come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.proof.due_rows import lateness, planned, report

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def test_rows_come_due_at_an_even_pace() -> None:
    """Two hundred a second, none at the same time."""
    due = list(planned(NOW, 401).values())
    assert (due[0], due[-1]) == (NOW, NOW + timedelta(seconds=2))
    assert len(set(due)) == 401


def test_lateness_is_what_lies_between_plan_and_arrival() -> None:
    """The least late one comes first."""
    due = {"a": NOW, "b": NOW + timedelta(seconds=1)}
    arrived = {name: NOW + timedelta(seconds=1.25) for name in due}
    assert lateness(due, arrived) == [0.25, 1.25]


@pytest.mark.parametrize(
    "late_s,held",
    [
        ([0.1] * 99 + [9.0], True),
        ([0.1] * 98 + [0.6, 0.6], False),
        ([-0.001] + [0.1] * 99, False),
    ],
    ids=["one of a hundred late", "two late", "one early"],
)
def test_what_is_promised(late_s: list[float], held: bool) -> None:  # noqa: FBT001 - pytest's
    """The 99th percentile is at most half a second, and nothing comes too early."""
    assert report(late_s, 1_000).held is held
