"""The hand-over of a claimed slot: offered, forwarded or detached, starting, live.

`claiming.py` makes the row, `lookup.py` finds out what became of a forwarded session,
`settling.py` ends it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum, auto

from orchestrator.domain import happenings
from orchestrator.domain.chain import Ending, Slot, Step, StepState, View
from orchestrator.domain.ruling import (
    CHECK_FORWARDED,
    CHECK_LIVE,
    CHECK_MAX,
    START_LEASE,
    START_PAUSE,
    Ruling,
    detached_row,
    doubling,
    end_chain,
    started,
)
from schemas.messages import End


class Forward(Enum):
    """What the gateway may answer the IRMA server."""

    FORWARDED = auto()
    NOT_FORWARDED = auto()
    #: The offer is another session's, whose gateway may still claim it.
    ANOTHERS = auto()


def forward(view: View, slot: Slot, *, token_hash: str) -> Ruling[Forward]:
    """`offered` → `forwarded` before the deadline; only then the gateway answers 200.

    The offer belongs to the session whose result has claimed it, which is the one that
    the row of its step points to, and the one that is looked up (H1): no other session of
    the step may start a second one (G2). A row that is `forwarded` already gives the same
    answer again (a repeated POST, or an unknown fate: H8); from then on another handler
    may be starting the session, so its times count anew (H1, H2).

    Args:
        view: what is around the step whose session asks.
        slot: that step; the offer is in the slot after it.
        token_hash: of the session that asks.
    """
    asking, row = view.step, view.following
    if asking is None or row is None or not view.chain.takes(slot):
        return Ruling(outcome=Forward.NOT_FORWARDED)
    if asking.token_hash != token_hash:
        return Ruling(outcome=Forward.ANOTHERS)
    if row.state is StepState.FORWARDED:
        again = replace(row, forwarded_at=view.now)
        return Ruling(outcome=Forward.FORWARDED, steps=(again,))
    in_time = row.deadline is not None and view.now < row.deadline
    if row.state is not StepState.OFFERED or not in_time:
        return Ruling(outcome=Forward.NOT_FORWARDED)
    forwarded = replace(
        row,
        state=StepState.FORWARDED,
        forwarded_at=view.now,
        check_at=view.now + CHECK_FORWARDED,
    )
    return Ruling(outcome=Forward.FORWARDED, steps=(forwarded,))


class Detach(Enum):
    """Whether the caller has to publish the start (rule H5)."""

    DETACHED = auto()
    NOT_DETACHED = auto()


def detach(view: View, slot: Slot) -> Ruling[Detach]:
    """`offered` → `detached`: the app is not waiting any more."""
    row = view.step
    if row is None or not view.chain.takes(slot) or row.state is not StepState.OFFERED:
        return Ruling(outcome=Detach.NOT_DETACHED)
    return Ruling(outcome=Detach.DETACHED, steps=(detached_row(row, view.now),))


class Due(Enum):
    """What the clock has to do about a session that is not started yet."""

    START = auto()
    EXPIRED = auto()
    NOTHING = auto()


def due_start(view: View, slot: Slot, *, wall_time: timedelta) -> Ruling[Due]:
    """The start of a detached session is due (again), unless the chain is too old."""
    row = view.step
    if row is None or not view.chain.takes(slot):
        return Ruling(outcome=Due.NOTHING)
    if row.state not in {StepState.DETACHED, StepState.STARTING}:
        return Ruling(outcome=Due.NOTHING)
    if view.now - view.chain.since > wall_time:
        return _expired(view, slot, row)
    again = replace(row, check_at=view.now + _start_pause(view.now, row))
    return Ruling(outcome=Due.START, steps=(again,))


def _expired(view: View, slot: Slot, row: Step) -> Ruling[Due]:
    reason = "the session could not be started within the life of the chain"
    final = replace(row, state=StepState.EXPIRED, check_at=None, reason=reason)
    event = happenings.session_ended(
        view.chain, row, "session.expired", view.now, status="EXPIRED", reason=reason
    )
    ending = Ending(end=End.EXPIRED, cause=event.id, reason=reason)
    return end_chain(view, slot, ending, Due.EXPIRED, steps=(final,), events=(event,))


def _start_pause(now: datetime, row: Step) -> timedelta:
    return doubling(now - row.created_at, START_PAUSE, CHECK_MAX)


class Lease(Enum):
    """Whether this worker may start the session."""

    MINE = auto()
    NOT_MINE = auto()
    #: It is live already: announce it again under the same id (rule H7).
    LIVE = auto()


def lease_start(view: View, slot: Slot, *, owner: str) -> Ruling[Lease]:
    """`detached`, or `starting` with its lease over, → `starting` by this owner."""
    row = view.step
    if row is None or not view.chain.takes(slot):
        return Ruling(outcome=Lease.NOT_MINE)
    if row.state is StepState.LIVE:
        return Ruling(outcome=Lease.LIVE, events=(started(view, row),))
    over = row.lease_until is not None and row.lease_until <= view.now
    if row.state is not StepState.DETACHED and not (
        row.state is StepState.STARTING and over
    ):
        return Ruling(outcome=Lease.NOT_MINE)
    until = view.now + START_LEASE
    return Ruling(
        outcome=Lease.MINE,
        steps=(
            replace(
                row,
                state=StepState.STARTING,
                lease_owner=owner,
                lease_until=until,
                check_at=until,
            ),
        ),
    )


class WentLive(Enum):
    """Whether the session this worker has started is the step's session."""

    LIVE = auto()
    #: It is not, and has to be cancelled (rule H8: the row was read).
    SUPERSEDED = auto()


def went_live(
    view: View,
    slot: Slot,
    *,
    owner: str,
    token_hash: str,
    sealed_token: str,
    sealed_package: str,
) -> Ruling[WentLive]:
    """`starting` → `live` by the owner of the lease; `session.started` goes with it.

    A row that points to this very session was written by us, whatever it is by now.
    """
    row = view.step
    if row is not None and row.token_hash == token_hash:
        return Ruling(outcome=WentLive.LIVE, events=(started(view, row),))
    if (
        row is None
        or not view.chain.takes(slot)
        or row.state is not StepState.STARTING
        or row.lease_owner != owner
    ):
        return Ruling(outcome=WentLive.SUPERSEDED)
    live = replace(
        row,
        state=StepState.LIVE,
        announced=True,
        live_at=view.now,
        check_at=view.now + CHECK_LIVE,
        lease_owner=None,
        lease_until=None,
        token_hash=token_hash,
        sealed_token=sealed_token,
        sealed_package=sealed_package,
    )
    return Ruling(outcome=WentLive.LIVE, steps=(live,), events=(started(view, live),))


def start_later(view: View, *, owner: str) -> Ruling[None]:
    """`starting` → `detached`: the backend was away; the clock tries again."""
    row = view.step
    if (
        row is None
        or not view.chain.takes(row.slot)
        or row.state is not StepState.STARTING
        or row.lease_owner != owner
    ):
        return Ruling(outcome=None)
    waiting = replace(
        row,
        state=StepState.DETACHED,
        check_at=view.now + _start_pause(view.now, row),
        lease_owner=None,
        lease_until=None,
    )
    return Ruling(outcome=None, steps=(waiting,))


def start_refused(view: View, slot: Slot, *, owner: str, reason: str) -> Ruling[bool]:
    """`starting` → `failed`, and the chain with it: the backend refuses the request."""
    row = view.step
    if (
        row is None
        or not view.chain.takes(slot)
        or row.state is not StepState.STARTING
        or row.lease_owner != owner
    ):
        return Ruling(outcome=False)
    failed = replace(row, state=StepState.FAILED, check_at=None, reason=reason)
    event = happenings.session_ended(
        view.chain, row, "session.failed", view.now, status="FAILED", reason=reason
    )
    ending = Ending(end=End.FAILED, cause=event.id, reason=reason)
    return end_chain(
        view,
        slot,
        ending,
        True,
        steps=(failed,),
        events=(event,),
    )
