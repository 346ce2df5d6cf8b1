"""Static sessions: each scan of a printed QR starts one (reference irma.md §7.9).

Nobody authenticates: the request stands in the configuration, and its chain belongs to
IRMA's requestor "" (trap T35), for whom only the lists for everyone hold.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Response

from orchestrator.domain.errors import BackendRefused, NotConfigured
from orchestrator.domain.permissions import ANONYMOUS
from orchestrator.gateway.desk import Desk
from orchestrator.gateway.faults import IrmaFault, json_response
from orchestrator.gateway.starting import begin
from orchestrator.preparing import unaugmentable, unfit
from schemas.irma import (
    ErrorKind,
    InvalidSessionRequest,
    JsonObject,
    SessionRequest,
    SessionType,
    StaticPointer,
    session_request_from,
)


def static_sessions(
    configured: Mapping[str, JsonObject], *, signed: bool, unsigned: bool, augment: bool
) -> dict[str, SessionRequest]:
    """The requests of the static sessions in the configuration, by name.

    Args:
        configured: `static_sessions` as it stands in the file.
        signed: whether there is a key to sign results with.
        unsigned: the option `allow_unsigned_callbacks`.
        augment: the option `augment_client_return_url`.

    Raises:
        NotConfigured: naming the session, and what is wrong with it.
    """
    requests: dict[str, SessionRequest] = {}
    for name, fields in configured.items():
        try:
            requests[name] = session_request_from(fields)
        except InvalidSessionRequest as error:
            raise NotConfigured(f"static_sessions.{name}: {error}") from None
        reason = _unusable(requests[name], signed=signed or unsigned, augment=augment)
        if reason is not None:
            raise NotConfigured(f"static_sessions.{name}: {reason}")
    return requests


def _unusable(request: SessionRequest, *, signed: bool, augment: bool) -> str | None:
    if request.type not in {SessionType.DISCLOSING, SessionType.SIGNING}:
        return "must be either a disclosing or signing session"
    if request.callback_url is None and request.next_session is None:
        return "has no callbackUrl or nextSession: nobody would get its result"
    if not signed:
        return (
            "its results must be signed: give jwt_privkey, or set"
            " allow_unsigned_callbacks"
        )
    return unfit(request) or unaugmentable(request, enabled=augment)


def static_pointer(public_url: str, name: str) -> StaticPointer:
    """What the printed QR of a static session says."""
    return StaticPointer(u=f"{public_url.rstrip('/')}/irma/session/{name}")


def static_routes(desk: Desk) -> APIRouter:
    """What the app calls when it has scanned a printed QR."""
    router = APIRouter()

    @router.post("/irma/session/{name}")
    async def start(name: str) -> Response:
        """Start the session; what the app sends is not read."""
        wanted = desk.options.static_sessions.get(name)
        if wanted is None:
            raise IrmaFault(ErrorKind.INVALID_REQUEST, "unknown static session")
        try:
            begun = await begin(desk, ANONYMOUS, wanted)
        except BackendRefused as error:
            raise IrmaFault(ErrorKind.MALFORMED_INPUT, error.message) from None
        return json_response(begun.package.session_ptr.to_wire())

    return router
