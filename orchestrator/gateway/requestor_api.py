"""The requestor API of an IRMA server (reference irma.md §1): start, follow, cancel."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from orchestrator.gateway import idempotency
from orchestrator.gateway.bodies import admitted_body
from orchestrator.gateway.desk import Desk
from orchestrator.gateway.faults import TEXT_TYPE, IrmaFault, json_response, text_response
from orchestrator.gateway.sessions import known, result_of
from orchestrator.gateway.starting import begin, refuse_unless_permitted
from orchestrator.preparing import page_url
from schemas.irma import ErrorKind


def requestor_routes(desk: Desk) -> APIRouter:
    """The routes of reference irma.md §1 that concern sessions."""
    router = APIRouter()

    @router.post("/session")
    @router.post("/session/", include_in_schema=False)
    async def start(request: Request) -> Response:
        """Start a session; every session started here is a chain."""
        body = await admitted_body(request, desk.authenticator)
        requestor, wanted = desk.authenticator.session_request(
            request.headers, body, desk.clock()
        )
        refuse_unless_permitted(desk, requestor, wanted)
        key = idempotency.key_in(request.headers)
        once = idempotency.once(desk.sealer, requestor, key, wanted)
        begun = await begin(desk, requestor, wanted, once)
        page = page_url(desk.sealer, desk.options.public_url, begun.chain_id)
        headers = {"Chain-Id": begun.chain_id, "Chain-Page": page}
        return json_response(begun.package.to_wire(), headers=headers)

    @router.get("/session/{token}/status")
    async def status(token: str) -> Response:
        """The session's status as a JSON string."""
        session = await known(desk, token)
        return json_response((await result_of(desk, session)).status)

    @router.get("/session/{token}/result")
    async def result(token: str) -> Response:
        """The session's result, at any time."""
        session = await known(desk, token)
        return json_response((await result_of(desk, session)).to_wire())

    @router.get("/session/{token}/result-jwt")
    async def result_jwt(token: str) -> Response:
        """The session's result as a signed JWT, signed afresh each time."""
        return await _signed(token, legacy=False)

    @router.get("/session/{token}/getproof")
    async def getproof(token: str) -> Response:
        """The session's attributes as a JWT of old (reference irma.md §6, at its end)."""
        return await _signed(token, legacy=True)

    async def _signed(token: str, *, legacy: bool) -> Response:
        if desk.signer.public_key_pem is None:
            raise IrmaFault(ErrorKind.EXCEPTION, "JWT signing not supported")
        session = await known(desk, token)
        found = await result_of(desk, session)
        validity_s, now = desk.rows.request(session.row).validity, desk.clock()
        text = await (
            desk.signer.sign_legacy(found, validity_s=validity_s, now=now)
            if legacy
            else desk.signer.sign(found.to_wire(), validity_s=validity_s, now=now)
        )
        return text_response(text or "")

    @router.delete("/session/{token}")
    @router.delete("/session/{token}/", include_in_schema=False)
    async def cancel(token: str) -> Response:
        """Cancel a session; its backend tells us what came of it."""
        session = await known(desk, token)
        cancelled = not session.open or await desk.backend.cancel(session.token)
        if not cancelled and session.row.completed_at is None:
            raise IrmaFault(ErrorKind.SESSION_UNKNOWN)
        return Response(status_code=200)

    return router


def server_routes(desk: Desk) -> APIRouter:
    """The routes of reference irma.md §1 that concern the server itself."""
    router = APIRouter()

    @router.get("/publickey")
    async def publickey() -> Response:
        """The key that verifies our result JWTs."""
        pem = desk.signer.public_key_pem
        if pem is None:
            raise IrmaFault(ErrorKind.UNSUPPORTED)
        return Response(pem, media_type=TEXT_TYPE)

    @router.get("/health")
    async def health() -> Response:
        """Whether the gateway answers at all."""
        return text_response("OK")

    return router
