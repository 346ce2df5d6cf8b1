"""What became of a session that was handed over: only what is stored decides (H1, H2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final

from orchestrator.domain.chain import Slot, Step, StepState, View
from orchestrator.domain.handover import Detach
from orchestrator.domain.ruling import (
    CHECK_AFTER_CALLBACK,
    CHECK_FORWARDED,
    CHECK_FORWARDED_MAX,
    CHECK_LIVE,
    CHECK_MAX,
    Ruling,
    detached_row,
    doubling,
    started,
)
from schemas.messages import CancelWork, StartWork, Work


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """What a backend has *stored* of a session (rule H1); `status` None: unknown."""

    status: str | None
    next_token: str | None = None


class Forwarded(Enum):
    """What the stored state of step n says about its forwarded successor."""

    LIVE = auto()
    LOST = auto()
    WAIT = auto()


#: Rule H1: a handler may be at work on a copy for this long after the bridge POST.
HANDLER_MAX: Final = timedelta(seconds=60)

#: Rule H2: before this, a purge cannot be why the backend does not know a session.
PURGE_MIN: Final = timedelta(minutes=4)


def judge_forwarded(
    lookup: Lookup,
    *,
    now: datetime,
    asked_at: datetime,
    forwarded_at: datetime,
    lives_until: datetime,
) -> Forwarded:
    """Rules H1 and H2: did the IRMA server start the session that was handed to it?

    Args:
        lookup: what it has stored of step n.
        now: the time of the look-up.
        asked_at: when the bridge POST of step n came in, the first of them.
        forwarded_at: when the gateway handed the request over, the last time.
        lives_until: when the forwarded session can no longer live.
    """
    if lookup.status == "DONE":
        return Forwarded.LIVE if lookup.next_token else Forwarded.LOST
    if lookup.status == "CANCELLED":
        return Forwarded.LOST
    handled = now - max(asked_at, forwarded_at) > HANDLER_MAX
    if lookup.status == "TIMEOUT":
        return Forwarded.LOST if handled else Forwarded.WAIT
    if lookup.status is not None:
        return Forwarded.WAIT
    gone = forgotten(now=now, since=asked_at, lives_until=lives_until)
    return Forwarded.LOST if gone and handled else Forwarded.WAIT


def forgotten(*, now: datetime, since: datetime, lives_until: datetime) -> bool:
    """Rule H2: whether "unknown" means that a session is lost."""
    return now - since < PURGE_MIN or now > lives_until + HANDLER_MAX


def over(row: Step, now: datetime, session_lifetime: timedelta) -> bool:
    """Rule H2: whether no session of a row that was handed over can live any more."""
    return now > lives_until(row, session_lifetime) + HANDLER_MAX


def lives_until(row: Step, session_lifetime: timedelta) -> datetime:
    """When the row's session can no longer live, whatever the user does (rule H2)."""
    since = row.live_at or row.forwarded_at or row.created_at
    scanned_by = timedelta(seconds=row.session_timeout_s) or session_lifetime
    return since + scanned_by + session_lifetime


def tells_of(work: Work, slot: Slot) -> bool:
    """Rule H2: whether a message that waits may hold the token of this slot's session.

    Its own completion, on its way to the endpoint or back, its mark or a state of it; a
    start holds none, nor does the cancellation of a session that was given up. Only what
    waits in the store can be seen. A message that is just in the broker is covered
    otherwise: a proved result has marked the row by the time its work could wait for
    anything (H4), or its note is handled with it; and a state that is missed then speaks
    of a session that can no longer live.
    """
    theirs = Slot(chain_id=work.chain_id, step=work.step, generation=work.generation)
    return theirs == slot and not isinstance(work, StartWork | CancelWork)


def found_live(
    view: View,
    slot: Slot,
    *,
    token_hash: str,
    sealed_token: str,
    sealed_package: str | None = None,
) -> Ruling[bool]:
    """`forwarded` → `live`: the IRMA server has stored the next token.

    The package has the pointer, where it could be looked up too.
    """
    row = view.step
    if row is None or not view.chain.takes(slot) or row.state is not StepState.FORWARDED:
        return Ruling(outcome=False)
    live = replace(
        row,
        state=StepState.LIVE,
        announced=True,
        live_at=row.forwarded_at,
        check_at=view.now + CHECK_LIVE,
        token_hash=token_hash,
        sealed_token=sealed_token,
        sealed_package=sealed_package,
    )
    return Ruling(outcome=True, steps=(live,), events=(started(view, row),))


def found_pointer(
    view: View, slot: Slot, *, token_hash: str, sealed_package: str
) -> Ruling[bool]:
    """The pointer of a session that was found live when it could not be looked up."""
    row = view.step
    if row is None or not view.chain.takes(slot) or row.state is not StepState.LIVE:
        return Ruling(outcome=False)
    if row.token_hash != token_hash or row.sealed_package is not None:
        return Ruling(outcome=False)
    known = replace(row, sealed_package=sealed_package)
    return Ruling(outcome=True, steps=(known,))


def found_lost(view: View, slot: Slot) -> Ruling[Detach]:
    """`forwarded` → `detached`: by H1 and H2 it was never started, or is lost."""
    row = view.step
    if row is None or not view.chain.takes(slot) or row.state is not StepState.FORWARDED:
        return Ruling(outcome=Detach.NOT_DETACHED)
    return Ruling(outcome=Detach.DETACHED, steps=(detached_row(row, view.now),))


def look_again(view: View) -> Ruling[None]:
    """Set the next check of a row that stays as it is (H5: 10 s, doubling to 60 s)."""
    row = view.step
    if row is None or row.check_at is None:
        return Ruling(outcome=None)
    pause = CHECK_LIVE
    if row.state is StepState.FORWARDED and row.forwarded_at is not None:
        pause = doubling(
            view.now - row.forwarded_at, CHECK_FORWARDED, CHECK_FORWARDED_MAX
        )
    return Ruling(outcome=None, steps=(replace(row, check_at=view.now + pause),))


def report_due(view: View) -> Ruling[bool]:
    """A final state was found stored: it is told to the session worker once more.

    The pause doubles, as a message that was told is only waiting to be taken.
    """
    row = view.step
    if row is None or row.state not in {StepState.LIVE, StepState.COMPLETED}:
        return Ruling(outcome=False)
    since = row.completed_at or row.live_at or row.created_at
    pause = doubling(view.now - since, CHECK_LIVE, CHECK_MAX)
    return Ruling(outcome=True, steps=(replace(row, check_at=view.now + pause),))


def look_soon(view: View) -> Ruling[None]:
    """A forwarded session should be stored by now: bring its look-up forward."""
    row = view.step
    soon = view.now + CHECK_AFTER_CALLBACK
    if row is None or row.state is not StepState.FORWARDED:
        return Ruling(outcome=None)
    if row.check_at is not None and row.check_at <= soon:
        return Ruling(outcome=None)
    return Ruling(outcome=None, steps=(replace(row, check_at=soon),))
