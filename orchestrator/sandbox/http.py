"""The manners of an IRMA server's HTTP side: errors, content types, the hard cut (§1)."""

import asyncio
import json
import re
from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from orchestrator.sandbox.chaining import Sandbox
from orchestrator.sandbox.faults import LostUpdate, Refused
from orchestrator.sandbox.sessions import Session
from schemas.irma import ErrorKind, IrmaError, JsonObject, irma_error

log = structlog.get_logger(__name__)

SANDBOX: Final = web.AppKey("sandbox", Sandbox)
#: Handlers at work, those included whose caller was already sent away.
RUNNING: Final = web.AppKey("running", set[asyncio.Task[web.StreamResponse]])

#: A larger request body is refused (reference irma.md §1.2).
BODY_BYTES_MAX: Final = 10 * 1024 * 1024

_TOKEN: Final = re.compile("[A-Za-z0-9]{20}")
_CUT_BODY: Final = (
    "<html><head><title>Timeout</title></head><body><h1>Timeout</h1></body></html>"
)


def json_response(document: JsonObject | str, status: int = 200) -> web.Response:
    """A JSON answer with the content type an IRMA server gives it."""
    return web.Response(
        status=status,
        body=json.dumps(document).encode(),
        headers={"Content-Type": "application/json; charset=UTF-8"},
    )


def text_response(text: str) -> web.Response:
    """A text answer; the content type names no charset."""
    return web.Response(body=text.encode(), headers={"Content-Type": "text/plain"})


def token_in(request: web.Request, name: str) -> str:
    """The token in a path; all that stands there counts."""
    return request.match_info[name]


@web.middleware
async def tokens(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Look at the token in a path before there is a route; as loosely as upstream."""
    name, token = "", ""
    match request.path.split("/")[1:]:
        case ["session", token, *rest] if token or rest:
            name = "requestorToken"
        case ["irma", "session", _] if request.method == "POST":
            pass  # a static session, by its name
        case ["irma", "session", token, *rest] if token or rest:
            name = "clientToken"
    if name and not _TOKEN.search(token):
        raise Refused(
            ErrorKind.INVALID_REQUEST,
            f"string did not pass input validation for {name}",
        )
    return await handler(request)


async def session_at(request: web.Request) -> Session:
    """The session in a path below `/irma/session`, if it may be asked for here (§2.2)."""
    session = await request.app[SANDBOX].by_client(token_in(request, "clientToken"))
    host = session.request.request.host
    if host and host != request.host:
        raise Refused(ErrorKind.UNAUTHORIZED, "Host mismatch")
    return session


async def body_of(
    request: web.Request, kind: ErrorKind = ErrorKind.INVALID_REQUEST
) -> bytes:
    """The body of a request, if it is not too large nor too slow."""
    try:
        async with asyncio.timeout(request.app[SANDBOX].config.read_timeout_s):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise Refused(kind, "http: request body too large") from None
    except TimeoutError:
        raise Refused(kind, "i/o timeout") from None


def refusal_response(refusal: Refused) -> web.Response:
    """A refusal as an IRMA error."""
    return json_response(refusal.error.to_wire(), refusal.http_status)


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every failure as an IRMA server does."""
    try:
        return await handler(request)
    except Refused as refusal:
        return refusal_response(refusal)
    except LostUpdate:
        kind = ErrorKind.INTERNAL_ERROR
        return json_response(irma_error(kind).to_wire(), kind.http_status)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as fault:
        return _no_such_route(request, fault)


def cut(limit_s: float) -> Middleware:
    """Answer 503 when a handler takes too long, and let it go on (irma.md §1.2)."""

    @web.middleware
    async def cut_off(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.endswith("/statusevents"):
            return await handler(request)

        async def handled() -> web.StreamResponse:
            return await handler(request)

        task = asyncio.create_task(handled())
        request.app[RUNNING].add(task)
        task.add_done_callback(request.app[RUNNING].discard)
        await asyncio.wait({task}, timeout=limit_s)
        if task.done():
            return task.result()
        log.warning("handler_cut_off")
        task.add_done_callback(_log_late_failure)
        return web.Response(status=503, text=_CUT_BODY, content_type="text/html")

    return cut_off


def _log_late_failure(task: asyncio.Task[web.StreamResponse]) -> None:
    """Nobody waits for a handler that was cut off; its failure must not pass unseen."""
    if not task.cancelled() and (fault := task.exception()):
        log.error("late_handler_failed", fault=type(fault).__name__)


def _no_such_route(request: web.Request, fault: web.HTTPException) -> web.Response:
    """JSON under `/irma/`; elsewhere Go's text for 404 and nothing for 405."""
    if request.path.startswith("/irma/"):
        error = IrmaError(status=fault.status, error=ErrorKind.INVALID_REQUEST.error)
        return json_response(error.to_wire(), fault.status)
    if fault.status == web.HTTPNotFound.status_code:
        return web.Response(status=fault.status, text="404 page not found\n")
    return web.Response(status=fault.status)
