"""What operators' commands share: spans of time in words, and asking before acting."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta

import typer

from orchestrator.domain.errors import NotConfigured
from orchestrator.domain.spans import NEEDED, read_time

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
    time = read_time(text, now, past=past)
    if time is None:
        raise NotConfigured(f"{option}: {NEEDED}")
    return time


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
