"""A session is final: what is stored, what ends with it, what has no effect (H3, H6)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from orchestrator.domain import happenings
from orchestrator.domain.chain import (
    ChainState,
    Ending,
    Slot,
    Step,
    StepState,
    View,
)
from orchestrator.domain.lookup import (
    HANDLER_MAX,
    forgotten,
    lives_until,
    look_again,
    report_due,
)
from orchestrator.domain.ruling import (
    CHECK_AFTER_CALLBACK,
    Outcome,
    Ruling,
    end_chain,
    started,
)
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
    sealed_token: str
    sealed_result: str
    stored: bool

    @property
    def proved(self) -> bool:
        """DONE and VALID, the only success (trap T2)."""
        return self.status == "DONE" and self.proof_status == "VALID"


class Settled(Enum):
    """What a final state did."""

    #: Stored; its events and what the requestor is told go out with it, once.
    STORED = auto()
    #: Stored as DONE, whatever the backend says: the result that was taken in counts.
    KEPT = auto()
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


def settle(view: View, slot: Slot, report: Report) -> Ruling[Settled]:
    """A session is final (rule H3); without `nextSession` it ends the chain.

    What is proved counts from any session of the step. Everything else counts only from
    the session the row points to, which of a forwarded row only the look-up tells (H1).
    Nothing is stored any more in a chain whose secrets were deleted.
    """
    row = view.step
    if row is None or row.state.ended or view.chain.purged_at is not None:
        return Ruling(outcome=Settled.NO_EFFECT)
    own = row.token_hash == report.token_hash
    if row.state is StepState.COMPLETED:
        return _settle_completed(view, row, report, own=own)
    if not view.chain.takes(slot) or row.state is StepState.OFFERED:
        return Ruling(outcome=Settled.NO_EFFECT)
    if report.proved or (own and row.state is StepState.LIVE):
        return _settle_running(view, slot, row, report)
    if row.state is StepState.FORWARDED:
        return Ruling(outcome=Settled.UNRESOLVED)
    return Ruling(outcome=Settled.NO_EFFECT)


def _settle_completed(
    view: View, row: Step, report: Report, *, own: bool
) -> Ruling[Settled]:
    """A proved result was taken in: nothing that follows has an effect on the chain.

    DONE is what is expected. Anything else counts only if it is stored, and then an
    update was lost: what was taken in stays, for everybody. A chain that has failed on
    this step was refused to the app too, which deletes the session: so it ends (reference
    irma.md §7.7).
    """
    early = report.status == "TIMEOUT" and _at_work(view, row)
    if not own or early:
        return Ruling(outcome=Settled.NO_EFFECT)
    if not (report.proved or report.stored):
        return _looked_at_soon(view, row)
    if report.proved or _failed_on(view):
        return _as_stored(view, row, report)
    if row.sealed_result is not None:
        reason = f"the backend has lost its result and stored {report.status}"
        return _closed(view, row, Settled.KEPT, reason)
    if view.chain.takes(row.slot):
        # The answer that claims the next slot brings the result; the clock asks again.
        return Ruling(outcome=Settled.NO_EFFECT)
    return _as_stored(view, row, report)


def _looked_at_soon(view: View, row: Step) -> Ruling[Settled]:
    """What is only announced decides nothing, but is most likely being stored (H1)."""
    soon = view.now + CHECK_AFTER_CALLBACK
    if row.check_at is None or row.check_at <= soon:
        return Ruling(outcome=Settled.NO_EFFECT)
    return Ruling(outcome=Settled.NO_EFFECT, steps=(replace(row, check_at=soon),))


def _as_stored(view: View, row: Step, report: Report) -> Ruling[Settled]:
    """The row ends as its backend says; a result that was proved is never given up."""
    state, _, reason = _final(report)
    final = replace(
        row,
        state=state,
        check_at=None,
        final_status=report.status,
        reason=reason,
        sealed_result=report.sealed_result if report.proved else row.sealed_result,
    )
    return Ruling(
        outcome=Settled.STORED, steps=(final,), events=(_session_ended(view, final),)
    )


def _at_work(view: View, row: Step) -> bool:
    """Rule H1: whether a handler may still be at work on a copy of the session."""
    forwarded_at = view.following.forwarded_at if view.following else None
    asked = [at for at in (row.completed_at, forwarded_at) if at is not None]
    return any(view.now - at <= HANDLER_MAX for at in asked)


def _failed_on(view: View) -> bool:
    """Whether what followed the step was the failure of the chain.

    One that was replayed since has gone on with the result, however it ends now.
    """
    following, chain = view.following, view.chain
    if following is None or following.state is not StepState.END:
        return False
    open_still = following.slot.generation == chain.generation
    return open_still and chain.state is ChainState.FAILED


def _closed(
    view: View,
    row: Step,
    outcome: Outcome,
    reason: str,
    *,
    state: StepState = StepState.FINISHED,
    status: str = "DONE",
) -> Ruling[Outcome]:
    """The row ends by what was decided here, not by a state of its backend."""
    final = replace(row, state=state, check_at=None, final_status=status, reason=reason)
    return Ruling(outcome=outcome, steps=(final,), events=(_session_ended(view, final),))


def _settle_running(view: View, slot: Slot, row: Step, report: Report) -> Ruling[Settled]:
    """The step's session has ended; if it was not announced yet, that comes first."""
    state, end, reason = _final(report)
    final = replace(
        row,
        state=state,
        check_at=None,
        announced=True,
        lease_owner=None,
        lease_until=None,
        token_hash=report.token_hash,
        sealed_token=report.sealed_token,
        final_status=report.status,
        reason=reason,
        completed_at=row.completed_at or (view.now if report.proved else None),
        sealed_result=report.sealed_result,
    )
    event = _session_ended(view, final)
    events = (event,) if row.announced else (started(view, row), event)
    if report.proved and row.chained:
        return Ruling(outcome=Settled.STORED, steps=(final,), events=events)
    return end_chain(
        view,
        slot,
        Ending(end=end, cause=event.id, reason=reason),
        Settled.STORED,
        steps=(final,),
        events=events,
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


class Missing(Enum):
    """What it means that a backend does not know a session."""

    EXPIRED = auto()
    #: It is DONE by the result that was taken in, and the requestor is told so, once.
    KEPT = auto()
    #: The chain has failed on it, so the app was refused too: told as CANCELLED, once.
    CANCELLED = auto()
    CLOSED = auto()
    WAIT = auto()


def settle_missing(
    view: View, slot: Slot, *, session_lifetime: timedelta
) -> Ruling[Missing]:
    """Rule H6: a live session that its backend has forgotten expires the chain.

    A completed one has given its result, which stays.
    """
    row = view.step
    if row is None or row.state not in {StepState.LIVE, StepState.COMPLETED}:
        return Ruling(outcome=Missing.CLOSED)
    if row.state is StepState.COMPLETED:
        return _forgotten_completed(view, row)
    if not view.chain.takes(slot) or not forgotten(
        now=view.now,
        since=row.live_at or row.created_at,
        lives_until=lives_until(row, session_lifetime),
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


def _forgotten_completed(view: View, row: Step) -> Ruling[Missing]:
    """The result may still be on its way to the row: the answer that claims brings it.

    A chain that has failed on the step was refused to the app too, which deletes the
    session (`_settle_completed`); one that failed later had its step settled long before.
    """
    if _failed_on(view):
        reason = "the chain failed on it, and its backend has forgotten it"
        return _closed(
            view,
            row,
            Missing.CANCELLED,
            reason,
            state=StepState.CANCELLED,
            status="CANCELLED",
        )
    if row.sealed_result is None and view.chain.takes(row.slot):
        return Ruling(outcome=Missing.WAIT, steps=report_due(view).steps)
    outcome = Missing.CLOSED if row.sealed_result is None else Missing.KEPT
    return _closed(view, row, outcome, "the backend has forgotten the session")


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
