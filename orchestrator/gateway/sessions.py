"""What is known of a session: its row, and its result from us or from its backend."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from orchestrator.domain.chain import Chain, ChainState, Step, StepState
from orchestrator.domain.errors import BackendRefused, BackendUnavailable, Unavailable
from orchestrator.domain.retention import Retention
from orchestrator.gateway.connecting import noticed
from orchestrator.gateway.desk import Desk
from orchestrator.gateway.faults import IrmaFault
from orchestrator.gateway.forwarded import found_live
from schemas.irma import ErrorKind, SessionResult, SessionType, Status


@dataclass(frozen=True, kw_only=True)
class Known:
    """A session that was started here: its token, its row and its chain's."""

    token: str
    row: Step
    chain: Chain

    @property
    def open(self) -> bool:
        """Whether its backend may know more than we do."""
        return self.row.final_status is None


async def known(desk: Desk, token: str) -> Known:
    """The session whose token stands in the path.

    Raises:
        IrmaFault: no such session, or its time to be told of is over.
    """
    row = await desk.store.step_by_token(desk.sealer.token_hash(token))
    chain = await desk.store.chain(row.slot.chain_id) if row else None
    if (
        row is None
        or chain is None
        or over(chain, desk.options.results_kept, desk.clock())
    ):
        raise IrmaFault(ErrorKind.SESSION_UNKNOWN)
    return Known(token=token, row=row, chain=chain)


def over(chain: Chain, kept: Retention, now: datetime) -> bool:
    """Whether the results of a chain are told no more, purged already or not."""
    before = kept.ended_before(chain.requestor, now)
    long_ended = chain.ended_at is not None and chain.ended_at < before
    return long_ended or chain.purged_at is not None


async def result_of(desk: Desk, session: Known) -> SessionResult:
    """A session's result: ours once it is final, until then the backend's.

    Raises:
        IrmaFault: SESSION_UNKNOWN, the backend has forgotten it and we know no more.
        BackendUnavailable: only the backend could tell, and it is away.
    """
    stored = desk.rows.result(session.row)
    found = None
    if session.open:
        found = await _looked_up(desk, session.token, needed=stored is None)
        noticed(desk, session.chain, session.row, found.status if found else None)
    result = told(session, stored, found)
    if result is None:
        raise IrmaFault(ErrorKind.SESSION_UNKNOWN)
    return await _with_next(desk, session, result, found)


def told(
    session: Known, stored: SessionResult | None, found: SessionResult | None
) -> SessionResult | None:
    """What a session's requestor is told, or None when nobody knows anything.

    A result that was taken in stays, although the backend has lost that update; only
    where the chain has failed on it, the app was refused too and the session ends as its
    backend says (reference irma.md §7.7): cancelled without its attributes, or timed out.

    Args:
        session: its rows.
        stored: the result that was taken in, if any.
        found: what the backend has stored, as far as it was asked and knew.
    """
    failed = session.chain.state is ChainState.FAILED
    lost = found is not None and found.status in {Status.CANCELLED, Status.TIMEOUT}
    if found is not None and not (lost and stored is not None and not failed):
        return found
    if session.row.final_status is None:
        return stored
    status = Status(session.row.final_status)
    taken_in = session.row.completed_at is not None and status is not Status.DONE
    if stored is None or (taken_in and failed and status is Status.CANCELLED):
        type_ = SessionType(session.row.session_type)
        return SessionResult(token=session.token, status=status, type=type_)
    if taken_in and not failed:
        status = Status.DONE
    return stored.model_copy(update={"status": status})


async def status_of(desk: Desk, session: Known) -> Status | None:
    """A session's status, or None when nobody can tell just now.

    Its backend is asked for no more than that; the end of a session is ours to tell.
    """
    try:
        if session.open:
            status = await desk.backend.status(session.token)
            noticed(desk, session.chain, session.row, status)
            if status is not None and not status.final:
                return status
    except (BackendUnavailable, BackendRefused):
        pass
    try:
        again = await known(desk, session.token)
        return (await result_of(desk, again)).status
    except (Unavailable, BackendRefused, IrmaFault):
        return None


async def _with_next(
    desk: Desk, session: Known, result: SessionResult, found: SessionResult | None
) -> SessionResult:
    """The result with the token of the next session, wherever that was started.

    Only our row tells: what the backend names may be a session that was given up, and
    what it has announced may never have been stored (H1).

    Args:
        desk: the gateway's tools.
        session: the rows of the session.
        result: what is told of it.
        found: what the backend has stored, if it was asked just now.
    """
    if session.row.completed_at is None and result.next_session is None:
        return result
    following = await desk.store.step(session.row.slot.following)
    if following is not None and following.state is StepState.FORWARDED:
        following = await _found(desk, session, following, found)
    token = desk.rows.token(following) if following else None
    return result.model_copy(update={"next_session": token})


async def _found(
    desk: Desk, session: Known, following: Step, found: SessionResult | None
) -> Step:
    """The row of a forwarded session, `live` if its backend has stored so by now."""
    try:
        stored = found or await desk.backend.result(session.token)
    except (BackendUnavailable, BackendRefused):
        return following
    if stored is None or stored.status is not Status.DONE or not stored.next_session:
        return following
    await found_live(desk, session.row, stored.next_session)
    return await desk.store.step(following.slot) or following


async def _looked_up(desk: Desk, token: str, *, needed: bool) -> SessionResult | None:
    """What the backend has stored; unless that is all there is, it may be away."""
    try:
        return await desk.backend.result(token)
    except BackendUnavailable:
        if needed:
            raise
        return None
