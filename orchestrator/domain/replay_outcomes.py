"""What a replayed chain came to at first, read from its rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from orchestrator.domain.chain import ChainState
from orchestrator.domain.failing import FailureKind

#: A replay whose outcome is not known by then, though nothing keeps it, has gone wrong.
OUTCOME_MAX: Final = timedelta(minutes=10)


class Went(StrEnum):
    """What the next generation came to at first."""

    WELL = "well"
    ILL = "ill"


@dataclass(frozen=True, kw_only=True)
class OnItsWay:
    """A replayed chain whose outcome is not known, as its rows are.

    Attributes:
        generation: the one that has failed; the replay's is the next.
        open_generation: the chain's.
        was_live: whether the session it begins with was ever live.
        followed: whether another session follows that.
        waits_as: the kind of its callback's waiting row; "outbox" if something of the
            chain has not gone out yet.
    """

    number: int
    kind: FailureKind
    taken_at: datetime
    generation: int
    open_generation: int
    state: ChainState
    was_live: bool
    followed: bool
    waits_as: str | None


def judged(one: OnItsWay, now: datetime, since: datetime) -> Went | None:
    """What a replay came to, or None while that is not known.

    How long that may take counts from `since`, if that was after the taking.

    A callback whose first attempt was not answered has gone wrong, however often it will
    be tried again: its row says so. One that is parked was not tried yet, nor was one
    that has not even gone out.
    """
    started = one.kind is not FailureKind.CALLBACK and one.was_live
    if one.followed or started:
        return Went.WELL
    if one.open_generation > one.generation + 1:
        return Went.ILL  # it has failed since, and was replayed by somebody
    if one.state is not ChainState.RUNNING:
        well = one.state in {ChainState.COMPLETED, ChainState.CANCELLED}
        return Went.WELL if well else Went.ILL
    return _judged_waiting(one, now - max(one.taken_at, since))


def _judged_waiting(one: OnItsWay, lasts: timedelta) -> Went | None:
    match one.waits_as:
        case "retry":
            return Went.ILL
        case "deadline":
            return Went.WELL  # it was answered by 202
        case "parked" | "outbox":
            return None
        case _:
            return Went.ILL if lasts > OUTCOME_MAX else None
