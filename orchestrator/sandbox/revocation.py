"""Revoking what was issued under a key (reference irma.md §1)."""

from typing import Final

from aiohttp import web

from orchestrator.sandbox.authentication import Authenticated
from orchestrator.sandbox.faults import Refused
from orchestrator.sandbox.http import SANDBOX, body_of, text_response
from orchestrator.sandbox.permissions import may_revoke
from orchestrator.sandbox.requestor_api import requestor_of
from orchestrator.sandbox.sessions import Session
from schemas.irma import (
    ErrorKind,
    InvalidDocument,
    IssuanceRequest,
    RevocationRequest,
    parse_revocation_request,
    revocation_from_claims,
)

#: Type and revocation key of every credential that was issued and not revoked since.
REVOCABLE: Final = web.AppKey("revocable", set[tuple[str, str]])


def routes() -> list[web.RouteDef]:
    """The route of requestors that issue."""
    return [web.post("/revocation", revoke)]


async def revoke(request: web.Request) -> web.Response:
    """Revoke the credentials of a key; when they were issued is not looked at."""
    body = await body_of(request)
    by = requestor_of(request, body)
    asked = _asked(by, body)
    if not may_revoke(request.app[SANDBOX].config, by.requestor, asked.type):
        raise Refused(ErrorKind.UNAUTHORIZED)
    issued = (asked.type, asked.revocation_key)
    if issued not in request.app[REVOCABLE]:
        raise Refused(ErrorKind.UNKNOWN_REVOCATION_KEY)
    request.app[REVOCABLE].remove(issued)
    return text_response("OK")


def remember_issued(app: web.Application, session: Session) -> None:
    """What was issued under a key can be revoked, if its type knows revocation."""
    plain = session.request.request
    if not isinstance(plain, IssuanceRequest):
        return
    types = app[SANDBOX].config.credential_types
    for credential in plain.credentials:
        type_ = None if types is None else types.get(credential.credential)
        if credential.revocation_key and (type_ is None or type_.revocation):
            app[REVOCABLE].add((credential.credential, credential.revocation_key))


def _asked(by: Authenticated, body: bytes) -> RevocationRequest:
    try:
        if by.claims is not None:
            return revocation_from_claims(by.claims)
        return parse_revocation_request(body)
    except InvalidDocument as fault:
        raise Refused(ErrorKind.INVALID_REQUEST, fault.message) from None
