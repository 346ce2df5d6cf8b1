"""Makes work messages: ids that follow from what happened, secrets sealed for each.

Who derives a message from another opens its secrets and seals them again here, as a seal
is bound to the id of the message it sits in (DESIGN §5).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, TypedDict

from pydantic import JsonValue

from orchestrator.domain.chain import Slot
from orchestrator.domain.endpoint import origin_of
from orchestrator.ports import Message, Waiting, work_message
from orchestrator.sealing import Sealer
from schemas.capabilities import Capability
from schemas.events import Purpose
from schemas.irma import SessionRequest, SessionResult
from schemas.messages import (
    CallbackSecrets,
    CallbackWork,
    End,
    EndWork,
    IntakeSecrets,
    IntakeWork,
    NextSecrets,
    NextWork,
    NoteSecrets,
    NoteWork,
    ReplyAddress,
    StartWork,
    WakeUp,
    Work,
)

#: How much of a token's keyed hash tells the sessions of one step apart.
_ORDINAL_CHARS = 12


class _Place(TypedDict):
    chain_id: str
    step: int
    generation: int
    requestor: str


def _placed(slot: Slot, requestor: str) -> _Place:
    """Where a message belongs."""
    return {
        "chain_id": slot.chain_id,
        "step": slot.step,
        "generation": slot.generation,
        "requestor": requestor,
    }


def slot_of(placed: Work | WakeUp | Capability) -> Slot:
    """The slot that a message or a capability is about."""
    return Slot(chain_id=placed.chain_id, step=placed.step, generation=placed.generation)


@dataclass(frozen=True, kw_only=True)
class WorkMaker:
    """Makes every kind of work message."""

    sealer: Sealer

    def ordinal(self, token: str) -> str:
        """Tells the sessions of one step apart in ids, without telling the token."""
        return self.sealer.token_hash(token)[:_ORDINAL_CHARS]

    def callback(
        self,
        slot: Slot,
        requestor: str,
        result: SessionResult,
        *,
        purpose: Purpose,
        url: str,
        validity_s: int,
        cause: str | None = None,
        reply: ReplyAddress | None = None,
    ) -> CallbackWork:
        """POST this result; a next session's id is that of its completion, its cause."""
        kind = "session.completed" if purpose is Purpose.NEXT else "session.notified"
        work_id = slot.event_id(kind, self.ordinal(result.token))
        secrets = CallbackSecrets(result=result.to_wire(), token=result.token, url=url)
        return CallbackWork(
            id=work_id,
            **_placed(slot, requestor),
            cause=cause or work_id,
            purpose=purpose,
            endpoint=origin_of(url),
            session_type=result.type,
            validity_s=validity_s,
            reply=reply,
            sealed=self.sealer.seal_model(secrets, bound_to=work_id),
        )

    def following(
        self,
        work: CallbackWork,
        secrets: CallbackSecrets,
        request: SessionRequest,
        cause: str,
    ) -> NextWork:
        """The endpoint's answer is this request."""
        next_id = f"{work.id}-next"
        wire: dict[str, JsonValue] = request.to_wire()
        inner = NextSecrets(
            result=secrets.result, token=secrets.token, url=secrets.url, request=wire
        )
        return NextWork(
            id=next_id,
            **_placed(slot_of(work), work.requestor),
            cause=cause,
            endpoint=work.endpoint,
            reply=work.reply,
            sealed=self.sealer.seal_model(inner, bound_to=next_id),
        )

    def ending(
        self,
        work: CallbackWork,
        secrets: CallbackSecrets,
        *,
        end: Literal[End.COMPLETED, End.FAILED],
        cause: str,
        reason: str | None = None,
    ) -> EndWork:
        """The endpoint's answer, or its lack, ends the chain."""
        end_id = f"{work.id}-end"
        return EndWork(
            id=end_id,
            **_placed(slot_of(work), work.requestor),
            cause=cause,
            end=end,
            reason=reason,
            reply=work.reply,
            sealed=self.sealer.seal_model(secrets, bound_to=end_id),
        )

    def again(self, work: CallbackWork, delay_s: float, now: datetime) -> Waiting:
        """The callback's next attempt as a waiting row; the app does not wait for it."""
        later = work.model_copy(
            update={
                "attempt": work.attempt + 1,
                "retries": work.retries + 1,
                "reply": None,
            }
        )
        # By the retries, which only this counts: attempts start anew after a redelivery,
        # and must not make a second row for the same pause.
        row_id = f"{work.id}-retry-{later.retries}"
        return Waiting(
            id=row_id,
            kind="retry",
            due_at=now + timedelta(seconds=delay_s),
            message=replace(work_message(later), id=f"{row_id}:work"),
            chain_id=work.chain_id,
            endpoint=work.endpoint,
            created_at=now,
        )

    def intake(
        self,
        slot: Slot,
        requestor: str,
        result: SessionResult,
        source: Literal["callback", "poll"],
    ) -> IntakeWork:
        """A session's state, for the session worker to judge."""
        ordinal = f"{self.ordinal(result.token)}-{result.status.lower()}-{source}"
        intake_id = slot.event_id("intake", ordinal)
        secrets = IntakeSecrets(result=result.to_wire())
        return IntakeWork(
            id=intake_id,
            **_placed(slot, requestor),
            cause=intake_id,
            source=source,
            sealed=self.sealer.seal_model(secrets, bound_to=intake_id),
        )

    def note(self, slot: Slot, requestor: str, token: str) -> NoteWork:
        """A proved result was taken in while the store was away (rule H4)."""
        note_id = slot.event_id("note", self.ordinal(token))
        return NoteWork(
            id=note_id,
            **_placed(slot, requestor),
            cause=note_id,
            sealed=self.sealer.seal_model(NoteSecrets(token=token), bound_to=note_id),
        )


def start_message(slot: Slot, requestor: str) -> Message:
    """The row is `detached`: start its session."""
    start_id = slot.event_id("start")
    return work_message(
        StartWork(
            id=start_id,
            **_placed(slot, requestor),
            cause=start_id,
        )
    )
