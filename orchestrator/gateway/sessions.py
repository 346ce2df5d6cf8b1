"""What is known of a session: its row, and its result from us or from its backend."""

from __future__ import annotations

import re
from typing import Final

from orchestrator.domain.chain import ChainState, Step
from orchestrator.domain.errors import BackendUnavailable
from orchestrator.gateway.desk import Desk
from orchestrator.gateway.faults import IrmaFault
from schemas.irma import ErrorKind, SessionResult, Status

#: The IRMA server looks for a token anywhere in the path segment.
_TOKEN: Final = re.compile(r"[A-Za-z0-9]{20}")


async def row_of(desk: Desk, text: str) -> Step:
    """The row of the session whose token stands in the path."""
    found = _TOKEN.search(text)
    if found is None:
        raise IrmaFault(
            ErrorKind.INVALID_REQUEST,
            "string did not pass input validation for requestorToken",
        )
    row = await desk.store.step_by_token(desk.sealer.token_hash(found.group()))
    if row is None:
        raise IrmaFault(ErrorKind.SESSION_UNKNOWN)
    return row


async def result_of(desk: Desk, text: str) -> tuple[SessionResult, Step]:
    """A session's result: ours once it is final, until then the backend's."""
    row = await row_of(desk, text)
    stored = desk.rows.result(row)
    if row.final_status is None or stored is None:
        found = await _looked_up(desk, row, needed=stored is None)
        if found is not None:
            return found, row
        if stored is None:
            raise IrmaFault(ErrorKind.SESSION_UNKNOWN)
    return await _finished(desk, row, stored), row


async def _finished(desk: Desk, row: Step, stored: SessionResult) -> SessionResult:
    """The stored result with the token of the next session, wherever that was started.

    A result that was taken in stays DONE although the backend has lost that update; only
    where the chain failed on it, it is CANCELLED for everybody (reference irma.md §7.7).
    """
    status = Status(row.final_status) if row.final_status else stored.status
    if row.completed_at is not None and status is not Status.DONE and status.final:
        chain = await desk.store.chain(row.slot.chain_id)
        if chain is not None and chain.state is ChainState.FAILED:
            return SessionResult(token=stored.token, status=status, type=stored.type)
        status = Status.DONE
    following = await desk.store.step(row.slot.following)
    next_token = desk.rows.token(following) if following else None
    update = {"status": status, "next_session": next_token or stored.next_session}
    return stored.model_copy(update=update)


async def _looked_up(desk: Desk, row: Step, *, needed: bool) -> SessionResult | None:
    """What the backend has stored; unless that is all there is, it may be away."""
    token = desk.rows.token(row)
    if token is None:
        return None
    try:
        return await desk.backend.result(token)
    except BackendUnavailable:
        if needed:
            raise
        return None
