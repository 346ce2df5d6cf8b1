"""What the browser calls (reference irma.md §4.4)."""

import secrets

from aiohttp import web

from orchestrator.sandbox import sessions, sse
from orchestrator.sandbox.faults import Refused
from orchestrator.sandbox.http import SANDBOX, body_of, json_response, session_at
from orchestrator.sandbox.sessions import Session
from schemas.irma import (
    ErrorKind,
    InvalidDocument,
    JsonObject,
    parse_frontend_options_request,
)


def routes() -> list[web.RouteDef]:
    """The browser's routes."""
    frontend = "/irma/session/{clientToken:[^/]+}/frontend"
    return [
        web.get(f"{frontend}/status", status, allow_head=False),
        web.get(f"{frontend}/statusevents", status_events, allow_head=False),
        web.post(f"{frontend}/options", options),
        web.post(f"{frontend}/pairingcompleted", pairing_completed),
    ]


async def status(request: web.Request) -> web.Response:
    """The session's status and, when a next one was started, its pointer."""
    session = await _session(request)
    return json_response(shown(session, request.app[SANDBOX].config.url))


async def status_events(request: web.Request) -> web.StreamResponse:
    """The same, each time it changes."""
    url = request.app[SANDBOX].config.url
    session = await _session(request)
    return await sse.stream(request, session, lambda change: shown(change, url))


async def options(request: web.Request) -> web.Response:
    """Switch pairing on or off, or just read how it is."""
    session = await _session(request)
    body = await body_of(request, ErrorKind.MALFORMED_INPUT)
    try:
        asked = parse_frontend_options_request(body)
    except InvalidDocument as fault:
        raise Refused(ErrorKind.MALFORMED_INPUT, fault.message) from None
    after = sessions.with_pairing(session, asked.pairing_method, _pairing_code)
    request.app[SANDBOX].store.commit(session, after)
    return json_response(after.options().to_wire())


async def pairing_completed(request: web.Request) -> web.Response:
    """The user has typed the code."""
    session = await _session(request)
    request.app[SANDBOX].store.commit(session, sessions.paired(session))
    return web.Response(status=204)


def shown(session: Session, url: str) -> JsonObject:
    """What a frontend is told of a session."""
    fields: JsonObject = {"status": str(session.status)}
    if session.next is not None:
        fields["nextSession"] = session.next.pointer(url)
    return fields


async def _session(request: web.Request) -> Session:
    session = await session_at(request)
    if request.headers.get("Authorization") != session.frontend_token:
        raise Refused(ErrorKind.SESSION_UNAUTHORIZED)
    return session


def _pairing_code() -> str:
    """Four digits, new each time."""
    return f"{secrets.randbelow(10_000):04}"
