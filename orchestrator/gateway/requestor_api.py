"""The requestor API of an IRMA server (reference irma.md §1): start, follow, cancel."""

from __future__ import annotations

import re
from typing import Final

import structlog
from fastapi import APIRouter, Request, Response
from ulid import ULID

from orchestrator.domain import happenings
from orchestrator.domain.chain import (
    Chain,
    ChainState,
    Slot,
    Step,
    StepState,
    timeout_of,
)
from orchestrator.domain.errors import BackendUnavailable, Refused, StoreUnavailable
from orchestrator.domain.ruling import CHECK_LIVE
from orchestrator.gateway.bodies import read_body
from orchestrator.gateway.desk import Desk
from orchestrator.gateway.faults import TEXT_TYPE, IrmaFault, json_response
from orchestrator.ports import Message, Started, event_message
from orchestrator.preparing import unfit
from orchestrator.telemetry import bind_chain
from schemas.irma import (
    ErrorKind,
    InvalidSessionRequest,
    SessionRequest,
    SessionResult,
    Status,
    parse_session_request,
)

_log = structlog.get_logger(__name__)

#: The IRMA server looks for a token anywhere in the path segment.
_TOKEN: Final = re.compile(r"[A-Za-z0-9]{20}")


def requestor_routes(desk: Desk) -> APIRouter:
    """The routes of reference irma.md §1 that concern sessions."""
    router = APIRouter()

    @router.post("/session")
    @router.post("/session/", include_in_schema=False)
    async def start(request: Request) -> Response:
        """Start a session; every session started here is a chain."""
        requestor = desk.authenticator.requestor(request)
        body = await read_body(request)
        wanted = _permitted(desk, requestor, body)
        chain_id = str(ULID())
        with bind_chain(chain_id, 1, 0):
            started = await _start(desk, chain_id, requestor, wanted)
        return json_response(started.package.to_wire(), headers={"Chain-Id": chain_id})

    @router.get("/session/{token}/status")
    async def status(token: str) -> Response:
        """The session's status as a JSON string."""
        return json_response((await _result(desk, token))[0].status)

    @router.get("/session/{token}/result")
    async def result(token: str) -> Response:
        """The session's result, at any time."""
        return json_response((await _result(desk, token))[0].to_wire())

    @router.get("/session/{token}/result-jwt")
    async def result_jwt(token: str) -> Response:
        """The session's result as a signed JWT."""
        if desk.signer.public_key_pem is None:
            raise IrmaFault(ErrorKind.EXCEPTION, "JWT signing not supported")
        found, row = await _result(desk, token)
        jwt = await desk.signer.sign(
            found, validity_s=desk.rows.request(row).validity, now=desk.clock()
        )
        return Response(jwt, media_type="text/plain")

    @router.delete("/session/{token}")
    async def cancel(token: str) -> Response:
        """Cancel a session; its backend tells us what came of it."""
        row = await _row(desk, token)
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


def _permitted(desk: Desk, requestor: str, body: bytes) -> SessionRequest:
    """The session request in a body, if this requestor may make it."""
    try:
        request = parse_session_request(body)
    except InvalidSessionRequest as error:
        raise IrmaFault(ErrorKind.INVALID_REQUEST, str(error)) from None
    if (reason := unfit(request)) is not None:
        raise IrmaFault(ErrorKind.INVALID_REQUEST, reason)
    refusal = desk.requestors.refusal(requestor, request)
    if refusal is not None:
        raise IrmaFault(ErrorKind.UNAUTHORIZED, refusal.reason)
    if not desk.unsigned_allowed and desk.signer.public_key_pem is None:
        _refuse_unsigned(request)
    return request


def _refuse_unsigned(request: SessionRequest) -> None:
    posts = {"callbackUrl": request.callback_url, "nextSession": request.next_session}
    for name, given in posts.items():
        if given is not None:
            raise IrmaFault(
                ErrorKind.UNSUPPORTED,
                f"{name} provided but no JWT private key is installed: either install"
                " JWT or enable allow_unsigned_callbacks in configuration",
            )


async def _start(
    desk: Desk, chain_id: str, requestor: str, request: SessionRequest
) -> Started:
    """Start the session at its backend, then write the chain with its events.

    A crash in between leaves a session that nobody was told of; it times out.
    """
    slot = Slot(chain_id=chain_id, step=1)
    prepared = desk.preparer.prepared(request, slot, requestor, desk.clock())
    started = await desk.backend.start(prepared)
    now = desk.clock()
    chain = Chain(
        id=chain_id,
        requestor=requestor,
        backend=desk.backend_name,
        state=ChainState.RUNNING,
        generation=0,
        created_at=now,
    )
    first = happenings.chain_started(chain, slot)
    step = Step(
        slot=slot,
        state=StepState.LIVE,
        session_type=request.type,
        cause=first.id,
        created_at=now,
        check_at=now + CHECK_LIVE,
        chained=request.next_session is not None,
        announced=True,
        session_timeout_s=timeout_of(request),
        token_hash=desk.sealer.token_hash(started.token),
        sealed_request=desk.rows.seal_request(slot, request),
        sealed_prepared=desk.rows.seal_prepared(slot, prepared),
        sealed_package=desk.rows.seal_package(slot, started.package),
        sealed_token=desk.rows.seal_token(slot, started.token),
    )
    attributes = tuple(request.attribute_ids())
    events = (
        first,
        happenings.session_requested(chain, step, attributes, now),
        happenings.session_started(chain, step, now),
    )
    await _write(desk, chain, step, [event_message(event) for event in events], started)
    _log.info("chain.started", requestor=requestor, session_type=request.type)
    return started


async def _write(
    desk: Desk, chain: Chain, step: Step, outbox: list[Message], started: Started
) -> None:
    """Write the chain; without the store there is none, and no session either."""
    try:
        await desk.store.begin_chain(chain, step, outbox)
    except (StoreUnavailable, Refused):
        desk.background.spawn(_cancel(desk, started.token))
        raise
    desk.background.spawn(desk.rulings.relay(outbox))


async def _cancel(desk: Desk, token: str) -> None:
    await desk.backend.cancel(token)


async def _row(desk: Desk, text: str) -> Step:
    """The row of the session whose token stands in the path."""
    found = _TOKEN.search(text)
    if found is None:
        raise IrmaFault(
            ErrorKind.INVALID_REQUEST,
            "string did not pass input validation for requestorToken",
        )
    row = await desk.store.step_by_token(desk.sealer.token_hash(found.group()))
    if row is None:
        raise IrmaFault(ErrorKind.SESSION_UNKNOWN)
    return row


async def _result(desk: Desk, text: str) -> tuple[SessionResult, Step]:
    """A session's result: ours once it is final, until then the backend's."""
    row = await _row(desk, text)
    stored = desk.rows.result(row)
    if row.final_status is None or stored is None:
        found = await _looked_up(desk, row, needed=stored is None)
        if found is not None:
            return found, row
        if stored is None:
            raise IrmaFault(ErrorKind.SESSION_UNKNOWN)
    return await _finished(desk, row, stored), row


async def _finished(desk: Desk, row: Step, stored: SessionResult) -> SessionResult:
    """The stored result with the token of the next session, wherever that was started.

    A result that was taken in stays DONE although the backend has lost that update; only
    where the chain failed on it, it is CANCELLED for everybody (reference irma.md §7.7).
    """
    status = Status(row.final_status) if row.final_status else stored.status
    if row.completed_at is not None and status is not Status.DONE and status.final:
        chain = await desk.store.chain(row.slot.chain_id)
        if chain is not None and chain.state is ChainState.FAILED:
            return SessionResult(token=stored.token, status=status, type=stored.type)
        status = Status.DONE
    following = await desk.store.step(row.slot.following)
    next_token = desk.rows.token(following) if following else None
    update = {"status": status, "next_session": next_token or stored.next_session}
    return stored.model_copy(update=update)


async def _looked_up(desk: Desk, row: Step, *, needed: bool) -> SessionResult | None:
    """What the backend has stored; unless that is all there is, it may be away."""
    token = desk.rows.token(row)
    if token is None:
        return None
    try:
        return await desk.backend.result(token)
    except BackendUnavailable:
        if needed:
            raise
        return None
