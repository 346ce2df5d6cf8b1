"""Session events as CloudEvents 1.0 in structured JSON, for subscribers and history.

The open part of an event names attributes, never their values, and endpoints by their
origin, never by their path. An event's id is derived from what it says, so an event that
is published twice is the same event (DESIGN §5).

Source: CloudEvents 1.0.2 §3 (attributes, naming of extensions).
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal, NotRequired, TypedDict

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

#: CloudEvents `source` of everything this product says; (source, id) names an event.
SOURCE: Final = "urn:session-chain-orchestrator"

#: Media type of a CloudEvent in structured mode (CloudEvents JSON format §3).
CLOUDEVENTS_JSON: Final = "application/cloudevents+json"

#: What is said of a model that was to be chosen by the value of one field.
_TAG_FAULTS: Final = frozenset({"union_tag_invalid", "union_tag_not_found"})

EndReason = Annotated[str, Field(max_length=500)]


class Purpose(StrEnum):
    """Why a result is POSTed: for the next session, or to a requestor's `callbackUrl`."""

    NEXT = "next"
    NOTIFY = "notify"


class EventInvalid(ValueError):
    """Bytes that are no event of ours; the text names the fields and the reasons."""


class _Data(BaseModel):
    """The `data` of an event: camelCase on the wire as everything IRMA."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )


class ChainStartedData(_Data):
    """A requestor's first session became a chain."""

    backend: str


class ChainEndedData(_Data):
    """How a chain ended, after how many steps and why."""

    steps: int
    duration_s: float
    reason: EndReason | None = None


class ChainReplayedData(_Data):
    """A chain that had ended goes on in its next generation.

    `again` is what the generation begins with, `ended` how the one before had ended.
    """

    again: Literal["callback", "session"]
    ended: Literal["failed", "expired"]
    reason: EndReason | None = None


class SessionRequestedData(_Data):
    """A session is to be started; `in_flow` while the app waits for it."""

    session_type: str
    backend: str
    attributes: tuple[str, ...] = ()
    chained: bool
    in_flow: bool


class SessionStartedData(_Data):
    """A live session exists; its pointer is told to the requestor and the user only."""

    session_type: str
    backend: str
    in_flow: bool


class SessionConnectedData(_Data):
    """The user's app has connected to the session."""

    session_type: str
    backend: str


class SessionCompletedData(_Data):
    """A session was proved and its result handed to us."""

    session_type: str
    proof_status: str
    disclosed: tuple[str, ...] = ()


class SessionEndedData(_Data):
    """The final state of a session at its backend."""

    session_type: str
    status: str
    proof_status: str | None = None
    reason: EndReason | None = None


class CallbackRetryingData(_Data):
    """An attempt was not answered; the next one follows at `next_at`."""

    endpoint: str
    purpose: Purpose
    attempt: int
    clock: Literal["live", "background"]
    delay_ms: int
    next_at: datetime
    status: int | None = None
    fault: str | None = None


class CallbackParkedData(_Data):
    """A callback is kept back for its endpoint's sake; its next attempt is not spent."""

    endpoint: str
    purpose: Purpose
    attempt: int
    kept: Literal["limit", "open", "paused"]


class CallbackAnsweredData(_Data):
    """The endpoint answered; `answer` is what it said about the chain.

    One that came to the reply URL has neither status nor duration.
    """

    endpoint: str
    purpose: Purpose
    attempt: int
    status: int | None = None
    duration_ms: int | None = None
    answer: Literal["next", "end", "later", "noted"]


class CallbackFailedData(_Data):
    """A callback was given up; `reason` says why."""

    endpoint: str
    purpose: Purpose
    attempt: int
    reason: EndReason
    status: int | None = None
    fault: str | None = None


class EndpointChangedData(_Data):
    """How an endpoint stands: its breaker, and whether an operator has paused it.

    `attempts` and `failures` are those of the window in which it opened last, `trips` how
    often it opened since it was last well, `probe_at` when it is tried again.
    """

    state: Literal["closed", "open", "half_open"]
    paused: bool
    trips: int
    attempts: int
    failures: int
    probe_at: datetime | None = None
    note: EndReason | None = None


class _Envelope(BaseModel):
    """CloudEvents attributes, and the extensions that every event may have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    specversion: Literal["1.0"] = "1.0"
    id: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_-]+$")]
    source: Literal["urn:session-chain-orchestrator"] = SOURCE
    subject: str
    time: datetime
    datacontenttype: Literal["application/json"] = "application/json"
    causationid: str | None = None
    traceparent: str | None = None
    sequence: Annotated[int, Field(ge=1)] | None = None


class _Event(_Envelope):
    """The envelope of a chain's event; its `subject` is the chain."""

    chainid: str
    step: Annotated[int, Field(ge=1)]
    generation: Annotated[int, Field(ge=0)]
    requestor: str


class EnvelopeFields(TypedDict):
    """What every event of a chain says of itself, as its model takes it."""

    id: str
    subject: str
    time: datetime
    chainid: str
    step: int
    generation: int
    requestor: str
    causationid: str | None
    traceparent: NotRequired[str]


class ChainStarted(_Event):
    """A chain began."""

    type: Literal["chain.started"] = "chain.started"
    data: ChainStartedData


class ChainEnded(_Event):
    """A chain reached a terminal state."""

    type: Literal["chain.completed", "chain.failed", "chain.cancelled", "chain.expired"]
    data: ChainEndedData


class ChainReplayed(_Event):
    """A generation was closed and the next one began."""

    type: Literal["chain.replayed"] = "chain.replayed"
    data: ChainReplayedData


class SessionRequested(_Event):
    """A next session was decided upon."""

    type: Literal["session.requested"] = "session.requested"
    data: SessionRequestedData


class SessionStarted(_Event):
    """A session is live."""

    type: Literal["session.started"] = "session.started"
    data: SessionStartedData


class SessionConnected(_Event):
    """The user's app has connected, as somebody saw who asked how the session is."""

    type: Literal["session.connected"] = "session.connected"
    data: SessionConnectedData


class SessionCompleted(_Event):
    """A session was proved and handed to us."""

    type: Literal["session.completed"] = "session.completed"
    data: SessionCompletedData


class SessionEnded(_Event):
    """A session is final at its backend."""

    type: Literal[
        "session.finished", "session.cancelled", "session.expired", "session.failed"
    ]
    data: SessionEndedData


class CallbackRetrying(_Event):
    """A callback will be tried again."""

    type: Literal["callback.retrying"] = "callback.retrying"
    data: CallbackRetryingData


class CallbackParked(_Event):
    """A callback waits until its endpoint may be asked."""

    type: Literal["callback.parked"] = "callback.parked"
    data: CallbackParkedData


class CallbackAnswered(_Event):
    """A callback got its answer."""

    type: Literal["callback.answered"] = "callback.answered"
    data: CallbackAnsweredData


class CallbackFailed(_Event):
    """A callback was given up."""

    type: Literal["callback.failed"] = "callback.failed"
    data: CallbackFailedData


class EndpointChanged(_Envelope):
    """Something that operators should know of an endpoint; it is the `subject`."""

    type: Literal[
        "endpoint.opened", "endpoint.closed", "endpoint.paused", "endpoint.resumed"
    ]
    data: EndpointChangedData


ChainEvent = (
    ChainStarted
    | ChainEnded
    | ChainReplayed
    | SessionRequested
    | SessionStarted
    | SessionConnected
    | SessionCompleted
    | SessionEnded
    | CallbackRetrying
    | CallbackParked
    | CallbackAnswered
    | CallbackFailed
)

Event = ChainEvent | EndpointChanged

_EVENT: Final[TypeAdapter[Event]] = TypeAdapter(
    Annotated[Event, Field(discriminator="type")]
)


def parse_event(body: bytes) -> Event:
    """Read one event from structured CloudEvents JSON.

    Raises:
        EventInvalid: naming each field that is wrong and why.
    """
    try:
        return _EVENT.validate_json(body)
    except ValidationError as error:
        raise EventInvalid(explain(error)) from None


def dump_event(event: Event) -> bytes:
    """The event as structured CloudEvents JSON; absent attributes are left out."""
    return event.model_dump_json(by_alias=True, exclude_none=True).encode()


def explain(error: ValidationError) -> str:
    """A validation error as `field: reason`, without the values that were refused."""
    details = error.errors(include_input=False, include_url=False)
    return "; ".join(map(_explained, details))


def _explained(detail: ErrorDetails) -> str:
    place = [str(part) for part in detail["loc"]]
    reason = detail["msg"].removeprefix("Value error, ")
    if detail["type"] in _TAG_FAULTS:  # its own text repeats the value and has no place
        context = detail["ctx"]
        place.append(context["discriminator"].strip("'"))
        expected = context.get("expected_tags")
        reason = f"must be one of {expected}" if expected else "missing, or no string"
    return f"{'.'.join(place) or 'body'}: {reason}"
