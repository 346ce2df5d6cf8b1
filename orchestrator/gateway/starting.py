"""Starts chains: what is asked for is permitted, started, and written with its events."""

from __future__ import annotations

from dataclasses import dataclass

import structlog
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
from orchestrator.domain.errors import Refused, StoreUnavailable
from orchestrator.domain.ruling import CHECK_LIVE
from orchestrator.gateway.desk import Desk
from orchestrator.gateway.faults import IrmaFault
from orchestrator.gateway.idempotency import Once, same
from orchestrator.gateway.sessions import over
from orchestrator.ports import Message, Started, event_message
from orchestrator.preparing import unaugmentable, unfit
from orchestrator.telemetry import bind_chain
from schemas.irma import ErrorKind, SessionPackage, SessionRequest

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A chain that was begun, now or by the same request before."""

    chain_id: str
    package: SessionPackage


def refuse_unless_permitted(desk: Desk, requestor: str, request: SessionRequest) -> None:
    """Make sure that this requestor may start this, in the order of an IRMA server.

    Raises:
        IrmaFault: it may not, or the request does not fit this installation.
    """
    refusal = desk.requestors.refusal(requestor, request)
    if refusal is not None:
        raise IrmaFault(ErrorKind.UNAUTHORIZED, refusal.reason)
    if (reason := unfit(request)) is not None:
        raise IrmaFault(ErrorKind.INVALID_REQUEST, reason)
    if not desk.options.unsigned_allowed and desk.signer.public_key_pem is None:
        _refuse_unsigned(request)
    augment = desk.options.augment_client_return_url
    if (reason := unaugmentable(request, enabled=augment)) is not None:
        raise IrmaFault(ErrorKind.INVALID_REQUEST, reason)


def _refuse_unsigned(request: SessionRequest) -> None:
    posts = {"callbackUrl": request.callback_url, "nextSession": request.next_session}
    for name, given in posts.items():
        if given is not None:
            raise IrmaFault(
                ErrorKind.UNSUPPORTED,
                f"{name} provided but no JWT private key is installed: either install"
                " JWT or enable allow_unsigned_callbacks in configuration",
            )


async def begin(
    desk: Desk, requestor: str, request: SessionRequest, once: Once | None = None
) -> Begun:
    """Begin a chain, or find the one that the same request has begun before.

    Of two at once both start a session; the later one to be written finds the chain of
    the other, and its own session is cancelled.
    """
    if once is not None:
        found = await desk.store.begun(once.key, desk.clock())
        if found is not None:
            return await _again(desk, found, once)
    chain_id = str(ULID())
    with bind_chain(chain_id, 1, 0):
        begun, package = await _start(desk, chain_id, requestor, request, once)
    if begun is not None and once is not None:
        return await _again(desk, begun, once)
    return Begun(chain_id=chain_id, package=package)


async def _again(desk: Desk, chain: Chain, once: Once) -> Begun:
    row = None
    if not over(chain, desk.options.results_kept, desk.clock()):
        row = await desk.store.step(Slot(chain_id=chain.id, step=1))
    package = desk.rows.package(row) if row else None
    _log.info("chain.asked_again", chain_id=chain.id)
    return Begun(chain_id=chain.id, package=same(chain, once, package))


async def _start(
    desk: Desk, chain_id: str, requestor: str, request: SessionRequest, once: Once | None
) -> tuple[Chain | None, SessionPackage]:
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
        idempotency=once.key if once else None,
        body_hash=once.body if once else None,
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
        answer_hash=desk.rows.answer_hash(request.to_wire()),
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
    outbox = [event_message(event) for event in events]
    return await _write(desk, chain, step, outbox, started), started.package


async def _write(
    desk: Desk, chain: Chain, step: Step, outbox: list[Message], started: Started
) -> Chain | None:
    """Write the chain; without the store there is none, and no session either.

    Whether the store wrote it may be unknown. Who has a key will ask again and then get
    what was written, so its session is not cancelled: nobody knows it, it times out.
    """
    try:
        begun = await desk.store.begin_chain(chain, step, outbox)
    except (StoreUnavailable, Refused) as error:
        if chain.idempotency is None or isinstance(error, Refused):
            desk.background.spawn(_cancel(desk, started.token))
        raise
    if begun is not None:
        desk.background.spawn(_cancel(desk, started.token))
        return begun
    desk.background.spawn(desk.rulings.relay(outbox))
    _log.info("chain.started", requestor=chain.requestor, session_type=step.session_type)
    return None


async def _cancel(desk: Desk, token: str) -> None:
    await desk.backend.cancel(token)
