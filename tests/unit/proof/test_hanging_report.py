"""What is made of pairs of figures: alone, and beside an endpoint that hangs."""

from __future__ import annotations

import pytest

from orchestrator.proof.hanging import portions_of
from orchestrator.proof.hanging_report import Found, Pair, report


def pair(beside: float, *, parked: int = 100, opened: bool = False) -> Pair:
    """Of 100 alone."""
    return Pair(
        capacity=300.0,
        alone=100.0,
        beside=beside,
        attempts=32,
        parked=parked,
        opened=opened,
    )


def test_the_median_of_the_pairs_counts() -> None:
    """One window in which the machine was busy elsewhere decides nothing."""
    found = Found(breaker=False, pairs=[pair(95), pair(20), pair(97)])
    told = report([found])
    assert told.held
    assert told.figures == {
        "breaker_off": {"capacity_per_s": 300.0, "share_of_others": 0.95}
    }
    assert [row[4] for row in told.sheets[0].rows] == ["95.0%", "20.0%", "97.0%"]


@pytest.mark.parametrize(
    "broken",
    [
        Found(breaker=False, pairs=[pair(89)]),
        Found(breaker=False, pairs=[pair(99, parked=0)]),
        Found(breaker=False, pairs=[pair(99, opened=True)]),
        Found(breaker=True, pairs=[pair(99)]),
    ],
    ids=["slow", "nothing parked", "opened all the same", "not opened"],
)
def test_what_breaks_the_promise(broken: Found) -> None:
    """Less than nine tenths, nothing parked, or a breaker that does as it should not."""
    assert not report([broken]).held


@pytest.mark.parametrize("each_per_s", [1.0, 7.3, 160.0, 999.9])
def test_portions_lose_no_fraction(each_per_s: float) -> None:
    """Together they are the whole load, evenly spread."""
    portions = portions_of(each_per_s, 10.0)
    assert len(portions) == 200
    assert abs(sum(portions) - 10 * each_per_s) < 1
    assert max(portions) - min(portions) <= 1
