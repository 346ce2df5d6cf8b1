"""When a sealing key may be taken out of the configuration."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.domain.key_retirement import (
    UNNOTED,
    KeyRole,
    KeyState,
    KeyUse,
    Retirement,
    key_states,
    retirement,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LONGEST = timedelta(days=7)
SECOND = timedelta(seconds=1)


def use(seen: timedelta, used: timedelta | None = None, key_id: str = "k1") -> KeyUse:
    """A key that was first seen and last used so long ago."""
    return KeyUse(
        key_id=key_id,
        first_seen_at=NOW - seen,
        last_used_at=None if used is None else NOW - used,
    )


def judged(
    noted: KeyUse | None,
    role: KeyRole = KeyRole.OPENS,
    rows: dict[str, int] | None = None,
) -> Retirement:
    """What is said of a key."""
    key = KeyState(key_id="k1", role=role, rows=rows or {}, use=noted)
    return retirement(key, now=NOW, longest=LONGEST)


LONG_AGO = LONGEST + UNNOTED


@pytest.mark.parametrize("role", [KeyRole.OPENS, KeyRole.MISSING])
def test_a_key_is_retired_a_lifetime_after_its_last_use(role: KeyRole) -> None:
    """And the time that a process may have used it without a note; not a second less."""
    assert judged(use(2 * LONG_AGO, LONG_AGO), role) == Retirement(allowed=True)
    early = judged(use(2 * LONG_AGO, LONG_AGO - SECOND), role)
    assert (early.allowed, early.not_before) == (False, NOW + SECOND)
    assert early.reason is not None


def test_a_key_that_never_sealed_counts_from_when_it_was_seen() -> None:
    """It may have been in use before anything was noted."""
    assert judged(use(LONG_AGO)).allowed
    assert judged(use(LONG_AGO - SECOND)).not_before == NOW + SECOND


@pytest.mark.parametrize(
    "rows,said", [({"steps": 1}, "1 row names"), ({"steps": 2, "x": 3}, "5 rows name")]
)
def test_a_key_that_rows_name_stays(rows: dict[str, int], said: str) -> None:
    """However long ago it was used; nobody knows for how long they will."""
    verdict = judged(use(2 * LONG_AGO, LONG_AGO), rows=rows)
    assert verdict == Retirement(allowed=False, reason=f"{said} it")


def test_the_key_that_seals_stays() -> None:
    """Though no row names it and its last note is old."""
    verdict = judged(use(2 * LONG_AGO, LONG_AGO), KeyRole.SEALS)
    assert verdict == Retirement(
        allowed=False, reason="it seals: make another one the key"
    )


def test_a_key_of_which_nothing_is_known_stays() -> None:
    """Until processes have been started with it."""
    verdict = judged(None)
    assert (verdict.allowed, verdict.not_before) == (False, None)
    assert "no process" in str(verdict.reason)


def test_every_key_that_anybody_names_is_listed() -> None:
    """That which seals first; by rows and notes those too that are not here."""
    states = key_states(
        "k2",
        frozenset({"k1", "k3"}),
        {"k1": {"steps": 2}, "k9": {"waiting": 1}},
        {"k2": use(SECOND, SECOND, "k2"), "k0": use(SECOND, key_id="k0")},
    )
    assert [(key.key_id, key.role) for key in states] == [
        ("k2", KeyRole.SEALS),
        ("k0", KeyRole.MISSING),
        ("k1", KeyRole.OPENS),
        ("k3", KeyRole.OPENS),
        ("k9", KeyRole.MISSING),
    ]
    by_id = {key.key_id: key for key in states}
    assert by_id["k1"].rows == {"steps": 2}
    assert by_id["k0"].use == use(SECOND, key_id="k0")
    assert by_id["k3"] == KeyState(key_id="k3", role=KeyRole.OPENS, rows={}, use=None)
