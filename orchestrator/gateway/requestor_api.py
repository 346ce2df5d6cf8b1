"""The requestor API of an IRMA server (reference irma.md §1): start, follow, cancel."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from ulid import ULID

from orchestrator.gateway.bodies import read_body
from orchestrator.gateway.desk import Desk
from orchestrator.gateway.faults import TEXT_TYPE, IrmaFault, json_response
from orchestrator.gateway.sessions import result_of, row_of
from orchestrator.gateway.starting import permitted, start_chain
from orchestrator.telemetry import bind_chain
from schemas.irma import ErrorKind


def requestor_routes(desk: Desk) -> APIRouter:
    """The routes of reference irma.md §1 that concern sessions."""
    router = APIRouter()

    @router.post("/session")
    @router.post("/session/", include_in_schema=False)
    async def start(request: Request) -> Response:
        """Start a session; every session started here is a chain."""
        requestor = desk.authenticator.requestor(request)
        body = await read_body(request)
        wanted = permitted(desk, requestor, body)
        chain_id = str(ULID())
        with bind_chain(chain_id, 1, 0):
            started = await start_chain(desk, chain_id, requestor, wanted)
        return json_response(started.package.to_wire(), headers={"Chain-Id": chain_id})

    @router.get("/session/{token}/status")
    async def status(token: str) -> Response:
        """The session's status as a JSON string."""
        return json_response((await result_of(desk, token))[0].status)

    @router.get("/session/{token}/result")
    async def result(token: str) -> Response:
        """The session's result, at any time."""
        return json_response((await result_of(desk, token))[0].to_wire())

    @router.get("/session/{token}/result-jwt")
    async def result_jwt(token: str) -> Response:
        """The session's result as a signed JWT."""
        if desk.signer.public_key_pem is None:
            raise IrmaFault(ErrorKind.EXCEPTION, "JWT signing not supported")
        found, row = await result_of(desk, token)
        jwt = await desk.signer.sign(
            found, validity_s=desk.rows.request(row).validity, now=desk.clock()
        )
        return Response(jwt, media_type="text/plain")

    @router.delete("/session/{token}")
    async def cancel(token: str) -> Response:
        """Cancel a session; its backend tells us what came of it."""
        row = await row_of(desk, token)
        own_token = desk.rows.token(row)
        if own_token is not None and row.final_status is None:
            await desk.backend.cancel(own_token)
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
        return Response("OK", media_type="text/plain")

    return router
