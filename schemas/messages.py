"""What travels on the work queues and what is sealed inside it.

A message is JSON with an open part (ids, clocks, the endpoint's origin) and one sealed
part, bound to the message's id (DESIGN §5). Who derives a message from another opens
the sealed part and seals it again for the new id.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from schemas.events import Purpose, explain


class MessageInvalid(ValueError):
    """Bytes that are no work message; the text names the fields and the reasons."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class End(StrEnum):
    """How a chain can end."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Lane(StrEnum):
    """The queues of callbacks, each with workers of its own (DESIGN §3)."""

    LIVE = "live"
    REPLAY = "replay"
    EVENTS = "events"


class ReplyAddress(_Strict):
    """Where a gateway waits for the step's outcome, and until when."""

    queue: str
    correlation_id: str
    deadline: datetime


class _Work(_Strict):
    """What every work message says of itself."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    chain_id: str
    step: Annotated[int, Field(ge=1)]
    generation: Annotated[int, Field(ge=0)]
    requestor: str
    cause: str


#: How often the message has waited in the store; tells its waiting rows apart.
_Waits = Annotated[int, Field(ge=0)]


class _Tried(_Work):
    """What is POSTed to an endpoint until it is done or given up.

    `attempt` is the number of the next HTTP try, `retries` how many background delays
    were used up. Both travel here, so any worker may make the next try. `parked_at` is
    when the next try was first kept back for its endpoint's sake, `parkings` how often
    tries of this message were: it tells their rows apart.
    """

    endpoint: str
    attempt: Annotated[int, Field(ge=1)] = 1
    retries: Annotated[int, Field(ge=0)] = 0
    parked_at: datetime | None = None
    parkings: Annotated[int, Field(ge=0)] = 0


class CallbackWork(_Tried):
    """POST one result to one URL (queue of its lane); sealed: `CallbackSecrets`."""

    kind: Literal["callback"] = "callback"
    purpose: Purpose
    session_type: str
    validity_s: int
    lane: Lane = Lane.LIVE
    reply: ReplyAddress | None = None
    sealed: str


class EventWork(_Tried):
    """POST one event to its requestor's own URL (queue `callbacks.events`).

    `event` is its JSON as everybody is told it, so nothing is sealed. The URL is that of
    the configuration when it is POSTed.
    """

    kind: Literal["event"] = "event"
    event_id: str
    event: str


#: What a worker of a lane tries.
TriedWork = CallbackWork | EventWork


class CallbackSecrets(_Strict):
    """The result as its backend gave it, the session's token and the URL to POST to."""

    result: dict[str, JsonValue]
    token: str
    url: str


class NextWork(_Work):
    """The endpoint answered with a next session request (queue `sessions`)."""

    kind: Literal["next"] = "next"
    endpoint: str
    reply: ReplyAddress | None = None
    sealed: str


class NextSecrets(_Strict):
    """The finished step's result, token and target, and the endpoint's answer."""

    result: dict[str, JsonValue]
    token: str
    url: str
    request: dict[str, JsonValue]


class EndWork(_Work):
    """The chain ends after this step (queue `sessions`); sealed: `CallbackSecrets`."""

    kind: Literal["end"] = "end"
    end: End
    reason: str | None = None
    reply: ReplyAddress | None = None
    sealed: str


class IntakeWork(_Work):
    """A session's state came in beside the bridge; sealed: `IntakeSecrets`."""

    kind: Literal["intake"] = "intake"
    source: Literal["callback", "poll"]
    waits: _Waits = 0
    sealed: str


class IntakeSecrets(_Strict):
    """A session result as its backend gave it."""

    result: dict[str, JsonValue]


class NoteWork(_Work):
    """A proved result was taken in while the store was away: mark the row (rule H4)."""

    kind: Literal["note"] = "note"
    sealed: str


class NoteSecrets(_Strict):
    """The token of the session that was proved, and its result as its backend gave it."""

    token: str
    result: dict[str, JsonValue] | None = None


class StartWork(_Work):
    """The step's row is `detached`: start its session on its own."""

    kind: Literal["start"] = "start"


class CancelWork(_Work):
    """Cancel a session that the step's row does not point to any more.

    Tried again until its backend answers, or `until` it can live no longer.
    """

    kind: Literal["cancel"] = "cancel"
    until: datetime
    waits: _Waits = 0
    sealed: str


class CancelSecrets(_Strict):
    """The token of the session that was given up."""

    token: str


class NotifyWork(_Work):
    """Tell a final state to its requestor once it is known which session follows.

    Sealed: `CallbackSecrets`. After `until` it is told without.
    """

    kind: Literal["notify"] = "notify"
    validity_s: int
    until: datetime
    waits: _Waits = 0
    sealed: str


#: What may be put off: its message then waits in the store for a while.
PutOff = IntakeWork | CancelWork | NotifyWork

SessionWork = (
    NextWork | EndWork | IntakeWork | NoteWork | StartWork | CancelWork | NotifyWork
)
Work = TriedWork | SessionWork

_WORK: Final[TypeAdapter[Work]] = TypeAdapter(
    Annotated[Work, Field(discriminator="kind")]
)


class Wake(StrEnum):
    """What a gateway that waits in the bridge is told."""

    OFFERED = "offered"
    ENDED = "ended"
    FAILED = "failed"
    ELSEWHERE = "elsewhere"
    LATER = "later"


class WakeUp(_Strict):
    """A message on a gateway's reply queue; what it is about stands in the row."""

    kind: Literal["wake"] = "wake"
    wake: Wake
    chain_id: str
    step: int
    generation: int
    requestor: str
    cause: str


def parse_work(body: bytes) -> Work:
    """Read one work message.

    Raises:
        MessageInvalid: naming each field that is wrong and why.
    """
    try:
        return _WORK.validate_json(body)
    except ValidationError as error:
        raise MessageInvalid(explain(error)) from None


def parse_wake_up(body: bytes) -> WakeUp:
    """Read one wake-up.

    Raises:
        MessageInvalid: naming each field that is wrong and why.
    """
    try:
        return WakeUp.model_validate_json(body)
    except ValidationError as error:
        raise MessageInvalid(explain(error)) from None


def dump(message: Work | WakeUp) -> bytes:
    """The message as JSON; absent fields are left out."""
    return message.model_dump_json(exclude_none=True).encode()
