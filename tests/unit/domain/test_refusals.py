"""When a requestor's own URL has failed too many events for good."""

from __future__ import annotations

from datetime import timedelta

from orchestrator.domain.refusals import DAY, IN_A_ROW_MAX, OF_DAY_MAX, Refusals
from tests.support.samples import NOW


def test_so_many_in_a_row_are_too_many() -> None:
    """One that is taken in between shows that the URL works."""
    refusals = Refusals(since=NOW)
    for _ in range(IN_A_ROW_MAX - 1):
        refusals = refusals.counting(NOW)
    assert refusals.too_many is None
    assert refusals.well().counting(NOW).too_many is None
    assert refusals.counting(NOW).too_many == "10 events in a row failed for good"


def test_so_many_of_a_day_are_too_many() -> None:
    """However many were taken; with another day it begins anew."""
    refusals = Refusals(since=NOW)
    for _ in range(OF_DAY_MAX - 1):
        refusals = refusals.counting(NOW).well()
    assert refusals.too_many is None
    today = NOW + DAY - timedelta(seconds=1)
    assert refusals.counting(today).too_many == "100 events of one day failed for good"
    assert refusals.counting(NOW + DAY).too_many is None
    assert refusals.counting(NOW + DAY).of_day == 1
