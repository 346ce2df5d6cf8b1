"""Where endpoints send the answers that they have put off with 202 (DESIGN §4).

A body is the next session request, no body is the end. Its hash and the sealed message
are stored in one transaction before the 2xx, so an answer that was taken is never lost;
the same one again gets the same 2xx, and whatever is refused says why.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from fastapi import APIRouter, Request, Response

from orchestrator.domain import happenings
from orchestrator.domain.chain import Slot, View
from orchestrator.domain.errors import (
    SealBroken,
    SealExpired,
    SealKeyUnknown,
    Unavailable,
    UnknownChain,
)
from orchestrator.domain.replying import Replied, take_reply
from orchestrator.gateway.bodies import read_body
from orchestrator.gateway.desk import Desk
from orchestrator.gateway.faults import IrmaFault
from orchestrator.gateway.problems import Problem
from orchestrator.ports import (
    PARKED,
    RETRY,
    Message,
    Waiting,
    event_message,
    work_message,
)
from orchestrator.preparing import unaugmentable, unfit
from orchestrator.telemetry import bind_chain
from orchestrator.work import DEADLINE, slot_of
from schemas.capabilities import Capability
from schemas.events import Purpose
from schemas.irma import (
    InvalidSessionRequest,
    SessionRequest,
    parse_session_request,
    session_result_from,
)
from schemas.messages import CallbackSecrets, CallbackWork, End, EndWork, parse_work

_log = structlog.get_logger(__name__)

#: An endpoint may be quicker than the mark of the result on its row: then this is waited
#: for it, and an endpoint that is still quicker is asked to come again.
RESULT_PAUSES_S: Final = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)

#: Rows that hold a callback, or stand for it: after an answer none of them is needed.
_OF_CALLBACKS: Final = frozenset({RETRY, PARKED, DEADLINE})

#: How many waiting rows of a chain are looked through; it has hardly ever more than one.
_WAITING_MAX: Final = 100

_REASON_MAX: Final = 500

_NO_CONTENT = 204


def reply_routes(desk: Desk) -> APIRouter:
    """The one address, with and without a trailing slash (trap T7)."""
    router = APIRouter()

    @router.post("/reply/{token}", status_code=_NO_CONTENT)
    @router.post("/reply/{token}/", status_code=_NO_CONTENT, include_in_schema=False)
    async def reply(token: str, request: Request) -> Response:
        """The answer to a callback: the next session request, or nothing for the end."""
        capability = _opened(desk, token)
        slot = slot_of(capability)
        with bind_chain(slot.chain_id, slot.step, slot.generation):
            body = await _body(desk, request)
            answer = _answer(desk, capability.requestor, body)
            try:
                outcome = await Reply(desk, capability, answer).take()
            except UnknownChain:
                raise Problem(410, "the chain was deleted") from None
            _log.info("reply.judged", outcome=outcome.name)
            await _refuse(desk, slot, outcome)
            return Response(status_code=_NO_CONTENT)

    return router


class Reply:
    """One later answer; `answer` is None for the end of the chain."""

    def __init__(
        self, desk: Desk, capability: Capability, answer: SessionRequest | None
    ) -> None:
        """Prepare to take it in."""
        self._desk = desk
        self._capability = capability
        self._slot = slot_of(capability)
        self._session = capability.session or ""
        self._answer = answer
        # What the session worker claims the slot with: a repeat is known by it.
        wire = answer.to_wire() if answer else {"end": End.COMPLETED}
        self._answer_hash = desk.rows.answer_hash(wire)

    async def take(self) -> Replied:
        """Store the answer, once the result that it answers is stored."""
        outcome = Replied.UNPROVED
        for pause_s in RESULT_PAUSES_S:
            await asyncio.sleep(pause_s)
            outcome = await self._take(None)
            if outcome is Replied.UNPROVED and (told := await self._told()):
                outcome = await self._take(told)
            if outcome is not Replied.UNPROVED:
                break
        if outcome is Replied.TAKEN:
            self._desk.background.spawn(self._tidy())
        return outcome

    async def _take(self, told: CallbackSecrets | None) -> Replied:
        return await self._desk.rulings.by_outbox(
            self._slot,
            lambda view: take_reply(
                view,
                self._slot,
                answer_hash=self._answer_hash,
                session=self._session,
                told=told is not None,
            ),
            lambda outcome, view: (
                self._messages(told or self._stored(view))
                if outcome is Replied.TAKEN
                else []
            ),
        )

    def _messages(self, secrets: CallbackSecrets) -> list[Message]:
        """What the callback worker would have published for this answer."""
        make, capability = self._desk.make, self._capability
        callback = make.callback(
            self._slot,
            capability.requestor,
            session_result_from(secrets.result),
            purpose=Purpose.NEXT,
            url=secrets.url,
            validity_s=capability.validity_s,
        ).model_copy(update={"attempt": capability.attempt})
        now = self._desk.clock()
        if self._answer is None:
            event = happenings.callback_replied(callback, "end", now)
            ending = make.ending(
                callback, secrets, end=End.COMPLETED, cause=event.id, name="reply"
            )
            return [event_message(event), work_message(ending)]
        event = happenings.callback_replied(callback, "next", now)
        following = make.following(
            callback, secrets, self._answer, event.id, name="reply"
        )
        return [event_message(event), work_message(following)]

    def _stored(self, view: View) -> CallbackSecrets:
        """The result and its target, as the step's row has them."""
        rows, row = self._desk.rows, view.step
        result = rows.result(row) if row else None
        target = rows.request(row).next_session if row else None
        if result is None or target is None:
            raise SealBroken("a row that holds a chained result has none")
        return CallbackSecrets(
            result=result.to_wire(), token=result.token, url=target.url
        )

    async def _told(self) -> CallbackSecrets | None:
        """The result, as a message has it that waits.

        The row may hold that of another session of the step, or none yet (rule H3).
        """
        for row in await self._waiting():
            work = parse_work(row.message.body)
            if isinstance(work, (CallbackWork, EndWork)):
                sealer = self._desk.sealer
                return sealer.open_model(CallbackSecrets, work.sealed, bound_to=work.id)
        return None

    async def _tidy(self) -> None:
        """Nobody has to ask this endpoint again, or to wait for it."""
        try:
            ids = [row.id for row in await self._waiting()]
            await self._desk.store.drop_waiting(ids)
        except Unavailable as error:
            _log.warning("reply.rows_left", error=type(error).__name__)

    async def _waiting(self) -> list[Waiting]:
        """The rows of this very callback."""
        callback = self._slot.event_id("session.completed", self._session)
        rows = await self._desk.store.waiting(
            chain_id=self._slot.chain_id, limit=_WAITING_MAX
        )
        return [
            row
            for row in rows
            if row.kind in _OF_CALLBACKS and row.id.startswith(f"{callback}-")
        ]


def _opened(desk: Desk, token: str) -> Capability:
    try:
        capability = desk.sealer.open_capability(token, now=desk.clock())
    except SealExpired:
        raise Problem(410, "the time for this answer is over") from None
    except (SealBroken, SealKeyUnknown) as error:
        _log.warning("capability.refused", why=str(error))
        raise _no_such_address() from None
    if capability.kind != "reply":
        _log.warning("capability.refused", why="made for another purpose")
        raise _no_such_address()
    return capability


def _no_such_address() -> Problem:
    return Problem(404, "there is no such reply address")


async def _body(desk: Desk, request: Request) -> bytes:
    """The body, no longer than the answer to a callback may be."""
    try:
        body = await read_body(request)
    except IrmaFault as fault:
        raise Problem(400, fault.error.message or "body: not received") from None
    bytes_max = desk.options.answer_bytes_max
    if len(body) > bytes_max:
        raise Problem(413, f"body: longer than {bytes_max} bytes")
    return body


def _answer(desk: Desk, requestor: str, body: bytes) -> SessionRequest | None:
    """The session request in a body, if the chain may go on with it; None for the end.

    Raises:
        Problem: it is none, or not authorized. The address stays open for another one.
    """
    if not body:
        return None
    try:
        request = parse_session_request(body)
    except InvalidSessionRequest as error:
        raise Problem(400, f"no session request: {error}"[:_REASON_MAX]) from None
    augment = desk.options.augment_client_return_url
    reason = unfit(request) or unaugmentable(request, enabled=augment)
    if reason is not None:
        raise Problem(400, reason)
    refusal = desk.requestors.refusal(requestor, request)
    if refusal is not None:
        reason = f"next session not authorized: {refusal.reason}"
        raise Problem(403, reason[:_REASON_MAX])
    return request


async def _refuse(desk: Desk, slot: Slot, outcome: Replied) -> None:
    """Say why an answer was not taken; nothing when it was.

    Raises:
        Problem: 409, 410 or 503.
    """
    if outcome is Replied.RIVAL:
        raise Problem(409, "another answer was taken before: the first one counts")
    if outcome is Replied.CLOSED:
        raise Problem(410, await _why_closed(desk, slot))
    if outcome is Replied.UNPROVED:
        reason = "the result that this answers is still being stored; try again"
        raise Problem(503, reason, {"Retry-After": "1"})


async def _why_closed(desk: Desk, slot: Slot) -> str:
    chain = await desk.store.chain(slot.chain_id)
    if chain is not None and chain.generation != slot.generation:
        return "the chain was replayed: this callback is not its own any more"
    return f"the chain is {chain.state if chain else 'deleted'}"
