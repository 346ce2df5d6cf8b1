"""Makes work messages: ids that follow from what happened, secrets sealed for each.

Who derives a message from another opens its secrets and seals them again here, as a seal
is bound to the id of the message it sits in (DESIGN §5).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal, TypedDict

from pydantic import JsonValue

from orchestrator.domain.chain import Slot
from orchestrator.domain.endpoint import events_origin_of, origin_of
from orchestrator.ports import (
    LANES,
    PARKED,
    RETRY,
    Message,
    Queues,
    Waiting,
    work_message,
)
from orchestrator.sealing import Sealer
from schemas.capabilities import Capability
from schemas.events import ChainEvent, Purpose
from schemas.irma import SessionRequest, SessionResult
from schemas.messages import (
    CallbackSecrets,
    CallbackWork,
    CancelSecrets,
    CancelWork,
    End,
    EndWork,
    EventWork,
    IntakeSecrets,
    IntakeWork,
    NextSecrets,
    NextWork,
    NoteSecrets,
    NoteWork,
    NotifyWork,
    PutOff,
    ReplyAddress,
    StartWork,
    TriedWork,
    WakeUp,
    Work,
    parse_work,
)

#: The kind of rows that end a chain when a later answer does not come.
DEADLINE: Final = "deadline"

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
        *,
        name: str = "next",
    ) -> NextWork:
        """The endpoint's answer is this request; `name` tells how it came in ids."""
        next_id = f"{work.id}-{name}"
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
        end: Literal[End.COMPLETED, End.FAILED, End.EXPIRED],
        cause: str,
        reason: str | None = None,
        name: str = "end",
    ) -> EndWork:
        """The endpoint's answer, or its lack, ends the chain; `name` as above."""
        end_id = f"{work.id}-{name}"
        return EndWork(
            id=end_id,
            **_placed(slot_of(work), work.requestor),
            cause=cause,
            end=end,
            reason=reason,
            reply=work.reply,
            sealed=self.sealer.seal_model(secrets, bound_to=end_id),
        )

    def again(self, work: TriedWork, delay_s: float, now: datetime) -> Waiting:
        """The next attempt as a waiting row; the app does not wait for it."""
        later = _unawaited(work).model_copy(
            update={
                "attempt": work.attempt + 1,
                "retries": work.retries + 1,
                "parked_at": None,
            }
        )
        # By the retries, which only this counts: attempts start anew after a redelivery,
        # and must not make a second row for the same pause.
        row_id = f"{work.id}-retry-{later.retries}"
        return Waiting(
            id=row_id,
            kind=RETRY,
            due_at=now + timedelta(seconds=delay_s),
            message=replace(work_message(later), id=f"{row_id}:work"),
            chain_id=work.chain_id,
            endpoint=work.endpoint,
            created_at=now,
        )

    def parked(self, work: TriedWork, now: datetime) -> Waiting:
        """The same try, kept back until its endpoint may be asked (DESIGN §4).

        Parked again it keeps its first time, by which rows are released. Each parking has
        a row of its own: the one before is deleted only after its message went out.
        """
        first = work.parked_at or now
        later = _unawaited(work).model_copy(
            update={"parked_at": first, "parkings": work.parkings + 1}
        )
        row_id = f"{work.id}-parked-{later.parkings}"
        return Waiting(
            id=row_id,
            kind=PARKED,
            due_at=first,
            message=replace(work_message(later), id=f"{row_id}:work"),
            chain_id=work.chain_id,
            endpoint=work.endpoint,
            created_at=first,
        )

    def deadline(
        self,
        work: CallbackWork,
        secrets: CallbackSecrets,
        *,
        until: datetime,
        cause: str,
        now: datetime,
    ) -> Waiting:
        """The end of a chain whose endpoint never sends the answer it has promised."""
        ending = self.ending(
            work.model_copy(update={"reply": None}),
            secrets,
            end=End.EXPIRED,
            cause=cause,
            reason="the endpoint answered 202, but its answer did not come in time",
            name=DEADLINE,
        )
        return Waiting(
            id=ending.id,
            kind=DEADLINE,
            due_at=until,
            message=work_message(ending),
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

    def note(self, slot: Slot, requestor: str, result: SessionResult) -> NoteWork:
        """A proved result was taken in while the store was away (rule H4)."""
        note_id = slot.event_id("note", self.ordinal(result.token))
        secrets = NoteSecrets(token=result.token, result=result.to_wire())
        return NoteWork(
            id=note_id,
            **_placed(slot, requestor),
            cause=note_id,
            sealed=self.sealer.seal_model(secrets, bound_to=note_id),
        )

    def cancel(
        self, slot: Slot, requestor: str, token: str, *, until: datetime
    ) -> CancelWork:
        """The row has given this session up; it may live until then."""
        cancel_id = slot.event_id("cancel", self.ordinal(token))
        secrets = CancelSecrets(token=token)
        return CancelWork(
            id=cancel_id,
            **_placed(slot, requestor),
            cause=cancel_id,
            until=until,
            sealed=self.sealer.seal_model(secrets, bound_to=cancel_id),
        )

    def notify(self, callback: CallbackWork, *, until: datetime) -> NotifyWork:
        """A notification whose next session is not known yet, but will be by then."""
        notify_id = f"{callback.id}-notify"
        secrets = self.sealer.open_model(
            CallbackSecrets, callback.sealed, bound_to=callback.id
        )
        return NotifyWork(
            id=notify_id,
            **_placed(slot_of(callback), callback.requestor),
            cause=callback.cause,
            validity_s=callback.validity_s,
            until=until,
            sealed=self.sealer.seal_model(secrets, bound_to=notify_id),
        )


def event_work(event: ChainEvent, body: bytes, url: str) -> EventWork:
    """POST this event, as everybody is told it, to its requestor's own URL.

    Its id is not the event's, which may be that of a callback; their rows are apart.
    """
    return EventWork(
        id=f"{event.id}-url",
        chain_id=event.chainid,
        step=event.step,
        generation=event.generation,
        requestor=event.requestor,
        cause=event.id,
        endpoint=events_origin_of(url),
        event_id=event.id,
        event=body.decode(),
    )


def _unawaited(work: TriedWork) -> TriedWork:
    """The same, for which no app waits any more."""
    if isinstance(work, EventWork):
        return work
    return work.model_copy(update={"reply": None})


def put_off(work: PutOff, pause: timedelta, now: datetime) -> Waiting:
    """The same message once more after a pause, as a waiting row.

    Each wait has a row of its own: the clock drops the one that has brought the message
    only after it was published, so what is put under the same id would go with it.
    """
    later = work.model_copy(update={"waits": work.waits + 1})
    row_id = f"{_waits_as(work)}{later.waits}"
    return Waiting(
        id=row_id,
        kind=work.kind,
        due_at=now + pause,
        message=replace(work_message(later), id=f"{row_id}:work"),
        chain_id=work.chain_id,
        created_at=now,
    )


def waits_already(work: PutOff, rows: Iterable[Waiting]) -> bool:
    """Whether the same work waits among these rows, but for the row that brought it.

    A state that is announced again and again has the same id each time.
    """
    prefix = _waits_as(work)
    waits = [row.id.removeprefix(prefix) for row in rows if row.id.startswith(prefix)]
    return any(int(number) > work.waits for number in waits)


def _waits_as(work: PutOff) -> str:
    return f"{work.id}-again-"


def ends_with_generation(row: Waiting) -> bool:
    """Whether what waits is over once its generation is closed (DESIGN §2).

    What the chain owes to others is not: its events, the final states that requestors
    are told of, and the cancellation of sessions that were given up.
    """
    if row.message.routing_key not in {*LANES.values(), Queues.SESSIONS}:
        return False
    work = parse_work(row.message.body)
    if isinstance(work, CallbackWork):
        return work.purpose is Purpose.NEXT
    return not isinstance(work, CancelWork | NotifyWork | EventWork)


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
