"""What goes wrong at the pretend server, switched on and off (see `sandbox.knobs`)."""

import asyncio

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from orchestrator.sandbox import sse
from orchestrator.sandbox.faults import Refused
from orchestrator.sandbox.http import RUNNING, SANDBOX, body_of, json_response
from orchestrator.sandbox.knobs import InvalidFaults, Knob, parse_faults
from orchestrator.sandbox.retries import GIVEN
from schemas.irma import ErrorKind

log = structlog.get_logger(__name__)


def routes() -> list[web.RouteDef]:
    """The routes of whoever makes trouble."""
    return [
        web.get("/sandbox/faults", faults, allow_head=False),
        web.put("/sandbox/faults", set_faults),
        web.post("/sandbox/restart", restart),
    ]


async def faults(request: web.Request) -> web.Response:
    """What is on, and for how many times more."""
    return json_response(request.app[SANDBOX].knobs.faults.model_dump(mode="json"))


async def set_faults(request: web.Request) -> web.Response:
    """Switch on what is named, and everything else off."""
    refuse_other_sites(request)
    try:
        request.app[SANDBOX].knobs.faults = parse_faults(await body_of(request))
    except InvalidFaults as fault:
        raise Refused(ErrorKind.INVALID_REQUEST, str(fault)) from None
    return await faults(request)


async def restart(request: web.Request) -> web.Response:
    """Forget every session and break off what is worked on, as a restart does."""
    refuse_other_sites(request)
    request.app[SANDBOX].restart()
    request.app[GIVEN].clear()
    for handler in request.app[RUNNING] - {asyncio.current_task()}:
        handler.cancel()
    await sse.close_streams(request.app)
    return web.Response(status=204)


def refuse_other_sites(request: web.Request) -> None:
    """A page of another site may not press buttons here; programs send no origin."""
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != request.host:
        raise Refused(ErrorKind.UNAUTHORIZED, "not from this site")


@web.middleware
async def reset_after_processing(
    request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Break the app's connection when its proofs were processed, if that fault is on."""
    response = await handler(request)
    processed = response.status == web.HTTPOk.status_code and request.path.endswith(
        ("/proofs", "/commitments")
    )
    if processed and request.app[SANDBOX].knobs.happens(Knob.RESET_AFTER_PROCESSING):
        log.warning("connection_reset")
        if request.transport is not None:
            request.transport.abort()
    return response
