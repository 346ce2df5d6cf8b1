"""A step's result is taken in, and what follows it claims the one slot after it.

Whatever follows step n (a next session, or the chain's end) claims (chain, n+1,
generation); the claim and the row are one transaction, so two different answers, a
redelivery or a late answer can never make two (G2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING

from orchestrator.domain import happenings
from orchestrator.domain.chain import (
    DEFAULT_IDENTICAL_MAX,
    DEFAULT_STEPS_MAX,
    DEFAULT_WALL_TIME,
    Ending,
    Slot,
    Step,
    StepState,
    View,
    looping,
    over_budget,
)
from orchestrator.domain.ruling import (
    CHECK_LIVE,
    CHECK_OFFERED,
    Ruling,
    chain_over,
    end_chain,
    preceding,
    started,
)
from schemas.messages import End

if TYPE_CHECKING:
    from schemas.events import Event


@dataclass(frozen=True, kw_only=True)
class Proved:
    """A proved result: whose it is, and the envelopes for the row of its step."""

    token_hash: str
    sealed_token: str
    sealed_result: str


@dataclass(frozen=True, kw_only=True)
class NextSession:
    """The next session request, ready for its row."""

    session_type: str
    attributes: tuple[str, ...]
    chained: bool
    timeout_s: int
    sealed_request: str
    sealed_prepared: str


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The limits of a chain."""

    steps_max: int = DEFAULT_STEPS_MAX
    wall_time: timedelta = DEFAULT_WALL_TIME
    identical_max: int = DEFAULT_IDENTICAL_MAX


class TakeIn(Enum):
    """What the bridge's mark on the row came to (rule H4)."""

    MARKED = auto()
    REPEATED = auto()
    TOO_LATE = auto()


def take_in(
    view: View,
    slot: Slot,
    *,
    token_hash: str,
    sealed_token: str,
    sealed_result: str | None = None,
) -> Ruling[TakeIn]:
    """A proved result came in for this step: mark the row at once (rule H4).

    A forwarded row that nobody has found live yet is announced by this, as its session
    has evidently run. Who has the result in hand may leave it: the answer that claims the
    next slot brings it too, but that may take its time, and the backend may forget.
    """
    step = view.step
    if step is None or not view.chain.takes(slot):
        return Ruling(outcome=TakeIn.TOO_LATE)
    if step.state not in {StepState.LIVE, StepState.FORWARDED}:
        return Ruling(outcome=TakeIn.REPEATED)
    events = () if step.announced else (started(view, step),)
    own = step.token_hash in {None, token_hash}
    marked = replace(
        step,
        state=StepState.COMPLETED,
        completed_at=view.now,
        check_at=view.now + CHECK_LIVE,
        announced=True,
        token_hash=step.token_hash or token_hash,
        sealed_token=step.sealed_token or sealed_token,
        sealed_result=sealed_result if own else None,
    )
    return Ruling(outcome=TakeIn.MARKED, steps=(marked,), events=events)


class Claim(Enum):
    """Who got the slot after the step."""

    OFFERED = auto()
    DETACHED = auto()
    ENDED = auto()
    #: This very answer has the slot already: do what follows once more, make nothing new.
    MINE_OFFERED = auto()
    MINE_DETACHED = auto()
    MINE = auto()
    #: Another answer has the slot.
    RIVAL = auto()
    #: The chain is over or its generation closed.
    CLOSED = auto()


def claim_next(
    view: View,
    slot: Slot,
    following: NextSession,
    proved: Proved,
    *,
    answer_hash: str,
    cause: str,
    deadline: datetime | None,
    budget: Budget,
    endpoint: str | None = None,
) -> Ruling[Claim]:
    """Claim the slot after `slot` for the next session (session worker).

    The row is `offered` while the message's deadline has not passed, else `detached`.
    `endpoint` is the one that asks for it.
    """
    held = _held(view, slot, answer_hash)
    if held is not None:
        return _claimed_before(view, held, following)
    repeats = _repeats(view.step, answer_hash)
    refusal = over_budget(
        view.chain,
        slot.step + 1,
        view.now,
        steps_max=budget.steps_max,
        wall_time=budget.wall_time,
    ) or looping(repeats, identical_max=budget.identical_max)
    if refusal is not None:
        ending = Ending(end=End.FAILED, cause=cause, reason=refusal, endpoint=endpoint)
        return claim_end(view, slot, ending, proved=proved, answer_hash=answer_hash)
    in_flow = deadline is not None and view.now < deadline
    row = Step(
        slot=slot.following,
        state=StepState.OFFERED if in_flow else StepState.DETACHED,
        session_type=following.session_type,
        cause=cause,
        created_at=view.now,
        check_at=view.now + CHECK_OFFERED if in_flow else view.now,
        in_flow=in_flow,
        deadline=deadline,
        chained=following.chained,
        session_timeout_s=following.timeout_s,
        answer_hash=answer_hash,
        repeats=repeats,
        sealed_request=following.sealed_request,
        sealed_prepared=following.sealed_prepared,
    )
    return Ruling(
        outcome=Claim.OFFERED if in_flow else Claim.DETACHED,
        steps=(*_completed(view, proved), row),
        events=(
            *_found_running(view),
            happenings.session_requested(view.chain, row, following.attributes, view.now),
        ),
    )


def claim_end(
    view: View,
    slot: Slot,
    ending: Ending,
    *,
    proved: Proved,
    answer_hash: str,
) -> Ruling[Claim]:
    """Claim the slot after `slot` for the chain's end (session worker)."""
    held = _held(view, slot, answer_hash)
    row = view.following
    if held is Claim.MINE and row is not None and row.state is StepState.END:
        over = chain_over(view, slot, ending)
        return Ruling(outcome=held, events=(*_found_running(view), over))
    if held is not None:
        # A session of the same answer was permitted before; an end never takes its slot.
        return Ruling(outcome=Claim.CLOSED if held is Claim.CLOSED else Claim.RIVAL)
    return end_chain(
        view,
        slot,
        ending,
        Claim.ENDED,
        steps=_completed(view, proved),
        events=_found_running(view),
        answer_hash=answer_hash,
    )


def _held(view: View, slot: Slot, answer_hash: str) -> Claim | None:
    """Who holds the slot after this one, or None when it is free for us.

    An answer that was taken in by the reply URL holds it before its row is there: its 2xx
    is a promise, so nothing that comes in between, and no deadline, overtakes it.
    """
    row = view.following
    if row is None:
        if not view.chain.takes(slot):
            return Claim.CLOSED
        promised = view.step.reply_hash if view.step else None
        return None if promised in {None, answer_hash} else Claim.RIVAL
    if row.answer_hash != answer_hash:
        return Claim.RIVAL
    if row.state in {StepState.OFFERED, StepState.FORWARDED}:
        return Claim.MINE_OFFERED
    return Claim.MINE_DETACHED if row.state is StepState.DETACHED else Claim.MINE


def _repeats(step: Step | None, answer_hash: str) -> int:
    """How many steps up to this one, in a row, asked for what is asked for now."""
    if step is None or step.answer_hash != answer_hash:
        return 0
    return step.repeats + 1


def _claimed_before(view: View, held: Claim, following: NextSession) -> Ruling[Claim]:
    row = view.following
    if row is None or held in {Claim.RIVAL, Claim.CLOSED}:
        return Ruling(outcome=held)
    if row.state is StepState.END:
        # Only a refusal makes an end of a session request. The chain's row does not tell:
        # a replay may have opened the chain again.
        ending = Ending(end=End.FAILED, cause=row.cause, reason=row.reason)
        over = chain_over(view, preceding(row.slot), ending)
        return Ruling(outcome=Claim.ENDED, events=(*_found_running(view), over))
    return Ruling(
        outcome=held,
        events=(
            *_found_running(view),
            happenings.session_requested(view.chain, row, following.attributes, view.now),
        ),
    )


def _found_running(view: View) -> tuple[Event, ...]:
    """The start of a forwarded session that its result is the first to tell of.

    Said again of any session in flow when the message comes again (rule H10).
    """
    step = view.step
    if step is None or (step.announced and not step.in_flow):
        return ()
    return (started(view, step),)


def _completed(view: View, proved: Proved) -> tuple[Step, ...]:
    """The row of the step whose result has led here, with that result (rule H3)."""
    step = view.step
    if step is None:
        return ()
    state = step.state if step.state.ended else StepState.COMPLETED
    own = step.token_hash == proved.token_hash
    last_word = step.sealed_result if state.ended and own else None
    return (
        replace(
            step,
            state=state,
            completed_at=step.completed_at or view.now,
            check_at=None if state.ended else view.now + CHECK_LIVE,
            announced=True,
            token_hash=proved.token_hash,
            sealed_token=proved.sealed_token,
            sealed_result=last_word or proved.sealed_result,
        ),
    )
