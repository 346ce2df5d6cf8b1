"""For how long results are kept, by requestor."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from orchestrator.domain.retention import Retention

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
KEPT = Retention(common=timedelta(days=7), own={"acme": timedelta(hours=1)})


def test_a_requestors_own_time_goes_before_the_common_one() -> None:
    """Also where the requestor is not configured any more, the common one holds."""
    assert KEPT.of("acme") == timedelta(hours=1)
    assert KEPT.of("gone") == timedelta(days=7)
    assert KEPT.ended_before("acme", NOW) == NOW - timedelta(hours=1)
    assert KEPT.ended_before("gone", NOW) == NOW - timedelta(days=7)
