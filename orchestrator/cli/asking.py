"""What operators' commands share: spans of time in words, and asking before acting."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Final

import typer

from orchestrator.domain.errors import NotConfigured

_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_SPAN: Final = re.compile(r"(?P<count>[0-9]{1,9})(?P<unit>[smhd])")

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def span(length: timedelta) -> str:
    """A length of time as people say it, to two units."""
    seconds = abs(length.total_seconds())
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} m {seconds % _MINUTE:.0f} s"
    if seconds < _DAY:
        return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:.0f} m"
    return f"{seconds // _DAY:.0f} d {seconds % _DAY // _HOUR:.0f} h"


def from_now(time: datetime, now: datetime) -> str:
    """How far a time is away, in which direction."""
    away = span(time - now)
    return f"in {away}" if time > now else f"{away} ago"


def time_of(text: str, now: datetime, *, option: str, past: bool = False) -> datetime:
    """A time as an option gives it: `10m` from now or ago, or written out with its zone.

    Raises:
        NotConfigured: it is neither.
    """
    try:
        time = _read_time(text, now, past=past)
    except (ValueError, OverflowError):  # also what is beyond the calendar's ends
        time = None
    if time is None:
        raise NotConfigured(
            f"{option}: it needs a span as 30s, 10m, 2h, 1d, or a time with its zone as"
            " 2026-05-01T12:00:00Z"
        )
    return time


def _read_time(text: str, now: datetime, *, past: bool) -> datetime | None:
    if found := _SPAN.fullmatch(text):
        away = timedelta(seconds=int(found["count"]) * _UNITS[found["unit"]])
        return now - away if past else now + away
    time = datetime.fromisoformat(text)
    return None if time.tzinfo is None else time.astimezone(UTC)


def agreed(question: str, *, yes: bool) -> bool:
    """Whether to go on: said beforehand, or asked where somebody can answer.

    Raises:
        NotConfigured: nobody is there to be asked.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise NotConfigured(
            "--yes: needed where nobody can be asked; nothing was changed"
        )
    return typer.confirm(question, err=True)
