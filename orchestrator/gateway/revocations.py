"""Revoking what was issued (reference irma.md §1); the IRMA server behind us does it."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from orchestrator.gateway.bodies import admitted_body
from orchestrator.gateway.desk import Desk
from orchestrator.gateway.faults import IrmaFault, text_response
from schemas.irma import ErrorKind


def revocation_routes(desk: Desk) -> APIRouter:
    """The route of revocations."""
    router = APIRouter()

    @router.post("/revocation")
    async def revoke(request: Request) -> Response:
        """Revoke a credential, if its requestor may."""
        body = await admitted_body(request, desk.authenticator)
        requestor, wanted = desk.authenticator.revocation_request(
            request.headers, body, desk.clock()
        )
        refusal = desk.requestors.revocation_refusal(requestor, wanted)
        if refusal is not None:
            raise IrmaFault(ErrorKind.UNAUTHORIZED, refusal.reason)
        await desk.backend.revoke(wanted)
        return text_response("OK")

    return router
