"""Status changes as server-sent events (reference irma.md §1.3).

A listener hears of changes only: nothing of where the session stands when it comes, and
nothing it missed (trap T37).
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Final

from aiohttp import web

from orchestrator.sandbox.faults import LostUpdate, Refused
from orchestrator.sandbox.http import SANDBOX
from orchestrator.sandbox.sessions import Session, expiry
from schemas.irma import ErrorKind, JsonObject, Status

#: How long after somebody subscribed all listeners of a channel get `event: open`.
OPEN_S: Final = 0.2

_OPEN: Final = b"event: open\n\n"
_HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "Connection": "keep-alive",
    "X-Accel-Buffering": "no",
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, OPTIONS",
    "Access-Control-Allow-Headers": (
        "Keep-Alive,X-Requested-With,Cache-Control,Content-Type,Last-Event-ID"
    ),
}


class Events:
    """Who listens to which session."""

    def __init__(self) -> None:
        self._channels: dict[str, set[asyncio.Queue[Session | None]]] = {}

    @contextlib.contextmanager
    def subscribed(self, client_token: str) -> Iterator[asyncio.Queue[Session | None]]:
        """A queue of a session's changes; None stands for `event: open`."""
        queue: asyncio.Queue[Session | None] = asyncio.Queue()
        listeners = self._channels.setdefault(client_token, set())
        listeners.add(queue)
        asyncio.get_running_loop().call_later(OPEN_S, _tell, listeners, None)
        try:
            yield queue
        finally:
            listeners.discard(queue)
            if not listeners:
                self._channels.pop(client_token, None)

    def published(self, session: Session) -> None:
        """Tell the listeners of a session what it is now."""
        _tell(self._channels.get(session.client_token, set()), session)


EVENTS: Final = web.AppKey("events", Events)
#: The streams that are open; they end with the server.
STREAMS: Final = web.AppKey("streams", set[asyncio.Task[None]])


def status_of(session: Session) -> str:
    """What requestors and apps hear."""
    return session.status


async def stream(
    request: web.Request,
    session: Session,
    shown: Callable[[Session], JsonObject | str] = status_of,
) -> web.StreamResponse:
    """Tell the caller of a session's changes until it is over."""
    if not request.app[SANDBOX].config.sse:
        raise Refused(ErrorKind.SSE_DISABLED)
    if session.status.final:
        raise Refused(
            ErrorKind.UNEXPECTED_REQUEST,
            "Can't subscribe to server sent events of finished session",
        )
    response = web.StreamResponse(headers=_HEADERS)
    with request.app[EVENTS].subscribed(session.client_token) as queue:
        await response.prepare(request)
        telling = asyncio.create_task(_tell_on(request, response, queue, session, shown))
        request.app[STREAMS].add(telling)
        try:
            await asyncio.wait({telling})
        finally:
            telling.cancel()
            request.app[STREAMS].discard(telling)
    if not telling.cancelled():
        telling.result()
    return response


async def close_streams(app: web.Application) -> None:
    """No stream keeps the server from stopping."""
    streams = app[STREAMS]
    for telling in tuple(streams):
        telling.cancel()


async def _tell_on(
    request: web.Request,
    response: web.StreamResponse,
    queue: asyncio.Queue[Session | None],
    session: Session,
    shown: Callable[[Session], JsonObject | str],
) -> None:
    told: Status = session.status
    # The listener may have left, and the session may be forgotten.
    with contextlib.suppress(ConnectionResetError, Refused):
        while not told.final:
            change = await _next(request, queue, session)
            if change is None:
                await response.write(_OPEN)
                continue
            session = change
            if change.status is not told:
                told = change.status
                data = json.dumps(shown(change), separators=(",", ":"))
                await response.write(f"data: {data}\n\n".encode())


async def _next(
    request: web.Request, queue: asyncio.Queue[Session | None], session: Session
) -> Session | None:
    """The next thing to tell; when the time comes, that the session timed out."""
    sandbox = request.app[SANDBOX]
    left_s = expiry(session, sandbox.config.max_session_lifetime_s) - sandbox.clock()
    try:
        return await asyncio.wait_for(queue.get(), max(left_s, OPEN_S))
    except TimeoutError:
        pass
    try:
        return await sandbox.by_client(session.client_token)
    except LostUpdate:
        return await queue.get()


def _tell(listeners: set[asyncio.Queue[Session | None]], session: Session | None) -> None:
    for queue in listeners:
        queue.put_nowait(session)
