"""Starts chains: what is asked for is permitted, started, and written with its events."""

from __future__ import annotations

import structlog

from orchestrator.domain import happenings
from orchestrator.domain.chain import (
    Chain,
    ChainState,
    Slot,
    Step,
    StepState,
    timeout_of,
)
from orchestrator.domain.errors import Refused, StoreUnavailable
from orchestrator.domain.ruling import CHECK_LIVE
from orchestrator.gateway.desk import Desk
from orchestrator.gateway.faults import IrmaFault
from orchestrator.ports import Message, Started, event_message
from orchestrator.preparing import unfit
from schemas.irma import (
    ErrorKind,
    InvalidSessionRequest,
    SessionRequest,
    parse_session_request,
)

_log = structlog.get_logger(__name__)


def permitted(desk: Desk, requestor: str, body: bytes) -> SessionRequest:
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
    if not desk.options.unsigned_allowed and desk.signer.public_key_pem is None:
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


async def start_chain(
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
