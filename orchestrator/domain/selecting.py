"""What an operator asks of failures, by the command line or by HTTP, and what is wrong.

Which failures are meant, and how a plan is to go on: texts and numbers in, values out, or
`FieldInvalid` with the field that is wrong. Nothing of what stands in the place of an id
is repeated, as it may be anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from orchestrator.domain.endpoint import NO_ORIGIN, origin_of
from orchestrator.domain.errors import FieldInvalid
from orchestrator.domain.failing import FailureFilter, FailureGroup, FailureReason
from orchestrator.domain.operating import TOLD_MAX
from orchestrator.domain.replaying import (
    FAILURE_RATIO_MAX,
    PACE,
    PACE_MAX,
    CutOff,
    ReplayKind,
)
from orchestrator.domain.spans import NEEDED, read_time

#: More chains than that are meant by what they have in common.
CHAINS_MAX: Final = 10_000

#: What an operator may write.
NOTE_CHARS_MAX: Final = 500

PACE_MIN: Final = 0.01

#: No chain may be configured to be longer.
STEP_MAX: Final = 1_000

#: The fault is in the selection as a whole.
FILTER: Final = "filter"

_STATUSES: Final = range(100, 600)
_ULID: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which failures are meant, as it was written; what is None does not matter."""

    requestor: str | None = None
    endpoint: str | None = None
    reason: str | None = None
    status: int | None = None
    step: int | None = None
    since: str | None = None
    until: str | None = None
    chains: Sequence[str] | None = None

    def filter(self, requestors: Mapping[str, str], now: datetime) -> FailureFilter:
        """The same for the store.

        Args:
            requestors: the keys of those there are, by their names.
            now: what spans of time are counted from.

        Raises:
            FieldInvalid: naming the field that is wrong, and why.
        """
        since = _time(self.since, now, "filter.since")
        until = _time(self.until, now, "filter.until")
        if since is not None and until is not None and since >= until:
            reason = f"{_at(since)} is not before until, which is {_at(until)}"
            raise FieldInvalid("filter.since", reason)
        return FailureFilter(
            requestor=_requestor(self.requestor, requestors),
            endpoint=endpoint_of(self.endpoint, field="filter.endpoint"),
            reason=_reason(self.reason),
            status=_status(self.status),
            step=_step(self.step),
            since=since,
            until=until,
            chain_ids=_chain_ids(self.chains),
        )


@dataclass(frozen=True, kw_only=True)
class How:
    """How a plan is to go on."""

    pace: float = PACE
    endpoint_pace: float | None = None
    canary: bool = True
    failure_ratio_max: float = FAILURE_RATIO_MAX
    url: str | None = None
    note: str | None = None

    def check(self) -> None:
        """See that it can.

        Raises:
            FieldInvalid: naming the field that is wrong.
        """
        _check_pace(self.pace, "pace")
        _check_pace(self.endpoint_pace, "endpointPace")
        if not 0 <= self.failure_ratio_max <= 1:
            raise FieldInvalid("failureRatioMax", "it needs a share from 0 to 1")
        endpoint_of(self.url, field="url")
        check_note(self.note)


@dataclass(frozen=True, kw_only=True)
class Selected:
    """What is meant, and what there is of it."""

    which: FailureFilter
    cut_off: CutOff
    groups: Sequence[FailureGroup]

    @property
    def open(self) -> int:
        """How many can be replayed."""
        return sum(group.open for group in self.groups)

    @property
    def purged(self) -> int:
        """How many are too old."""
        return sum(group.purged for group in self.groups)

    @property
    def claimed(self) -> int:
        """How many are in another replay."""
        return sum(group.claimed for group in self.groups)

    @property
    def refused(self) -> int:
        """How many could not be replayed when that was tried."""
        return sum(group.refused for group in self.groups)

    @property
    def handled(self) -> int:
        """How many were given up."""
        return sum(group.handled for group in self.groups)

    def some_for(self, kind: ReplayKind) -> int:
        """How many there are for a plan of this kind; also what is too old is given up.

        Raises:
            FieldInvalid: there are none; the reason says why.
        """
        count = self.open
        if kind is ReplayKind.HANDLE:
            count += self.purged + self.refused
        if not count:
            why = "; ".join(self._why_not(kind)) or "no failure is meant by that"
            raise FieldInvalid(FILTER, f"nothing to {kind}: {why}")
        return count

    def _why_not(self, kind: ReplayKind) -> list[str]:
        told = [
            (self.claimed, "are in another replay"),
            (self.handled, "are marked as handled"),
        ]
        if kind is ReplayKind.REPLAY:
            told.insert(0, (self.purged, "are too old: their results were deleted"))
            told.insert(1, (self.refused, "were refused when that was tried"))
        return [f"{count} {what}" for count, what in told if count]


def check_note(note: str | None) -> None:
    """See that a note is one.

    Raises:
        FieldInvalid: it is too long.
    """
    if note is not None and len(note) > NOTE_CHARS_MAX:
        reason = f"at most {NOTE_CHARS_MAX} characters, has {len(note)}"
        raise FieldInvalid("note", reason)
    if note is not None and not _storable(note):
        raise FieldInvalid("note", "it holds what is no text")


def check_all(which: FailureFilter, *, every: bool) -> None:
    """See that everything is meant only by who says so.

    Raises:
        FieldInvalid: nothing was said, or both.
    """
    if which.everything and not every:
        raise FieldInvalid(FILTER, "say which failures are meant, or else all")
    if every and not which.everything:
        raise FieldInvalid("all", "say all, or which failures are meant, not both")


def check_known(unknown: Sequence[str]) -> None:
    """See that every chain that is named has failed once.

    Raises:
        FieldInvalid: these have not.
    """
    if not unknown:
        return
    more = len(unknown) - TOLD_MAX
    named = ", ".join(unknown[:TOLD_MAX]) + (f" and {more} more" if more > 0 else "")
    raise FieldInvalid("filter.chains", f"no failure of these is known: {named}")


def endpoint_of(url: str | None, *, field: str) -> str | None:
    """The origin of a URL.

    Raises:
        FieldInvalid: it has none.
    """
    if url is None:
        return None
    origin = origin_of(url)
    if origin == NO_ORIGIN or not origin.isprintable():
        reason = "it needs http or https and a host, as https://HOST:PORT"
        raise FieldInvalid(field, reason)
    return origin


def is_chain_id(text: str) -> bool:
    """Whether it looks like the id of a chain."""
    return _ULID.fullmatch(text) is not None


def _requestor(named: str | None, requestors: Mapping[str, str]) -> str | None:
    """The key of a requestor, by that or by its name."""
    if named is None or named in requestors.values():
        return named
    if named in requestors:
        return requestors[named]
    there = ", ".join(sorted(requestors.values())) or "none"
    reason = f"{named!a} is not configured; there are: {there}"
    raise FieldInvalid("filter.requestor", reason)


def _reason(named: str | None) -> FailureReason | None:
    try:
        return None if named is None else FailureReason(named)
    except ValueError:
        there = ", ".join(FailureReason)
        reason = f"there is no such class; there are: {there}"
        raise FieldInvalid("filter.reason", reason) from None


def _status(status: int | None) -> int | None:
    if status is not None and status not in _STATUSES:
        raise FieldInvalid("filter.status", "it needs an HTTP status, 100 to 599")
    return status


def _step(step: int | None) -> int | None:
    if step is not None and not 1 <= step <= STEP_MAX:
        raise FieldInvalid("filter.step", f"it needs 1 to {STEP_MAX}")
    return step


def _time(text: str | None, now: datetime, field: str) -> datetime | None:
    if text is None:
        return None
    time = read_time(text, now, past=True)
    if time is None:
        raise FieldInvalid(field, NEEDED)
    return time


def _chain_ids(chains: Sequence[str] | None) -> tuple[str, ...] | None:
    if chains is None:
        return None
    for number, text in enumerate(chains):
        if not is_chain_id(text):
            raise FieldInvalid(f"filter.chains.{number}", "that is no id of a chain")
    ids = tuple(dict.fromkeys(chains))
    if not ids:
        raise FieldInvalid("filter.chains", "there is no chain in it")
    if len(ids) > CHAINS_MAX:
        reason = f"at most {CHAINS_MAX} chains can be named, these are {len(ids)}"
        raise FieldInvalid("filter.chains", reason)
    return ids


def _check_pace(pace: float | None, field: str) -> None:
    if pace is not None and not PACE_MIN <= pace <= PACE_MAX:
        reason = f"it needs {PACE_MIN:g} to {PACE_MAX:g} chains a second"
        raise FieldInvalid(field, reason)


def _storable(text: str) -> bool:
    """Whether a database takes it: no NUL, no half of a character."""
    return "\0" not in text and text.encode(errors="ignore").decode() == text


def _at(time: datetime) -> str:
    return time.isoformat(timespec="seconds")
