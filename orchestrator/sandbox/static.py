"""Sessions that anybody starts by scanning a printed QR code (reference irma.md §7.9)."""

from aiohttp import web

from orchestrator.sandbox.faults import Refused
from orchestrator.sandbox.http import SANDBOX, json_response
from schemas.irma import ErrorKind


def routes() -> list[web.RouteDef]:
    """The route an app calls once it has scanned such a code."""
    return [web.post("/irma/session/{name:[^/]+}", start)]


async def start(request: web.Request) -> web.Response:
    """Start a session as configured, for no requestor in particular (trap T35)."""
    sandbox = request.app[SANDBOX]
    configured = sandbox.config.static_request(request.match_info["name"])
    if configured is None:
        raise Refused(ErrorKind.INVALID_REQUEST, "unknown static session")
    try:
        session = sandbox.begin(configured, "")
    except Refused as refusal:
        message = refusal.error.message or ""
        raise Refused(ErrorKind.MALFORMED_INPUT, message) from None
    return json_response(session.pointer(sandbox.config.url))
