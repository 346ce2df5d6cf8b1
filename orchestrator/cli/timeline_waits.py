"""How long a chain waited and for what, as its events tell."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Final

from schemas.events import (
    CallbackAnswered,
    CallbackFailed,
    CallbackParked,
    CallbackRetrying,
    ChainEnded,
    ChainReplayed,
    Event,
    Purpose,
    SessionCompleted,
    SessionEnded,
    SessionStarted,
)

USER: Final = "for the user"
ATTEMPT: Final = "for the next attempt"
ANSWER: Final = "for the later answer"
REPLAY: Final = "for the replay"
PARKED: Final = {
    "limit": "parked, while its endpoint was busy",
    "open": "parked, while its endpoint failed",
    "paused": "parked, while its endpoint was paused",
}

#: Whatever is waited for has a name of such parts.
_What = tuple[str | int | None, ...]

#: A chain that has ended waits for a replay, if for anything.
_ENDED: Final[_What] = ("ended",)

_Callback = CallbackRetrying | CallbackParked | CallbackAnswered | CallbackFailed


class Waits:
    """Goes through a chain's events in their order.

    Attributes:
        totals: how long it waited in all, by what for.
    """

    def __init__(self) -> None:
        """Nothing is waited for."""
        self.totals: dict[str, timedelta] = defaultdict(timedelta)
        self._open: dict[_What, tuple[str, datetime]] = {}

    def ended_by(self, event: Event) -> str:
        """What this event has put an end to, and how long that took; often nothing."""
        match event:
            case SessionStarted():
                self._begin((event.generation, event.step), USER, event.time)
            case SessionCompleted() | SessionEnded():
                return self._end((event.generation, event.step), event.time)
            case ChainEnded():
                return self._end_all(event.time)
            case ChainReplayed():
                return self._end(_ENDED, event.time)
            case (
                CallbackRetrying()
                | CallbackParked()
                | CallbackAnswered()
                | CallbackFailed()
            ):
                return self._of_callback(event)
            case _:
                pass
        return ""

    def _end_all(self, at: datetime) -> str:
        """A chain's end ends all but what its requestor has to be told of it."""
        ended = [what for what in self._open if Purpose.NOTIFY not in what]
        waited = ", ".join(self._end(what, at) for what in ended)
        self._begin(_ENDED, REPLAY, at)
        return waited

    def _of_callback(self, event: _Callback) -> str:
        what = (event.generation, event.step, event.data.purpose, event.causationid)
        waited = self._end(what, _asked_at(event))
        match event:
            case CallbackRetrying():
                self._begin(what, ATTEMPT, event.time)
            case CallbackParked(data=data):
                self._begin(what, PARKED[data.kept], event.time)
            case CallbackAnswered(data=data) if data.answer == "later":
                self._begin(what, ANSWER, event.time)
            case _:
                pass
        return waited

    def _begin(self, what: _What, why: str, at: datetime) -> None:
        self._open[what] = (why, at)

    def _end(self, what: _What, at: datetime) -> str:
        if what not in self._open:
            return ""
        why, since = self._open.pop(what)
        waited = max(at - since, timedelta())  # two processes may have two clocks
        self.totals[why] += waited
        return f"waited {span(waited)} {why}"


def span(time: timedelta) -> str:
    """A length of time as exactly as it is of use."""
    seconds = time.total_seconds()
    if abs(seconds) < 10:  # noqa: PLR2004 - a step of the scale, as those below
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:  # noqa: PLR2004
        return f"{minutes} min {rest_s:02} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:  # noqa: PLR2004
        return f"{hours} h {minutes:02} min"
    return f"{hours // 24} d {hours % 24:02} h"


def _asked_at(event: _Callback) -> datetime:
    """When its attempt began, where that is told; else when it was over."""
    took_ms = event.data.duration_ms if isinstance(event, CallbackAnswered) else None
    return event.time - timedelta(milliseconds=took_ms or 0)
