"""What the app and the browser call (reference irma.md §4.4, §4.5).

The app's proofs are those of `orchestrator.sandbox.disclosure`; what is issued comes back
in `sigs`, as plain attribute values.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import JsonValue

from orchestrator.sandbox import sse
from orchestrator.sandbox.disclosure import parse_proofs
from orchestrator.sandbox.faults import Refused
from orchestrator.sandbox.http import SANDBOX, body_of, json_response, session_at
from orchestrator.sandbox.retries import repeatable
from orchestrator.sandbox.revocation import remember_issued
from orchestrator.sandbox.sessions import Session, check_app
from schemas.irma import ErrorKind, IssuanceRequest, JsonObject, SessionType, Status

#: Times of issuance are known to the week only (reference irma.md §2.4).
WEEK_S: Final = 604_800

#: Answers the app in one session.
AppHandler: TypeAlias = Callable[[web.Request, Session], Awaitable[web.Response]]


def routes() -> list[web.RouteDef]:
    """The app's routes, and what needs no more than the pointer."""
    session = "/irma/session/{clientToken:[^/]+}"
    return [
        web.get(session, _repeatable(connect), allow_head=False),
        web.get(f"{session}/request", _repeatable(session_request), allow_head=False),
        web.post(f"{session}/proofs", _repeatable(proofs)),
        web.post(f"{session}/commitments", _repeatable(commitments)),
        web.delete(session, delete),
        web.get(f"{session}/status", status, allow_head=False),
        web.get(f"{session}/statusevents", status_events, allow_head=False),
    ]


async def connect(request: web.Request, session: Session) -> web.Response:
    """The app's first call: it gets the session request, or the code to pair with."""
    versions = (
        _version(request, "X-IRMA-MinProtocolVersion"),
        _version(request, "X-IRMA-MaxProtocolVersion"),
    )
    sandbox = request.app[SANDBOX]
    token = request.headers.get("Authorization", "")
    after = await sandbox.connect(session, token, versions)
    answer: JsonObject = {
        "@context": "https://irma.app/ld/request/client/v1",
        "protocolVersion": "2.8",
        "options": after.options().to_wire(),
    }
    if after.status is Status.CONNECTED:
        answer["request"] = _shown_to_app(after, production=sandbox.config.production)
    return json_response(answer)


async def session_request(request: web.Request, session: Session) -> web.Response:
    """The session request once more, or once paired."""
    check_app(session, request.headers.get("Authorization", ""))
    production = request.app[SANDBOX].config.production
    return json_response(_shown_to_app(session, production=production))


async def proofs(request: web.Request, session: Session) -> web.Response:
    """The app discloses, or signs."""
    check_app(session, request.headers.get("Authorization", ""))
    if session.request.type is SessionType.ISSUING:
        raise Refused(ErrorKind.INVALID_REQUEST, "proofs on an issuing session")
    return json_response(await _proved(request, session))


async def commitments(request: web.Request, session: Session) -> web.Response:
    """The app takes the credentials, disclosing what was asked for."""
    check_app(session, request.headers.get("Authorization", ""))
    if not isinstance(session.request.request, IssuanceRequest):
        raise Refused(ErrorKind.INVALID_REQUEST, "commitments on another session")
    answer = await _proved(request, session)
    remember_issued(request.app, session)
    now = request.app[SANDBOX].clock()
    return json_response({**answer, "sigs": _issued(session.request.request, now)})


async def delete(request: web.Request) -> web.Response:
    """Cancel the session; the pointer is all the credential it takes."""
    await request.app[SANDBOX].cancel(await session_at(request))
    return web.Response()


async def status(request: web.Request) -> web.Response:
    """The session's status, a JSON string."""
    return json_response((await session_at(request)).status)


async def status_events(request: web.Request) -> web.StreamResponse:
    """The same, each time it changes."""
    return await sse.stream(request, await session_at(request))


def _repeatable(handler: AppHandler) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        return await repeatable(request, await session_at(request), handler)

    return answer


async def _proved(request: web.Request, session: Session) -> JsonObject:
    given = parse_proofs(await body_of(request, ErrorKind.MALFORMED_INPUT))
    sandbox = request.app[SANDBOX]
    after = await sandbox.prove(session, given)
    answer: JsonObject = {"proofStatus": after.proof_status}
    if after.next is not None:
        answer["nextSession"] = after.next.pointer(sandbox.config.url)
    return answer


def _version(request: web.Request, header: str) -> tuple[int, int]:
    try:
        major, minor = request.headers[header].split(".")
        return int(major), int(minor)
    except (KeyError, ValueError):
        raise Refused(ErrorKind.MALFORMED_INPUT, f"{header} missing or invalid") from None


def _shown_to_app(session: Session, *, production: bool) -> JsonObject:
    """The plain request, with what a server sets itself and without its own secrets."""
    plain = session.request.request.to_wire()
    credentials = plain.get("credentials")
    if isinstance(credentials, list):
        plain["credentials"] = [_without_key(credential) for credential in credentials]
    plain |= {"context": "AQ==", "nonce": session.nonce, "protocolVersion": "2.8"}
    return plain if production else {**plain, "devMode": True}


def _without_key(credential: JsonValue) -> JsonValue:
    if not isinstance(credential, dict):
        return credential
    return {name: value for name, value in credential.items() if name != "revocationKey"}


def _issued(request: IssuanceRequest, now: float) -> list[JsonValue]:
    """The credentials as the wallet stores them."""
    return [
        {
            "credential": credential.credential,
            "attributes": dict(credential.attributes or {}),
            "issuancetime": int(now) // WEEK_S * WEEK_S,
        }
        for credential in request.credentials
    ]
