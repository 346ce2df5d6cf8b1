"""Where backends report: the bridge (`nextSession`) and the callback receiver.

The bridge keeps the app waiting for at most its budget. It answers 200 only after the
row of the next session went from `offered` to `forwarded` by its own hand.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final, Literal

import structlog
from fastapi import APIRouter, Request, Response
from ulid import ULID

from orchestrator.domain import claiming, handover
from orchestrator.domain.chain import Slot
from orchestrator.domain.claiming import Proved
from orchestrator.domain.errors import (
    SealBroken,
    SealKeyUnknown,
    StoreUnavailable,
    Undecodable,
    UnknownChain,
)
from orchestrator.domain.handover import Detach, Forward
from orchestrator.domain.happenings import session_completed
from orchestrator.gateway.bodies import read_body
from orchestrator.gateway.desk import Desk
from orchestrator.gateway.examination import hear
from orchestrator.gateway.faults import IrmaFault, json_response
from orchestrator.ports import Waiter, event_message, work_message
from orchestrator.telemetry import bind_chain
from orchestrator.work import slot_of, start_message
from schemas.capabilities import Capability
from schemas.events import Purpose
from schemas.irma import ErrorKind, SessionResult, Status
from schemas.messages import ReplyAddress, Wake, WakeUp

_log = structlog.get_logger(__name__)

#: Of what the budget leaves of the IRMA server's 4.2 s, less its own callback's 0.2 s: a
#: slow database must not make the app fail. What it has written is looked up later.
CLOSING_S: Final = 0.2

#: A store that is away for a moment (a failover) lets nobody out of the flow. After so
#: long no wake-up can be hoped for, and the app is let go well before it gives up.
STORE_AWAY_S: Final = 1.0
STORE_PAUSE_S: Final = 0.1

#: So often a POST waits for its turn in this process beside its own wait: it is accepted,
#: read, understood, and answered. The app's time runs meanwhile.
TURNS: Final = 4

#: However late this process is, so much of the budget is left for the chain to go on.
LEFT_MIN: Final = 0.5

#: How long the callback receiver may take when broker and store are slow; usually it is
#: the confirm's time. The IRMA server posts to it in the handler the app waits for.
CALLBACK_BUDGET_S: Final = 0.5

_NO_CONTENT = 204
_BAD_GATEWAY = 502


def bridge_routes(desk: Desk) -> APIRouter:
    """The two receivers, each with and without a trailing slash (trap T7)."""
    router = APIRouter()

    @router.post("/bridge/{token}")
    @router.post("/bridge/{token}/", include_in_schema=False)
    async def bridge(token: str, request: Request) -> Response:
        """A proved result; the answer is the next session request or 204."""
        capability = _opened(desk, token, "bridge")
        slot = slot_of(capability)
        with bind_chain(slot.chain_id, slot.step, slot.generation):
            result = await _result(desk, request)
            if not result.proved or result.status is not Status.CONNECTED:
                raise IrmaFault(
                    ErrorKind.INVALID_REQUEST,
                    "proofStatus, status: only a proved session may have a next one",
                )
            return await Bridge(desk, capability, slot).answer(result)

    @router.post("/callback/{token}")
    @router.post("/callback/{token}/", include_in_schema=False)
    async def callback(token: str, request: Request) -> Response:
        """A session's state; it is judged by the session worker."""
        capability = _opened(desk, token, "callback", "check")
        if capability.kind == "check":
            return await _heard(desk, capability, request)
        slot = slot_of(capability)
        with bind_chain(slot.chain_id, slot.step, slot.generation):
            result = await _result(desk, request)
            _log.info("callback.received", status=result.status)
            intake = desk.make.intake(slot, capability.requestor, result, "callback")
            await desk.intake.accept(
                slot.chain_id, [work_message(intake)], within_s=CALLBACK_BUDGET_S
            )
            return Response(status_code=_NO_CONTENT)

    return router


class Bridge:
    """One bridge POST."""

    def __init__(self, desk: Desk, capability: Capability, slot: Slot) -> None:
        """Prepare for one POST about this slot."""
        self._desk = desk
        self._capability = capability
        self._slot = slot
        budget_s = _budget_s(desk)
        self._deadline = desk.clock() + timedelta(seconds=budget_s)
        # Our own waiting goes by a clock that nobody sets.
        self._loop = asyncio.get_running_loop()
        self._ends = self._loop.time() + budget_s

    async def answer(self, result: SessionResult) -> Response:
        """Publish the completion, mark the row, wait for what follows."""
        correlation_id = str(ULID())
        async with self._desk.replies.waiter(correlation_id) as waiter:
            marking = asyncio.ensure_future(self._mark(result))
            try:
                hopeful = await self._publish(result, correlation_id)
                wake_up = await self._heard(waiter, marking) if hopeful else None
            finally:
                await self._marked(marking)
        if not hopeful:
            return Response(status_code=_NO_CONTENT)
        return await self._react(wake_up, result.token)

    async def _heard(
        self, waiter: Waiter, marking: asyncio.Future[bool]
    ) -> WakeUp | None:
        """What the session worker says; while the store is away it can say nothing."""
        waking = asyncio.ensure_future(waiter.wake_up(self._left_s()))
        news: set[asyncio.Future[WakeUp | None] | asyncio.Future[bool]]
        news = {waking, marking}
        try:
            await asyncio.wait(news, return_when=asyncio.FIRST_COMPLETED)
            if not waking.done() and _store_is_away(marking):
                return None
            return await waking
        finally:
            waking.cancel()

    async def _marked(self, marking: asyncio.Future[bool]) -> None:
        """The mark is most likely made by now; a slow store does not hold the app."""
        await asyncio.wait({marking}, timeout=self._left_s())
        if not marking.done():
            self._desk.background.spawn(_until(marking))

    async def _publish(self, result: SessionResult, correlation_id: str) -> bool:
        """The event first, then the work, on one channel (DESIGN §5)."""
        capability = self._capability
        work = self._desk.make.callback(
            self._slot,
            capability.requestor,
            result,
            purpose=Purpose.NEXT,
            url=capability.target or "",
            validity_s=capability.validity_s,
            reply=ReplyAddress(
                queue=self._desk.replies.queue,
                correlation_id=correlation_id,
                deadline=self._deadline,
            ),
        )
        event = session_completed(
            self._slot, capability.requestor, result, work.id, self._desk.clock()
        )
        return await self._desk.intake.accept(
            self._slot.chain_id,
            [event_message(event), work_message(work)],
            within_s=self._left_s(),
        )

    async def _mark(self, result: SessionResult) -> bool:
        """Rule H4: the row says at once that its result was taken in.

        False when the store is away: the session worker writes it later.
        """
        # Sealed here: the rule runs under the chain's lock, and may run again.
        proved = self._desk.rows.proved(self._slot, result)
        until = self._loop.time() + STORE_AWAY_S
        while True:
            try:
                await self._take_in(proved)
            except UnknownChain:
                _log.warning("bridge.unknown_chain")
            except StoreUnavailable:
                if self._loop.time() < until:
                    await asyncio.sleep(STORE_PAUSE_S)
                    continue
                _log.warning("bridge.store_away")
                self._leave_note(result)
                return False
            return True

    async def _take_in(self, proved: Proved) -> None:
        slot = self._slot
        outcome = await self._desk.rulings.by_outbox(
            slot,
            lambda view: claiming.take_in(
                view,
                slot,
                token_hash=proved.token_hash,
                sealed_token=proved.sealed_token,
                sealed_result=proved.sealed_result,
            ),
        )
        _log.info("bridge.taken_in", outcome=outcome.name)

    def _leave_note(self, result: SessionResult) -> None:
        desk = self._desk
        note = desk.make.note(self._slot, self._capability.requestor, result)
        desk.background.spawn(desk.publisher.publish(work_message(note)))

    async def _react(self, wake_up: WakeUp | None, token: str) -> Response:
        """Answer by what the session worker said, or at the deadline."""
        wake = wake_up.wake if wake_up else None
        _log.info("bridge.woken", wake=wake)
        if wake is Wake.FAILED:
            return Response(status_code=_BAD_GATEWAY)
        if wake is Wake.OFFERED:
            return await self._forward(token)
        if wake is None:
            self._detach()
        return Response(status_code=_NO_CONTENT)

    async def _forward(self, token: str) -> Response:
        """Hand the request over to the session that asks, if the row lets us."""
        row, token_hash = self._slot.following, self._desk.sealer.token_hash(token)
        try:
            async with asyncio.timeout(self._left_s() + CLOSING_S):
                outcome = await self._desk.rulings.by_outbox(
                    self._slot,
                    lambda view: handover.forward(
                        view, self._slot, token_hash=token_hash
                    ),
                )
                step = await self._desk.store.step(row)
        except (StoreUnavailable, TimeoutError):
            # Whether the row was written is unknown: the look-up will tell (H1, H8).
            return Response(status_code=_NO_CONTENT)
        _log.info("bridge.forward", outcome=outcome.name)
        if outcome is Forward.NOT_FORWARDED:
            self._detach()
        if outcome is not Forward.FORWARDED or step is None:
            return Response(status_code=_NO_CONTENT)
        return json_response(self._desk.rows.prepared(step).to_wire())

    def _detach(self) -> None:
        """Beside the answer: the app, which may have to wait no more, is let go."""
        self._desk.background.spawn(detach(self._desk, self._slot.following))

    def _left_s(self) -> float:
        return max(self._ends - self._loop.time(), 0.0)


def _budget_s(desk: Desk) -> float:
    """How long the app may wait here; less of it while this process is late itself."""
    whole_s = desk.options.bridge_budget_s
    return max(whole_s - TURNS * desk.lateness.longest_s, LEFT_MIN * whole_s)


async def _until(done: asyncio.Future[bool]) -> None:
    await done


def _store_is_away(marking: asyncio.Future[bool]) -> bool:
    """Whether the mark was given up; one that still waits may yet be made."""
    return marking.done() and marking.exception() is None and not marking.result()


async def detach(desk: Desk, row: Slot) -> None:
    """`offered` → `detached` with its start; nothing when there is no such row."""
    try:
        outcome = await desk.rulings.by_outbox(
            row,
            lambda view: handover.detach(view, row),
            lambda outcome, view: (
                [start_message(row, view.chain.requestor)]
                if outcome is Detach.DETACHED
                else []
            ),
        )
        _log.info("bridge.detach", outcome=outcome.name)
    except UnknownChain:
        _log.warning("bridge.unknown_chain")
    except StoreUnavailable:
        _log.warning("bridge.detach_left_to_clock")


def _opened(
    desk: Desk, token: str, *kinds: Literal["bridge", "callback", "check"]
) -> Capability:
    try:
        capability = desk.sealer.open_capability(token, now=desk.clock())
    except (SealBroken, SealKeyUnknown) as error:
        _log.warning("capability.refused", why=str(error))
        raise IrmaFault(ErrorKind.SESSION_UNKNOWN) from None
    if capability.kind not in kinds:
        _log.warning("capability.refused", why="made for another purpose")
        raise IrmaFault(ErrorKind.SESSION_UNKNOWN)
    return capability


async def _heard(desk: Desk, check: Capability, request: Request) -> Response:
    """A check's session was cancelled, as it should be; nothing else follows."""
    body = await read_body(request)
    await hear(
        check,
        body,
        request.headers.get("content-type", ""),
        backend=desk.backend,
        publisher=desk.publisher,
    )
    return Response(status_code=_NO_CONTENT)


async def _result(desk: Desk, request: Request) -> SessionResult:
    body = await read_body(request)
    content_type = request.headers.get("content-type", "")
    try:
        return await desk.backend.read_result(body, content_type)
    except Undecodable as error:
        _log.warning("result.refused", why=str(error))
        raise IrmaFault(ErrorKind.INVALID_REQUEST, str(error)) from None
