"""What a hanging endpoint has left for the others: pairs of figures, and promises."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from pydantic import JsonValue

from orchestrator.proof.report import Promise, Report, Sheet

LOAD: Final = 0.8
PROMISE: Final = 0.9


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The others' callbacks a second, without the hanging endpoint and beside it.

    Attributes:
        capacity: of the worker just before, in callbacks a second.
        attempts: how many were made at the hanging endpoint.
        parked: how many of its callbacks were parked in the end.
        opened: whether its breaker has opened.
    """

    capacity: float
    alone: float
    beside: float
    attempts: int
    parked: int
    opened: bool

    @property
    def share(self) -> float:
        """What the hanging endpoint leaves of the others' throughput."""
        return self.beside / self.alone


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one installation did, in callbacks a second."""

    breaker: bool
    pairs: Sequence[Pair]

    @property
    def capacity(self) -> float:
        """What one worker does, by the median."""
        return median(pair.capacity for pair in self.pairs)

    @property
    def share(self) -> float:
        """What the hanging endpoint leaves, by the median."""
        return median(pair.share for pair in self.pairs)


def report(found: Sequence[Found]) -> Report:
    """What all installations did."""
    promises = [promise for one in found for promise in _promises(one)]
    rows = [_row(one, pair) for one in found for pair in one.pairs]
    figures: dict[str, JsonValue] = {
        f"breaker_{word(breaker=one.breaker)}": {
            "capacity_per_s": round(one.capacity, 1),
            "share_of_others": round(one.share, 3),
        }
        for one in found
    }
    title = f"one worker, {LOAD:.0%} of its capacity offered, half of it to hang"
    sheet = Sheet(title=title, columns=_COLUMNS, rows=rows)
    return Report(proof="hanging", promises=promises, sheets=[sheet], figures=figures)


def _promises(found: Found) -> Iterator[Promise]:
    told_as = word(breaker=found.breaker)
    yield Promise(
        name=f"breaker {told_as}: the others keep {PROMISE:.0%} of their throughput",
        seen=f"{found.share:.1%}",
        held=found.share >= PROMISE,
    )
    told = [f"{pair.attempts} attempts, {pair.parked} parked" for pair in found.pairs]
    isolated = all(
        pair.parked > 0 and pair.opened is found.breaker for pair in found.pairs
    )
    yield Promise(
        name=f"breaker {told_as}: the rest is parked, and it opens only if it may",
        seen="; ".join(told),
        held=isolated,
    )


_COLUMNS: Final = (
    "breaker",
    "capacity/s",
    "alone/s",
    "beside/s",
    "share",
    "attempts that hang",
    "parked",
    "opened",
)


def _row(found: Found, pair: Pair) -> tuple[str, ...]:
    return (
        word(breaker=found.breaker),
        f"{pair.capacity:.0f}",
        f"{pair.alone:.1f}",
        f"{pair.beside:.1f}",
        f"{pair.share:.1%}",
        str(pair.attempts),
        str(pair.parked),
        "yes" if pair.opened else "no",
    )


def word(*, breaker: bool) -> str:
    """How the breaker is told."""
    return "on" if breaker else "off"
