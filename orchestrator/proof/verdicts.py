"""Whether a case came to what it should have come to, and if not, what is wrong.

Pure: a case that went wrong is reported as wrong, whatever it was that went wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from orchestrator.domain.delivery import RetryPolicy
from orchestrator.proof.lateness import ROUNDED_S, end_late_s, retries_of
from orchestrator.proof.sightings import Expected, Seen

#: The latest that a try may follow upon its planned time, on a machine that is busy with
#: the whole installation and all endpoints.
LATE_MAX_S: Final = 2.0

#: An attempt begins with its signature; the endpoint sees it by the connection.
BEGUN_S: Final = 0.5


class Aspect(StrEnum):
    """What of a case can be wrong."""

    DECIDED = "decided"
    ATTEMPTS = "attempts"
    SAME = "id and result"
    TIME = "time"
    END = "end"


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """Something that is not as expected."""

    aspect: Aspect
    text: str


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A case with its verdict."""

    case: str
    expected: Expected
    seen: Seen
    deviations: tuple[Deviation, ...] = ()

    @property
    def right(self) -> bool:
        """Whether all was as expected."""
        return not self.deviations


def judge(case: str, expected: Expected, seen: Seen, policy: RetryPolicy) -> Finding:
    """Compare what was seen with what should have been."""
    found = (
        *_decided(expected, seen, policy),
        *_attempts(expected, seen),
        *_same(seen),
        *_in_time(expected, seen),
        *_ended(expected, seen),
    )
    return Finding(case=case, expected=expected, seen=seen, deviations=found)


def _decided(expected: Expected, seen: Seen, policy: RetryPolicy) -> Iterator[Deviation]:
    told = tuple(one.text for one in seen.decided)
    if told != expected.decided:
        yield _differs(Aspect.DECIDED, expected.decided, told)
    used = {"live": 0, "background": 0}
    for one in seen.decided:
        if one.retry is None:
            continue
        clock, delay_s = one.retry.clock, one.retry.delay_s
        bounds = _bounds(clock, used[clock], expected.asked_s, policy)
        used[clock] += 1
        if bounds is None or not _within(delay_s, bounds):
            where = f"{clock} delay {used[clock]}"
            yield _differs(Aspect.DECIDED, f"{where} in {bounds}", f"{delay_s:g}")


def _bounds(
    clock: Literal["live", "background"], n: int, asked_s: float, policy: RetryPolicy
) -> tuple[float, float] | None:
    """Between what the delay of the n-th retry lies; None: there is no such retry."""
    delays = policy.live_delays_s
    spread = 0.0
    if clock == "background":
        delays, spread = policy.background_delays_s, policy.jitter
    if n >= len(delays):
        return None
    least, most = delays[n] * (1 - spread), delays[n] * (1 + spread)
    return (least, most) if clock == "live" else (max(least, asked_s), max(most, asked_s))


def _within(delay_s: float, bounds: tuple[float, float]) -> bool:
    least, most = bounds
    return least - ROUNDED_S <= delay_s <= most + ROUNDED_S


def _attempts(expected: Expected, seen: Seen) -> Iterator[Deviation]:
    count = len(seen.attempts)
    if count != expected.attempts:
        yield _differs(Aspect.ATTEMPTS, expected.attempts, count)
    made = sum(not one.replied for one in seen.decided)
    wanted = expected.attempts + expected.unseen
    if made != wanted:
        yield _differs(Aspect.ATTEMPTS, f"{wanted} decided upon", made)


def _same(seen: Seen) -> Iterator[Deviation]:
    """One id and one result, and whatever says when is of this attempt (G3)."""
    whole = [(one.at, one.content) for one in seen.attempts if one.content is not None]
    contents = [content for _, content in whole]
    for what, values in (
        ("webhook-id", {content.webhook_id for content in contents}),
        ("result", {content.result for content in contents}),
    ):
        if len(values) > 1:
            yield _differs(Aspect.SAME, f"one {what}", f"{len(values)}")
    if not all(content.genuine for content in contents):
        yield _differs(Aspect.SAME, "true signatures of the session's result", "others")
    if len({content.trace for content in contents}) < len(contents):
        yield _differs(Aspect.SAME, "a span of its own for each attempt", "repeated ones")
    since = 0
    for at, content in whole:
        until = int(at.timestamp())
        if not all(since <= stamp <= until for stamp in content.stamps):
            yield _differs(
                Aspect.SAME, f"signed in {since}..{until}", list(content.stamps)
            )
        since = until


def _in_time(expected: Expected, seen: Seen) -> Iterator[Deviation]:
    for retried in retries_of(seen):
        planned = f"{retried.planned.clock} retry after {retried.planned.delay_s:g} s"
        if retried.early:
            yield _differs(Aspect.TIME, planned, "an earlier one")
        if retried.late_s > LATE_MAX_S:
            yield _differs(Aspect.TIME, planned, f"{retried.late_s:.3f} s later")
    late_s = end_late_s(expected, seen)
    if late_s is not None and not -BEGUN_S <= late_s <= LATE_MAX_S:
        after = f"the end after {expected.ends_after_s:g} s"
        yield _differs(Aspect.TIME, after, f"{late_s:+.3f} s")


def _ended(expected: Expected, seen: Seen) -> Iterator[Deviation]:
    if seen.trouble is not None:
        yield _differs(Aspect.END, "no trouble", seen.trouble)
    if seen.state is not expected.state:
        yield _differs(Aspect.END, expected.state, seen.state)
    if not _reason_fits(expected.reason, seen.reason):
        yield _differs(Aspect.END, f"reason {expected.reason!r}", repr(seen.reason))
    if seen.app != expected.app:
        yield _differs(Aspect.END, f"app: {expected.app}", seen.app)
    if seen.replies != expected.replies:
        yield _differs(Aspect.END, f"reply URL: {expected.replies}", seen.replies)


def _reason_fits(expected: str | None, seen: str | None) -> bool:
    if expected is None or seen is None:
        return expected is seen
    return expected in seen


def _differs(aspect: Aspect, expected: object, seen: object) -> Deviation:
    text = f"expected {_shown(expected)}, seen {_shown(seen)}"
    return Deviation(aspect=aspect, text=text)


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
