"""What requestors call: start, follow and cancel sessions (reference irma.md §1, §3)."""

from aiohttp import web

from orchestrator.sandbox import sse
from orchestrator.sandbox.authentication import Authenticated, authenticated
from orchestrator.sandbox.faults import Refused
from orchestrator.sandbox.http import (
    SANDBOX,
    body_of,
    json_response,
    text_response,
    token_in,
)
from orchestrator.sandbox.sessions import Session
from schemas.irma import (
    ErrorKind,
    InvalidSessionRequest,
    SessionRequest,
    parse_session_request,
    request_from_claims,
)


def routes() -> list[web.RouteDef]:
    """The requestor's routes."""
    session = "/session/{requestorToken:[^/]+}"
    return [
        web.post("/session", start),
        web.post("/session/", start),
        web.get(f"{session}/status", status, allow_head=False),
        web.get(f"{session}/statusevents", status_events, allow_head=False),
        web.get(f"{session}/result", result, allow_head=False),
        web.get(f"{session}/result-jwt", result_jwt, allow_head=False),
        web.get(f"{session}/getproof", proof, allow_head=False),
        web.delete(session, delete),
        web.delete(f"{session}/", delete),
        web.get("/publickey", public_key, allow_head=False),
        web.get("/health", health, allow_head=False),
    ]


async def start(request: web.Request) -> web.Response:
    """Start a session and answer with its package."""
    sandbox = request.app[SANDBOX]
    body = await body_of(request)
    by = requestor_of(request, body)
    session = sandbox.start(_asked(by, body), by.requestor)
    return json_response(session.package(sandbox.config.url))


def requestor_of(request: web.Request, body: bytes) -> Authenticated:
    """Who makes a request."""
    sandbox = request.app[SANDBOX]
    return authenticated(
        sandbox.config,
        content_type=request.headers.get("Content-Type", ""),
        authorization=request.headers.get("Authorization"),
        body=body,
        now=sandbox.clock(),
    )


def _asked(by: Authenticated, body: bytes) -> SessionRequest:
    try:
        if by.claims is not None:
            return request_from_claims(by.claims)
        return parse_session_request(body)
    except InvalidSessionRequest as fault:
        raise Refused(ErrorKind.INVALID_REQUEST, fault.message) from None


async def status(request: web.Request) -> web.Response:
    """The session's status, a JSON string."""
    return json_response((await _session(request)).status)


async def status_events(request: web.Request) -> web.StreamResponse:
    """The same, each time it changes; no session is told of in its own way (§1.1)."""
    token = token_in(request, "requestorToken")
    try:
        session = await request.app[SANDBOX].by_requestor(token)
    except Refused:
        raise Refused(ErrorKind.UNSUPPORTED) from None
    return await sse.stream(request, session)


async def result(request: web.Request) -> web.Response:
    """The session's result as it stands."""
    return json_response((await _session(request)).result().to_wire())


async def result_jwt(request: web.Request) -> web.Response:
    """The session's result as it stands, signed."""
    sandbox = request.app[SANDBOX]
    session = await _session(request)
    return text_response(sandbox.signer.result_jwt(session, sandbox.clock()))


async def proof(request: web.Request) -> web.Response:
    """The session's result as it stands, signed in a form of old."""
    sandbox = request.app[SANDBOX]
    session = await _session(request)
    return text_response(sandbox.signer.legacy_jwt(session, sandbox.clock()))


async def delete(request: web.Request) -> web.Response:
    """Cancel the session; nothing happens to one that is over."""
    sandbox = request.app[SANDBOX]
    await sandbox.cancel(await sandbox.by_requestor(token_in(request, "requestorToken")))
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
    return await request.app[SANDBOX].seen_by_requestor(token)
