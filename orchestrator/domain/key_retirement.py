"""When a sealing key may be taken out of the configuration (DESIGN §5).

Only when no row names it, and when whatever it has sealed outside of the database has
expired: capability URLs, and messages that were in the broker when it was used last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

#: Processes note that they use a key every now and then: one that was killed may have
#: used it for as long after it has noted it last.
UNNOTED: Final = timedelta(hours=1)


class KeyRole(StrEnum):
    """What the configuration makes of a key."""

    SEALS = "seals"
    OPENS = "opens only"
    MISSING = "not here"


@dataclass(frozen=True, kw_only=True)
class KeyUse:
    """What is noted of a key.

    Attributes:
        key_id: its id.
        first_seen_at: when a process was first started with it.
        last_used_at: when it is last known to have sealed, or when a row that it had
            sealed last went into the broker; None: never.
    """

    key_id: str
    first_seen_at: datetime
    last_used_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class KeyState:
    """A key as it stands: its role, the rows that name it by table, its use."""

    key_id: str
    role: KeyRole
    rows: Mapping[str, int]
    use: KeyUse | None


@dataclass(frozen=True, kw_only=True)
class Retirement:
    """Whether a key may be taken out; if not, why, and from when on if that is known."""

    allowed: bool
    not_before: datetime | None = None
    reason: str | None = None


def key_states(
    current: str,
    older: frozenset[str],
    rows: Mapping[str, Mapping[str, int]],
    uses: Mapping[str, KeyUse],
) -> list[KeyState]:
    """Every key that is configured, noted or named by a row; that which seals is first.

    Args:
        current: the key that seals.
        older: those that only open.
        rows: how many rows name a key, by key and table.
        uses: what is noted, by key.
    """
    named = {current, *older, *rows, *uses}
    return [
        KeyState(
            key_id=key_id,
            role=_role(key_id, current, older),
            rows=rows.get(key_id, {}),
            use=uses.get(key_id),
        )
        for key_id in sorted(named, key=lambda key_id: (key_id != current, key_id))
    ]


def _role(key_id: str, current: str, older: frozenset[str]) -> KeyRole:
    if key_id == current:
        return KeyRole.SEALS
    return KeyRole.OPENS if key_id in older else KeyRole.MISSING


def retirement(key: KeyState, *, now: datetime, longest: timedelta) -> Retirement:
    """Whether a key may be taken out of the configuration now.

    Args:
        key: how it stands.
        now: what the time is.
        longest: the longest life of a capability URL or a queued message.
    """
    if key.role is KeyRole.SEALS:
        return Retirement(allowed=False, reason="it seals: make another one the key")
    count = sum(key.rows.values())
    if count:
        rows = "row names" if count == 1 else "rows name"
        return Retirement(allowed=False, reason=f"{count} {rows} it")
    if key.use is None:
        reason = "no process has been started with it yet, so nothing is known of its use"
        return Retirement(allowed=False, reason=reason)
    since = key.use.last_used_at or key.use.first_seen_at
    not_before = since + longest + UNNOTED
    if now < not_before:
        reason = "URLs and messages that it has sealed may still be about"
        return Retirement(allowed=False, not_before=not_before, reason=reason)
    return Retirement(allowed=True)
