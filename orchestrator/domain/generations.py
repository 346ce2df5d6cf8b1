"""A replay starts a chain's next generation where the last one failed (DESIGN §2, H9).

What failed is done anew: a callback, whose result is POSTed again, or a session that
could not be started or that nobody came for, which is started on its own.

The chain's row closes the earlier generation: whatever still comes for it finds that
`Chain.takes` is false. It had ended before, so none of its sessions is live; those that
were given up are being cancelled, and what waits for that outlives the generation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

from orchestrator.domain import happenings
from orchestrator.domain.chain import Chain, ChainState, Slot, Step, StepState, View
from orchestrator.domain.ruling import Ruling

if TYPE_CHECKING:
    from datetime import datetime

    from schemas.events import Event

#: Chains that ended like this did not fail, so there is nothing to do anew.
_NOT_FAILED: Final = {
    ChainState.RUNNING: "the chain is running",
    ChainState.COMPLETED: "the chain has completed",
    ChainState.CANCELLED: "the chain was cancelled",
}


class Again(StrEnum):
    """What the next generation begins with."""

    #: The callback of the step's result.
    CALLBACK = "callback"
    #: The step's session.
    SESSION = "session"


@dataclass(frozen=True, kw_only=True)
class Carried:
    """What the first row of the next generation holds, sealed for its slot.

    Token and result are those of a step whose callback is made again, the prepared
    request and its attributes those of a session that is started again.
    """

    sealed_request: str
    sealed_token: str | None = None
    sealed_result: str | None = None
    sealed_prepared: str | None = None
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The next generation begins in this slot."""

    slot: Slot
    again: Again


@dataclass(frozen=True, kw_only=True)
class NotReplayed:
    """Nothing was changed, and why."""

    reason: str


def next_generation(slot: Slot) -> Slot:
    """The slot of the same step in the generation after this one."""
    return replace(slot, generation=slot.generation + 1)


def replayed_id(slot: Slot) -> str:
    """The id of the event that a generation begins with, by its first slot."""
    return slot.event_id("chain.replayed")


def again(step: Step) -> Again | None:
    """What of a chain's last step is to be done anew; None where nothing has failed.

    A result that was proved and has nothing after it but the chain's end was not answered
    well. A session that was proved wrongly, or cancelled, is its user's doing.
    """
    if step.completed_at is not None and step.sealed_result is not None:
        return Again.CALLBACK if step.chained else None
    not_started = step.state is StepState.FAILED and step.final_status is None
    return Again.SESSION if not_started or step.state is StepState.EXPIRED else None


def not_replayable(chain: Chain, generation: int) -> str | None:
    """Why this generation of a chain cannot be followed by another, or None."""
    if chain.generation != generation:
        return "the chain was replayed before"
    if chain.state in _NOT_FAILED:
        return _NOT_FAILED[chain.state]
    if chain.purged_at is not None:
        at = chain.purged_at.isoformat(timespec="seconds")
        return f"the chain's results were deleted at {at}"
    return None


def reopen(view: View, slot: Slot, carried: Carried) -> Ruling[Opened | NotReplayed]:
    """Close the chain's generation and begin the next, if it has failed at this step.

    Args:
        view: what is around the chain's last session.
        slot: that session's; the slot after it holds the chain's end.
        carried: its secrets, sealed for the next generation.
    """
    row, end = view.step, view.following
    reason = not_replayable(view.chain, slot.generation)
    if reason is not None:
        return Ruling(outcome=NotReplayed(reason=reason))
    if row is None or end is None or end.state is not StepState.END:
        reason = "the chain has not ended at this step"
        return Ruling(outcome=NotReplayed(reason=reason))
    what = again(row)
    if what is None:
        reason = f"nothing of step {slot.step} can be done again"
        return Ruling(outcome=NotReplayed(reason=reason))
    return _opened(view, row, what, carried)


def _opened(
    view: View, row: Step, what: Again, carried: Carried
) -> Ruling[Opened | NotReplayed]:
    first = next_generation(row.slot)
    begin = _answered_no_more if what is Again.CALLBACK else _not_started
    begun = begin(row, first, carried, view.now)
    chain = replace(
        view.chain,
        state=ChainState.RUNNING,
        generation=first.generation,
        replayed_at=view.now,
        ended_at=None,
        reason=None,
    )
    return Ruling(
        outcome=Opened(slot=first, again=what),
        steps=(begun,),
        chain=chain,
        events=_events(view, chain, begun, what, carried),
    )


def _answered_no_more(row: Step, first: Slot, carried: Carried, now: datetime) -> Step:
    """The step as its session has left it; its own row goes on to follow that session.

    It has no `check_at`, or two rows would tell the requestor of one session's end.
    """
    return replace(
        row,
        slot=first,
        state=StepState.FINISHED,
        created_at=now,
        check_at=None,
        in_flow=False,
        deadline=None,
        forwarded_at=None,
        announced=True,
        reply_hash=None,
        final_status="DONE",
        reason=f"carried over from generation {row.slot.generation}",
        sealed_request=carried.sealed_request,
        sealed_prepared=None,
        sealed_package=None,
        sealed_token=carried.sealed_token,
        sealed_result=carried.sealed_result,
    )


def _not_started(row: Step, first: Slot, carried: Carried, now: datetime) -> Step:
    """The row of a session that is to be started, as a claim would make it."""
    return Step(
        slot=first,
        state=StepState.DETACHED,
        session_type=row.session_type,
        cause=replayed_id(first),
        created_at=now,
        check_at=now,
        chained=row.chained,
        session_timeout_s=row.session_timeout_s,
        answer_hash=row.answer_hash,
        repeats=row.repeats,
        sealed_request=carried.sealed_request,
        sealed_prepared=carried.sealed_prepared,
    )


def _events(
    view: View, chain: Chain, begun: Step, what: Again, carried: Carried
) -> tuple[Event, ...]:
    kind: Literal["callback", "session"] = (
        "callback" if what is Again.CALLBACK else "session"
    )
    replayed = happenings.chain_replayed(view.chain, begun.slot, kind, view.now)
    if what is Again.CALLBACK:
        return (replayed,)
    requested = happenings.session_requested(chain, begun, carried.attributes, view.now)
    return replayed, requested
