"""A session's changes as they happen (reference irma.md §1.3), if that is configured."""

from __future__ import annotations

from fastapi import APIRouter, Response

from orchestrator.gateway.desk import Desk
from orchestrator.gateway.faults import IrmaFault
from orchestrator.gateway.following import Following
from orchestrator.gateway.sessions import Known, known, result_of, status_of
from orchestrator.gateway.sse import EventStream
from schemas.irma import ErrorKind, Status


def events_routes(desk: Desk, following: Following | None = None) -> APIRouter:
    """The stream of a session's status."""
    router = APIRouter()
    following = following or Following()

    @router.get("/session/{token}/statusevents")
    async def statusevents(token: str) -> Response:
        """Server-sent events from now on; what the status is now is not among them."""
        session, status = await _standing(desk, token)
        if status.final:
            raise IrmaFault(
                ErrorKind.UNEXPECTED_REQUEST,
                "Can't subscribe to server sent events of finished session",
            )
        key = session.row.token_hash or ""
        place = following.admit(key)

        async def look() -> Status | None:
            return await status_of(desk, session)

        return EventStream(following.frames(key, status, look), desk.streams, place)

    return router


async def _standing(desk: Desk, token: str) -> tuple[Known, Status]:
    """A session as it stands; that it is unknown, this route says in its own way.

    It says so also where events are not configured; only its backend is not asked then.
    """
    try:
        session = await known(desk, token)
        if desk.options.sse:
            return session, (await result_of(desk, session)).status
    except IrmaFault:
        raise IrmaFault(ErrorKind.UNSUPPORTED) from None
    raise IrmaFault(ErrorKind.SSE_DISABLED)
