"""What requestors call: start, follow and cancel sessions (reference irma.md §1, §3)."""

from aiohttp import web

from orchestrator.sandbox.config import SandboxConfig
from orchestrator.sandbox.faults import Refused
from orchestrator.sandbox.http import (
    SANDBOX,
    body_of,
    json_response,
    text_response,
    token_in,
)
from orchestrator.sandbox.sessions import Session
from schemas.irma import ErrorKind, InvalidSessionRequest, parse_session_request


def routes() -> list[web.RouteDef]:
    """The requestor's routes."""
    session = "/session/{requestorToken:[^/]+}"
    return [
        web.post("/session", start),
        web.post("/session/", start),
        web.get(f"{session}/status", status, allow_head=False),
        web.get(f"{session}/result", result, allow_head=False),
        web.get(f"{session}/result-jwt", result_jwt, allow_head=False),
        web.delete(session, delete),
        web.get("/publickey", public_key, allow_head=False),
        web.get("/health", health, allow_head=False),
    ]


async def start(request: web.Request) -> web.Response:
    """Start a session and answer with its package."""
    sandbox = request.app[SANDBOX]
    body = await body_of(request)
    requestor = authenticated(
        sandbox.config,
        content_type=request.headers.get("Content-Type", ""),
        authorization=request.headers.get("Authorization"),
    )
    try:
        session_request = parse_session_request(body)
    except InvalidSessionRequest as fault:
        raise Refused(ErrorKind.INVALID_REQUEST, fault.message) from None
    session = sandbox.start(session_request, requestor)
    return json_response(session.package(sandbox.config.url))


def authenticated(
    config: SandboxConfig, *, content_type: str, authorization: str | None
) -> str:
    """The requestor's name; "" where nobody has to authenticate (irma.md §3.1)."""
    if not content_type.startswith(("application/json", "text/plain")):
        message = f"Unsupported Content-Type: {content_type}"
        raise Refused(ErrorKind.INVALID_REQUEST, message)
    header_expected = bool(config.requestors)
    json_given = content_type.startswith("application/json")
    if not json_given or (authorization is not None) != header_expected:
        raise Refused(ErrorKind.INVALID_REQUEST, "request could not be authenticated")
    if not header_expected:
        return ""
    for name, requestor in config.requestors.items():
        if requestor.key == authorization:
            return name
    raise Refused(ErrorKind.UNAUTHORIZED)


async def status(request: web.Request) -> web.Response:
    """The session's status, a JSON string."""
    return json_response((await _session(request)).status)


async def result(request: web.Request) -> web.Response:
    """The session's result as it stands."""
    return json_response((await _session(request)).result().to_wire())


async def result_jwt(request: web.Request) -> web.Response:
    """The session's result as it stands, signed."""
    sandbox = request.app[SANDBOX]
    session = await _session(request)
    return text_response(sandbox.signer.result_jwt(session, sandbox.clock()))


async def delete(request: web.Request) -> web.Response:
    """Cancel the session; nothing happens to one that is over."""
    await request.app[SANDBOX].cancel(await _session(request))
    return web.Response()


async def public_key(request: web.Request) -> web.Response:
    """The key to verify results with."""
    pem = request.app[SANDBOX].signer.public_pem()
    return web.Response(text=pem.decode())


async def health(_: web.Request) -> web.Response:
    """Whether the server is there."""
    return text_response("OK")


async def _session(request: web.Request) -> Session:
    token = token_in(request, "requestorToken")
    return await request.app[SANDBOX].by_requestor(token)
