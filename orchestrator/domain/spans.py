"""Times as people write them: a span from now, or a time with its zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

#: What is said of a text that is neither.
NEEDED: Final = (
    "it needs a span as 30s, 10m, 2h, 1d, or a time with its zone as 2026-05-01T12:00:00Z"
)

_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_SPAN: Final = re.compile(r"(?P<count>[0-9]{1,9})(?P<unit>[smhd])")


def read_time(text: str, now: datetime, *, past: bool = False) -> datetime | None:
    """The time that is meant; None if the text is neither a span nor a time.

    Args:
        text: `10m`, or a time written out with its zone.
        now: what spans are counted from.
        past: whether a span leads back.
    """
    try:
        return _read(text, now, past=past)
    except (ValueError, OverflowError):  # also what is beyond the calendar's ends
        return None


def _read(text: str, now: datetime, *, past: bool) -> datetime | None:
    if found := _SPAN.fullmatch(text):
        away = timedelta(seconds=int(found["count"]) * _UNITS[found["unit"]])
        return now - away if past else now + away
    time = datetime.fromisoformat(text)
    return None if time.tzinfo is None else time.astimezone(UTC)
