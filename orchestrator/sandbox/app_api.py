"""What the app and the browser call (reference irma.md §4.4, §4.5).

The app's proofs are those of `orchestrator.sandbox.disclosure`; what is issued comes back
in `sigs`, as plain attribute values.
"""

import base64
import secrets
from typing import Final

from aiohttp import web
from pydantic import JsonValue

from orchestrator.sandbox.disclosure import parse_proofs
from orchestrator.sandbox.faults import Refused
from orchestrator.sandbox.http import SANDBOX, body_of, json_response, token_in
from orchestrator.sandbox.sessions import Session, check_app
from schemas.irma import ErrorKind, IssuanceRequest, JsonObject, SessionType

_OPTIONS: Final = {"@context": "https://irma.app/ld/options/v1", "pairingMethod": "none"}

#: Times of issuance are known to the week only (reference irma.md §2.4).
WEEK_S: Final = 604_800


def routes() -> list[web.RouteDef]:
    """The app's and the browser's routes."""
    session = "/irma/session/{clientToken:[^/]+}"
    return [
        web.get(session, connect, allow_head=False),
        web.get(f"{session}/request", session_request, allow_head=False),
        web.post(f"{session}/proofs", proofs),
        web.post(f"{session}/commitments", commitments),
        web.delete(session, delete),
        web.get(f"{session}/status", status, allow_head=False),
        web.get(f"{session}/frontend/status", frontend_status, allow_head=False),
    ]


async def connect(request: web.Request) -> web.Response:
    """The app's first call: it gets the session request."""
    versions = (
        _version(request, "X-IRMA-MinProtocolVersion"),
        _version(request, "X-IRMA-MaxProtocolVersion"),
    )
    session = await request.app[SANDBOX].connect(
        await _session(request), request.headers.get("Authorization", ""), versions
    )
    return json_response(
        {
            "@context": "https://irma.app/ld/request/client/v1",
            "protocolVersion": "2.8",
            "options": dict(_OPTIONS),
            "request": _shown_to_app(session),
        }
    )


async def session_request(request: web.Request) -> web.Response:
    """The session request once more."""
    session = await _session_of_app(request)
    return json_response(_shown_to_app(session))


async def proofs(request: web.Request) -> web.Response:
    """The app discloses, or signs."""
    session = await _session_of_app(request)
    if session.request.type is SessionType.ISSUING:
        raise Refused(ErrorKind.INVALID_REQUEST, "proofs on an issuing session")
    return json_response(await _proved(request, session))


async def commitments(request: web.Request) -> web.Response:
    """The app takes the credentials, disclosing what was asked for."""
    session = await _session_of_app(request)
    if not isinstance(session.request.request, IssuanceRequest):
        raise Refused(ErrorKind.INVALID_REQUEST, "commitments on another session")
    answer = await _proved(request, session)
    now = request.app[SANDBOX].clock()
    return json_response({**answer, "sigs": _issued(session.request.request, now)})


async def delete(request: web.Request) -> web.Response:
    """Cancel the session; the pointer is all the credential it takes."""
    await request.app[SANDBOX].cancel(await _session(request))
    return web.Response()


async def status(request: web.Request) -> web.Response:
    """The session's status, a JSON string."""
    return json_response((await _session(request)).status)


async def frontend_status(request: web.Request) -> web.Response:
    """The session's status and, when a next one was started, its pointer."""
    session = await _session(request)
    if request.headers.get("Authorization") != session.frontend_token:
        raise Refused(ErrorKind.SESSION_UNAUTHORIZED)
    return json_response(_with_next(request, session, {"status": session.status}))


async def _session(request: web.Request) -> Session:
    token = token_in(request, "clientToken")
    return await request.app[SANDBOX].by_client(token)


async def _session_of_app(request: web.Request) -> Session:
    session = await _session(request)
    check_app(session, request.headers.get("Authorization", ""))
    return session


async def _proved(request: web.Request, session: Session) -> JsonObject:
    given = parse_proofs(await body_of(request))
    after = await request.app[SANDBOX].prove(session, given)
    return _with_next(request, after, {"proofStatus": after.proof_status})


def _with_next(request: web.Request, session: Session, fields: JsonObject) -> JsonObject:
    if session.next is None:
        return fields
    return {
        **fields,
        "nextSession": session.next.pointer(request.app[SANDBOX].config.url),
    }


def _version(request: web.Request, header: str) -> tuple[int, int]:
    try:
        major, minor = request.headers[header].split(".")
        return int(major), int(minor)
    except (KeyError, ValueError):
        raise Refused(ErrorKind.MALFORMED_INPUT, f"{header} missing or invalid") from None


def _shown_to_app(session: Session) -> JsonObject:
    """The plain request, with what a server sets itself and without its own secrets."""
    plain = session.request.request.to_wire()
    credentials = plain.get("credentials")
    if isinstance(credentials, list):
        plain["credentials"] = [_without_key(credential) for credential in credentials]
    nonce = base64.b64encode(secrets.token_bytes(16)).decode()
    return {**plain, "context": "AQ==", "nonce": nonce, "protocolVersion": "2.8"}


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
