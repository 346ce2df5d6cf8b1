"""Batch replays: what a plan is, how it goes on, and what stops it (guarantee G10).

    planned ──taken up──► running ──nothing left──► done
       │                   │   ▲
       └──────pause────────┼───┤ resume
                           ▼   │
                          paused          cancelled: from any of these three

A plan fixes at its making which failures it takes: those that match and were written by
then. Each is claimed for it once, and replayed at most once. With a canary they go out in
groups that grow; a group's outcome is waited for before the next one.

A plan may also mark its failures as handled, by hand or elsewhere: then nothing is
replayed, and no later plan takes them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from orchestrator.domain.failing import Failure, FailureFilter

#: The sizes of a canary's groups; the last one is that of all that follow.
CANARY: Final = (1, 2, 5, 20, 50, 100, 200, 500, 1_000)

#: Of a group that has gone wrong: more than this share stops the plan.
FAILURE_RATIO_MAX: Final = 0.2

#: Chains a second, if the plan does not say.
PACE: Final = 50.0
PACE_MAX: Final = 1_000.0


class ReplayState(StrEnum):
    """How a plan stands."""

    PLANNED = "planned"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    CANCELLED = "cancelled"


class ReplayKind(StrEnum):
    """What a plan does with its failures."""

    REPLAY = "replay"
    #: They are given up: marked, and left alone.
    HANDLE = "handle"


#: What an operator may still change.
_OPEN: Final = frozenset({ReplayState.PLANNED, ReplayState.RUNNING, ReplayState.PAUSED})


class Outcome(StrEnum):
    """What became of a claimed failure."""

    #: The chain's next generation is open.
    REPLAYED = "replayed"
    #: It could not be opened; the failure's note says why.
    REFUSED = "refused"
    #: Refused as well, for what is sealed could not be read here: a later plan may try.
    UNREAD = "unread"


@dataclass(frozen=True, kw_only=True)
class CutOff:
    """Up to where failures are taken: the time, and the number of the last one."""

    at: datetime
    number: int


@dataclass(frozen=True, kw_only=True)
class Replay:
    """A plan's row.

    Attributes:
        kind: whether its failures are replayed or given up.
        made_by: who asked for it: an operator's name, or `cli:` and a user's.
        changed_by: who has paused, resumed or cancelled it last.
        version: one more with each change by a rule; counters are counted beside it.
        why: why it is paused, if not by an operator.
        pace: chains a second; `endpoint_pace` those of one endpoint.
        canary: whether groups are waited for.
        endpoint: the origin of another URL that results are POSTed to.
        sealed_url: that URL, until the plan is over.
        claimed_to: the number up to which failures were looked at.
        canary_step: which of the `CANARY` sizes the group has.
        group_number: which group, from 0; `group_*` count what is in it.
        group_taken: how many of it are through: what is in hand is not counted yet, so
            that a worker that dies leaves it to be taken again.
        group_ill: how many of it failed again, or could not be read.
        claimed: how many failures it has taken for its own.
        handled: how many of them it has marked as handled.
        settled: whether nothing is to be done for it any more.
    """

    id: str
    state: ReplayState
    kind: ReplayKind = ReplayKind.REPLAY
    made_by: str | None = None
    changed_by: str | None = None
    version: int = 0
    why: str | None = None
    note: str | None = None
    filter: FailureFilter
    made_at: datetime
    cut_off: CutOff
    pace: float = PACE
    endpoint_pace: float | None = None
    canary: bool = True
    failure_ratio_max: float = FAILURE_RATIO_MAX
    endpoint: str | None = None
    sealed_url: str | None = None
    claimed_to: int = 0
    canary_step: int = 0
    group_number: int = 0
    group_taken: int = 0
    group_well: int = 0
    group_ill: int = 0
    claimed: int = 0
    replayed: int = 0
    refused: int = 0
    handled: int = 0
    well: int = 0
    ill: int = 0
    settled: bool = False
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def claiming(self) -> bool:
        """Whether there may be failures that it has not claimed yet."""
        return self.claimed_to < self.cut_off.number

    @property
    def left(self) -> int:
        """How many of its failures were never started."""
        return self.claimed - self.replayed - self.refused - self.handled

    @property
    def undecided(self) -> int:
        """How many replays are on their way, of a plan that waits for their outcome."""
        return self.replayed - self.well - self.ill


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """A failure that a plan has claimed; `begun` if it was in hand before."""

    number: int
    failure: Failure
    begun: bool


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What became of one claimed failure, by its number."""

    number: int
    outcome: Outcome
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Take:
    """Failures may go out, so many of them."""

    count: int


@dataclass(frozen=True, kw_only=True)
class Wait:
    """The outcome of the group has to be known first."""


@dataclass(frozen=True, kw_only=True)
class NextGroup:
    """The group went well; another may follow."""


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Too much of the group has gone wrong."""

    why: str


Move = Take | Wait | NextGroup | Stop


def next_move(plan: Replay, *, at_once_max: int) -> Move:
    """What a running plan may do next.

    Whoever has lost too many of a group already does not wait for the rest of it.
    """
    if not plan.canary:
        return Take(count=at_once_max)
    size = group_size(plan)
    if plan.group_ill > plan.failure_ratio_max * size:
        return Stop(why=_gone_wrong(plan))
    if plan.group_taken < size:
        return Take(count=min(size - plan.group_taken, at_once_max))
    if plan.undecided:
        return Wait()
    looked_at = plan.group_well + plan.group_ill
    if plan.group_ill > plan.failure_ratio_max * looked_at:
        return Stop(why=_gone_wrong(plan))
    return NextGroup()


def group_size(plan: Replay) -> int:
    """How many failures belong to the plan's present group."""
    return CANARY[min(plan.canary_step, len(CANARY) - 1)]


def _gone_wrong(plan: Replay) -> str:
    looked_at = plan.group_well + plan.group_ill
    limit = f"{plan.failure_ratio_max:.0%}"
    how = "failed again or could not be read" if plan.refused else "failed again"
    return (
        f"{plan.group_ill} of {looked_at} in group {plan.group_number + 1} {how}:"
        f" more than {limit}"
    )


def taken_up(plan: Replay, now: datetime) -> Replay | None:
    """A worker has the plan."""
    if plan.state is not ReplayState.PLANNED:
        return None
    return _changed(plan, state=ReplayState.RUNNING, started_at=now)


def next_group(plan: Replay) -> Replay:
    """The group after this one, and larger."""
    step = min(plan.canary_step + 1, len(CANARY) - 1)
    return _another_group(plan, step)


def _another_group(plan: Replay, canary_step: int) -> Replay:
    fresh = replace(plan, group_taken=0, group_well=0, group_ill=0)
    number = plan.group_number + 1
    changed = replace(fresh, canary_step=canary_step, group_number=number)
    return replace(changed, version=plan.version + 1)


def stopped(plan: Replay, why: str) -> Replay:
    """The canary has stopped it; an operator may let it go on."""
    return _changed(plan, state=ReplayState.PAUSED, why=why)


def paused(plan: Replay) -> Replay | None:
    """An operator pauses it; what is on its way goes on."""
    if plan.state not in {ReplayState.PLANNED, ReplayState.RUNNING}:
        return None
    return _changed(plan, state=ReplayState.PAUSED, why=None)


def resumed(plan: Replay) -> Replay | None:
    """An operator lets it go on; one that the canary has stopped begins small again."""
    if plan.state is not ReplayState.PAUSED:
        return None
    running = _changed(plan, state=ReplayState.RUNNING, why=None)
    if plan.why is None:
        return running
    return replace(_another_group(running, 0), version=running.version)


def cancelled(plan: Replay, now: datetime) -> Replay | None:
    """An operator ends it; what was never started is let go of."""
    if plan.state not in _OPEN:
        return None
    return _changed(plan, state=ReplayState.CANCELLED, why=None, ended_at=now)


def finished(plan: Replay, now: datetime) -> Replay:
    """Nothing is left."""
    over = _changed(plan, state=ReplayState.DONE, ended_at=now)
    return replace(over, settled=True, sealed_url=None)


def settled(plan: Replay) -> Replay:
    """What was never started of a cancelled plan is nobody's again."""
    return replace(plan, settled=True, sealed_url=None, version=plan.version + 1)


def _changed(
    plan: Replay,
    *,
    state: ReplayState,
    why: str | None = None,
    started_at: datetime | None = None,
    ended_at: datetime | None = None,
) -> Replay:
    return replace(
        plan,
        state=state,
        why=why,
        started_at=started_at or plan.started_at,
        ended_at=ended_at,
        version=plan.version + 1,
    )


def url_bound_to(replay_id: str) -> str:
    """What the other URL of a plan is bound to when it is sealed."""
    return f"replay:{replay_id}-url"
