"""A session is final: what is stored, what ends with it, what has no effect (H3, H6)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from orchestrator.domain import happenings
from orchestrator.domain.chain import Ending, Slot, Step, StepState, View
from orchestrator.domain.lookup import forgotten, look_again
from orchestrator.domain.ruling import Ruling, chain_over, end_chain, ending_of
from schemas.messages import End

if TYPE_CHECKING:
    from schemas.events import Event


@dataclass(frozen=True, kw_only=True)
class Report:
    """A final session result that came in by callback or look-up.

    `stored` is true when it was looked up: what the backend has stored.
    """

    status: str
    proof_status: str | None
    token_hash: str
    sealed_result: str
    stored: bool

    @property
    def proved(self) -> bool:
        """DONE and VALID, the only success (trap T2)."""
        return self.status == "DONE" and self.proof_status == "VALID"


class Settled(Enum):
    """What a final state did."""

    #: Stored; tell the requestor, publish the events.
    STORED = auto()
    #: It was stored before; publish the events again.
    REPEATED = auto()
    #: The row is `forwarded` and its session unknown: look up step n first.
    UNRESOLVED = auto()
    #: It has no effect and is logged (rule H3).
    NO_EFFECT = auto()


_SESSION_ENDS: Final[dict[StepState, happenings.SessionEnd]] = {
    StepState.FINISHED: "session.finished",
    StepState.CANCELLED: "session.cancelled",
    StepState.EXPIRED: "session.expired",
    StepState.FAILED: "session.failed",
}


def settle(view: View, slot: Slot, report: Report) -> Ruling[Settled]:  # noqa: PLR0911 - a line a rule
    """A session is final (rule H3); without `nextSession` it ends the chain."""
    row = view.step
    if row is None or row.state is StepState.END:
        return Ruling(outcome=Settled.NO_EFFECT)
    if row.state is StepState.FORWARDED and view.chain.takes(slot):
        return Ruling(outcome=Settled.UNRESOLVED)
    if row.token_hash != report.token_hash:
        return Ruling(outcome=Settled.NO_EFFECT)
    if row.final_status is not None:
        return _settled_before(view, slot, row, report)
    if row.state is StepState.COMPLETED:
        return _settle_completed(view, row, report)
    if row.state is not StepState.LIVE or not view.chain.takes(slot):
        return Ruling(outcome=Settled.NO_EFFECT)
    return _settle_live(view, slot, row, report)


def _settle_completed(view: View, row: Step, report: Report) -> Ruling[Settled]:
    """A proved result was taken in: only DONE may follow; the rest is a lost update.

    What the backend has stored ends our looking, whatever it is.
    """
    if not report.proved and not report.stored:
        return Ruling(outcome=Settled.NO_EFFECT)
    final = replace(
        row,
        state=StepState.FINISHED,
        check_at=None,
        final_status="DONE",
        sealed_result=report.sealed_result if report.proved else row.sealed_result,
    )
    return Ruling(
        outcome=Settled.STORED, steps=(final,), events=(_session_ended(view, final),)
    )


def _settle_live(view: View, slot: Slot, row: Step, report: Report) -> Ruling[Settled]:
    state, end, reason = _final(report)
    final = replace(
        row,
        state=state,
        check_at=None,
        final_status=report.status,
        reason=reason,
        completed_at=row.completed_at or (view.now if report.proved else None),
        sealed_result=report.sealed_result,
    )
    event = _session_ended(view, final)
    if report.proved and row.chained:
        return Ruling(outcome=Settled.STORED, steps=(final,), events=(event,))
    return end_chain(
        view,
        slot,
        Ending(end=end, cause=event.id, reason=reason),
        Settled.STORED,
        steps=(final,),
        events=(event,),
    )


def _final(report: Report) -> tuple[StepState, End, str | None]:
    """The row's end and the chain's, by status (DESIGN §4, below the table)."""
    if report.proved:
        return StepState.FINISHED, End.COMPLETED, None
    if report.status == "CANCELLED":
        return StepState.CANCELLED, End.CANCELLED, "the session was cancelled"
    if report.status == "TIMEOUT":
        return StepState.EXPIRED, End.EXPIRED, "the session timed out"
    return (
        StepState.FAILED,
        End.FAILED,
        f"the session ended with proof status {report.proof_status}",
    )


def _settled_before(view: View, slot: Slot, row: Step, report: Report) -> Ruling[Settled]:
    """The same final state again: its events are published once more (rule H10).

    Whatever was stored may have made a completed row final (`_settle_completed`).
    """
    lost_update = report.stored and row.state is StepState.FINISHED
    if row.final_status != report.status and not lost_update:
        return Ruling(outcome=Settled.NO_EFFECT)
    event = _session_ended(view, row)
    events: tuple[Event, ...] = (event,)
    end = view.following
    if end is not None and end.state is StepState.END and end.cause == event.id:
        events = (
            event,
            chain_over(view, slot, ending_of(view.chain, end)),
        )
    return Ruling(outcome=Settled.REPEATED, events=events)


class Missing(Enum):
    """What it means that a backend does not know a session."""

    EXPIRED = auto()
    CLOSED = auto()
    WAIT = auto()


def settle_missing(
    view: View, slot: Slot, *, session_lifetime: timedelta
) -> Ruling[Missing]:
    """Rule H6: a live session that its backend has forgotten expires the chain.

    A completed one has given its result; its row just stops being looked at.
    """
    row = view.step
    if row is None or row.state not in {StepState.LIVE, StepState.COMPLETED}:
        return Ruling(outcome=Missing.CLOSED)
    if row.state is StepState.COMPLETED:
        final = replace(row, state=StepState.FINISHED, check_at=None, final_status="DONE")
        return Ruling(
            outcome=Missing.CLOSED, steps=(final,), events=(_session_ended(view, final),)
        )
    since = row.forwarded_at or row.created_at
    timeout = timedelta(seconds=row.session_timeout_s)
    lives_until = since + max(timeout, session_lifetime) + session_lifetime
    if not view.chain.takes(slot) or not forgotten(
        now=view.now, since=since, lives_until=lives_until
    ):
        again = look_again(view)
        return Ruling(outcome=Missing.WAIT, steps=again.steps)
    reason = "the session is unknown to its backend"
    final = replace(
        row,
        state=StepState.EXPIRED,
        check_at=None,
        final_status="TIMEOUT",
        reason=reason,
    )
    event = _session_ended(view, final)
    return end_chain(
        view,
        slot,
        Ending(end=End.EXPIRED, cause=event.id, reason=reason),
        Missing.EXPIRED,
        steps=(final,),
        events=(event,),
    )


def _session_ended(view: View, row: Step) -> Event:
    status = row.final_status or row.state.value.upper()
    proved = row.state is StepState.FINISHED
    return happenings.session_ended(
        view.chain,
        row,
        _SESSION_ENDS[row.state],
        view.now,
        status=status,
        proof_status="VALID" if proved else None,
        reason=row.reason,
    )
