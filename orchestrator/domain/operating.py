"""What an operator may do to what waits, and the words for what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from orchestrator.domain.errors import NotDone

#: The reason of a chain that an operator has ended.
CANCELLED: Final = "cancelled by an operator"

#: How many rows or letters may be named at once; all of a kind are meant by a filter.
NAMED_MAX: Final = 1_000

#: As much of a list of names as is told.
TOLD_MAX: Final = 10


class WaitingKind(StrEnum):
    """Why a message waits in the store."""

    RETRY = "retry"
    PARKED = "parked"
    DEADLINE = "deadline"
    OUTBOX = "outbox"
    INTAKE = "intake"
    CANCEL = "cancel"
    NOTIFY = "notify"


#: A result that was accepted must come to something (G1); a session that was given up
#: must not stay reachable (G2).
_REFUSALS: Final[Mapping[str, str]] = {
    WaitingKind.OUTBOX: "holds what was decided already; it leaves as soon as the broker"
    " takes it",
    WaitingKind.CANCEL: "cancels a session that was given up; without it that session"
    " could live on",
    WaitingKind.INTAKE: "holds the state of a session that was accepted already",
}

_CANCELLABLE: Final = frozenset(
    {
        WaitingKind.RETRY,
        WaitingKind.PARKED,
        WaitingKind.DEADLINE,
        WaitingKind.NOTIFY,
    }
)


def uncancellable(kind: str) -> str | None:
    """Why a row of this kind cannot be cancelled, or None if it can."""
    if kind in _CANCELLABLE:
        return None
    return _REFUSALS.get(kind, "is of a kind that nobody may cancel")


@dataclass
class Tally:
    """What came of an operation: how much was done, and what was left and why.

    Attributes:
        done: how many, by kind or queue.
        left: the ids of those to which nothing was done, by the reason.
        left_more: how many more than that there are, by the reason.
    """

    done: Counter[str] = field(default_factory=Counter)
    left: dict[str, list[str]] = field(default_factory=dict)
    left_more: Counter[str] = field(default_factory=Counter)

    def leave(self, why: str, ids: Iterable[str] = (), *, unnamed: int = 0) -> None:
        """Nothing was done to these, some of which may be counted only."""
        known = self.left.setdefault(why, [])
        names = list(ids)
        room = max(TOLD_MAX - len(known), 0)
        known += names[:room]
        self.left_more[why] += len(names[room:]) + unnamed

    def lines(self) -> list[str]:
        """What was left, in words."""
        return [self._line(why, ids) for why, ids in self.left.items()]

    def complete(self) -> None:
        """See that nothing was left, for whoever meant all of it.

        Raises:
            NotDone: something was, as `lines` tell.
        """
        if self.left:
            raise NotDone("not everything was done, as told above")

    def _line(self, why: str, ids: list[str]) -> str:
        more = self.left_more[why]
        line = f"{len(ids) + more} left: {why}"
        if ids:
            line += f": {', '.join(ids)}{f' and {more} more' if more else ''}"
        return line


def check_named(ids: Iterable[str], *, what: str) -> list[str]:
    """Each id once.

    Raises:
        NotDone: there are too many, or one could not be anybody's.
    """
    named = list(dict.fromkeys(ids))
    if len(named) > NAMED_MAX:
        msg = f"at most {NAMED_MAX} {what} can be named at once, these are {len(named)}"
        raise NotDone(msg)
    odd = [name for name in named if not name or not name.isprintable()]
    if odd:
        raise NotDone(f"that is no id of a {what.removesuffix('s')}: {odd[0]!a}")
    return named
