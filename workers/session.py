"""The session worker: it alone decides what a chain's next step, or its end, is.

Decode, decide, act, settle. Every kind of work claims or changes one slot by a pure rule
in the store; what follows from the outcome (events, the wake-up of the gateway that
waits, the start) is published again when the message comes again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from orchestrator.domain import claiming, handover
from orchestrator.domain.chain import Ending, Slot, Step, View, timeout_of
from orchestrator.domain.claiming import Budget, Claim, NextSession, Proved
from orchestrator.domain.endpoint import origin_of
from orchestrator.domain.errors import UnknownChain, Unroutable
from orchestrator.domain.handover import Detach
from orchestrator.domain.requestors import Requestors
from orchestrator.domain.ruling import Ruling, telling_overtaken
from orchestrator.ports import Clock, Delivery, Message, Publisher, wake_up_message
from orchestrator.preparing import Preparer
from orchestrator.rows import RowSecrets
from orchestrator.rulings import Rulings
from orchestrator.sealing import Sealer
from orchestrator.telemetry import bind_chain
from orchestrator.work import slot_of, start_message
from schemas.irma import SessionRequest, session_request_from, session_result_from
from schemas.messages import (
    CallbackSecrets,
    CancelWork,
    End,
    EndWork,
    IntakeWork,
    NextSecrets,
    NextWork,
    NoteSecrets,
    NoteWork,
    NotifyWork,
    SessionWork,
    StartWork,
    Wake,
    WakeUp,
)
from workers.cancelling import Canceller
from workers.decoding import session_work
from workers.intake import IntakeDesk
from workers.notifying import NotifyingDesk
from workers.refusing import refusal_of
from workers.starting import Starter

_log = structlog.get_logger(__name__)

#: What the waiting gateway is told; a claim that has no effect lets it answer at once.
_WAKES: Final[Mapping[Claim, Wake]] = {
    Claim.OFFERED: Wake.OFFERED,
    Claim.MINE_OFFERED: Wake.OFFERED,
}


@dataclass(frozen=True, kw_only=True)
class SessionWorker:
    """Handles the queue `sessions`."""

    publisher: Publisher
    rulings: Rulings
    sealer: Sealer
    rows: RowSecrets
    preparer: Preparer
    requestors: Requestors
    budget: Budget
    intake: IntakeDesk
    starter: Starter
    canceller: Canceller
    notifying: NotifyingDesk
    clock: Clock
    augment_client_return_url: bool

    async def __call__(self, delivery: Delivery) -> None:
        """Handle one message by its kind."""
        work = session_work(delivery)
        slot = slot_of(work)
        with bind_chain(work.chain_id, work.step, work.generation):
            try:
                await self._handle(slot, work)
            except UnknownChain:
                await self._unknown(slot, work)

    async def _unknown(self, slot: Slot, work: SessionWork) -> None:
        """A session of no chain has no effect; an app that waits for it is let go.

        Of two requests with one idempotency key both start a session (and a crash may
        come before the chain is written): the one that leads nowhere reports here too.
        """
        _log.warning("session.unknown_chain", kind=work.kind)
        if isinstance(work, NextWork | EndWork):
            await self._wake(slot, work, Wake.LATER)

    async def _handle(self, slot: Slot, work: SessionWork) -> None:
        match work:
            case NextWork():
                await self._next(slot, work)
            case EndWork():
                await self._end(slot, work)
            case IntakeWork():
                await self.intake.take(slot, work)
            case NoteWork():
                await self._note(slot, work)
            case StartWork():
                await self.starter.start(slot)
            case CancelWork():
                await self.canceller.take(work)
            case NotifyWork():
                await self.notifying.take(slot, work)

    async def _next(self, slot: Slot, work: NextWork) -> None:
        """The endpoint wants another session: authorize, prepare, claim, offer."""
        secrets = self.sealer.open_model(NextSecrets, work.sealed, bound_to=work.id)
        request = session_request_from(secrets.request)
        proved = self.rows.proved(slot, session_result_from(secrets.result))
        answer = self.rows.answer_hash(secrets.request)
        if (reason := self._refusal(work.requestor, request)) is not None:
            ending = Ending(
                end=End.FAILED, cause=work.cause, reason=reason, endpoint=work.endpoint
            )
            await self._claim_end(slot, work, ending, proved, answer)
            return
        following = self._following(slot.following, work.requestor, request)

        def rule(view: View) -> Ruling[tuple[Claim, Step | None]]:
            ruling = claiming.claim_next(
                view,
                slot,
                following,
                proved,
                answer_hash=answer,
                cause=work.cause,
                deadline=work.reply.deadline if work.reply else None,
                budget=self.budget,
                endpoint=work.endpoint,
            )
            return telling_overtaken(view, ruling)

        (outcome, _), messages = await self.rulings.by_message(slot, rule, self._given_up)
        _claimed(outcome)
        if outcome in {Claim.DETACHED, Claim.MINE_DETACHED}:
            messages.append(start_message(slot.following, work.requestor))
        await self.publisher.publish(*messages)
        ended = Wake.FAILED if outcome is Claim.ENDED else Wake.LATER
        await self._wake(slot, work, _WAKES.get(outcome, ended))

    def _refusal(self, requestor: str, request: SessionRequest) -> str | None:
        """Why this request may not follow, or None."""
        augment = self.augment_client_return_url
        return refusal_of(self.requestors, requestor, request, augment=augment)

    async def _end(self, slot: Slot, work: EndWork) -> None:
        """The endpoint's answer ends the chain, or the callback failed for good."""
        secrets = self.sealer.open_model(CallbackSecrets, work.sealed, bound_to=work.id)
        proved = self.rows.proved(slot, session_result_from(secrets.result))
        ending = Ending(
            end=work.end,
            cause=work.cause,
            reason=work.reason,
            endpoint=origin_of(secrets.url),
        )
        answer = self.rows.answer_hash({"end": work.end})
        await self._claim_end(slot, work, ending, proved, answer)

    async def _claim_end(
        self,
        slot: Slot,
        work: NextWork | EndWork,
        ending: Ending,
        proved: Proved,
        answer: str,
    ) -> None:
        def rule(view: View) -> Ruling[tuple[Claim, Step | None]]:
            ruling = claiming.claim_end(
                view, slot, ending, proved=proved, answer_hash=answer
            )
            return telling_overtaken(view, ruling)

        (outcome, _), messages = await self.rulings.by_message(slot, rule, self._given_up)
        _claimed(outcome, ending.end)
        await self.publisher.publish(*messages)
        mine = outcome in {Claim.ENDED, Claim.MINE}
        failed = Wake.FAILED if ending.end is End.FAILED else Wake.ENDED
        await self._wake(slot, work, failed if mine else Wake.LATER)

    def _given_up(self, outcome: tuple[Claim, Step | None], view: View) -> list[Message]:
        """Another session of the step was proved: the row's own leads nowhere (H3)."""
        return self.canceller.of(outcome[1], view)

    async def _note(self, slot: Slot, work: NoteWork) -> None:
        """A proved result was taken in while the store was away (rule H4)."""
        secrets = self.sealer.open_model(NoteSecrets, work.sealed, bound_to=work.id)
        token, result = secrets.token, secrets.result
        sealed_result = (
            self.rows.seal_result(slot, session_result_from(result)) if result else None
        )
        token_hash = self.sealer.token_hash(token)
        sealed_token = self.rows.seal_token(slot, token)
        await self.rulings.by_outbox(
            slot,
            lambda view: claiming.take_in(
                view,
                slot,
                token_hash=token_hash,
                sealed_token=sealed_token,
                sealed_result=sealed_result,
            ),
        )

    async def _wake(self, slot: Slot, work: NextWork | EndWork, wake: Wake) -> None:
        """Tell the gateway that waits; an offer nobody waits for is detached."""
        if work.reply is None:
            return
        row = slot.following
        wake_up = WakeUp(
            wake=wake,
            chain_id=row.chain_id,
            step=row.step,
            generation=row.generation,
            requestor=work.requestor,
            cause=work.cause,
        )
        try:
            await self.publisher.publish(wake_up_message(work.reply, wake_up))
        except Unroutable:
            _log.info("session.nobody_waits", wake=wake)
            if wake is Wake.OFFERED:
                await self._detach(row, work.requestor)

    async def _detach(self, row: Slot, requestor: str) -> None:
        """`offered` → `detached`, and its start published at once (rule H5)."""
        outcome, messages = await self.rulings.by_message(
            row, lambda view: handover.detach(view, row)
        )
        if outcome is Detach.DETACHED:
            messages.append(start_message(row, requestor))
        await self.publisher.publish(*messages)

    def _following(
        self, row: Slot, requestor: str, request: SessionRequest
    ) -> NextSession:
        """The row of the next session: what was asked for, and what its backend gets."""
        prepared = self.preparer.prepared(request, row, requestor, self.clock())
        return NextSession(
            session_type=request.type,
            attributes=tuple(request.attribute_ids()),
            chained=request.next_session is not None,
            timeout_s=timeout_of(request),
            sealed_request=self.rows.seal_request(row, request),
            sealed_prepared=self.rows.seal_prepared(row, prepared),
        )


def _claimed(outcome: Claim, end: End | None = None) -> None:
    """Who got the slot; an endpoint that has answered twice should learn which counts."""
    if outcome is Claim.RIVAL:
        _log.warning("session.answer_lost", end=end)
    else:
        _log.info("session.claimed", outcome=outcome.name, end=end)
