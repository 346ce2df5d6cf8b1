"""How late retries were, and ends that a clock makes: against what was planned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from math import ceil
from typing import Final

from orchestrator.proof.sightings import Attempt, Expected, Planned, Seen

#: What rounding to milliseconds may take from a delay.
ROUNDED_S: Final = 0.002


@dataclass(frozen=True, kw_only=True)
class Retried:
    """A retry: what was planned, and how much later it was made."""

    planned: Planned
    late_s: float
    early: bool = False


def retries_of(seen: Seen) -> list[Retried]:
    """Each retry against its plan.

    Where the endpoint could not see the attempt, the next decision stands for it: that
    is later, never sooner.
    """
    made = [one for one in seen.decided if not one.replied]
    unseen = len(made) - len(seen.attempts)
    retries = []
    for number, (before, after) in enumerate(pairwise(made)):
        if before.retry is None:
            continue
        earlier = _at(seen.attempts, number - unseen)
        attempt = _at(seen.attempts, number + 1 - unseen)
        began = attempt.at if attempt else after.at
        retries.append(_retried(before.retry, earlier, began))
    return retries


def _retried(planned: Planned, earlier: Attempt | None, began: datetime) -> Retried:
    """A retry by the endpoint's own clock: the delay counts from its reply.

    Where there was none, only the event says when the delay began.
    """
    due = planned.at
    if earlier is not None and earlier.replied_at is not None:
        due = earlier.replied_at + timedelta(seconds=planned.delay_s)
    early = earlier is not None and _since(earlier, began) < planned.delay_s - ROUNDED_S
    late_s = max((began - due).total_seconds(), 0.0)
    return Retried(planned=planned, late_s=late_s, early=early)


def _since(earlier: Attempt, began: datetime) -> float:
    return (began - (earlier.replied_at or earlier.at)).total_seconds()


def _at(attempts: Sequence[Attempt], index: int) -> Attempt | None:
    return attempts[index] if 0 <= index < len(attempts) else None


def end_late_s(expected: Expected, seen: Seen) -> float | None:
    """How much later a chain ended that the clock ends; None if nothing says so."""
    if expected.ends_after_s is None or seen.ended_at is None or not seen.attempts:
        return None
    after_s = (seen.ended_at - seen.attempts[0].at).total_seconds()
    return after_s - expected.ends_after_s


def percentile(ordered: Sequence[float], percent: int) -> float:
    """The least value that so many percent do not exceed (nearest rank)."""
    return ordered[max(ceil(len(ordered) * percent / 100), 1) - 1]
