"""Between the rows of `tables` and the words of the domain.

A column is named like the field it keeps, so most of the mapping is the list of fields.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Final

from orchestrator.domain.breaker import BreakerState, Endpoint
from orchestrator.domain.chain import Chain, ChainState, Slot, Step, StepState
from orchestrator.domain.errors import EventUnreadable
from orchestrator.ports import Message, Recorded, Waiting
from schemas.events import (
    EndpointChanged,
    Event,
    EventInvalid,
    dump_event,
    parse_event,
)

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

_CHAIN: Final = tuple(field.name for field in fields(Chain))
_STEP: Final = tuple(field.name for field in fields(Step) if field.name != "slot")
_WAITING: Final = tuple(f.name for f in fields(Waiting) if f.name != "message")
_ENDPOINT: Final = tuple(field.name for field in fields(Endpoint))
_MESSAGE: Final = tuple(field.name for field in fields(Message) if field.name != "id")

Values = dict[str, object]


def chain_values(chain: Chain) -> Values:
    """A chain as its row."""
    return {name: getattr(chain, name) for name in _CHAIN}


def chain_of(row: RowMapping) -> Chain:
    """A row as its chain."""
    own = {name: row[name] for name in _CHAIN}
    return Chain(**own | {"state": ChainState(row["state"])})


def slot_values(slot: Slot) -> Values:
    """A slot as the key of its row."""
    return {
        "chain_id": slot.chain_id,
        "step": slot.step,
        "generation": slot.generation,
    }


def step_values(step: Step) -> Values:
    """A step as its row."""
    return slot_values(step.slot) | {name: getattr(step, name) for name in _STEP}


def step_of(row: RowMapping) -> Step:
    """A row as its step."""
    slot = Slot(chain_id=row["chain_id"], step=row["step"], generation=row["generation"])
    own = {name: row[name] for name in _STEP}
    return Step(slot=slot, **own | {"state": StepState(row["state"])})


def waiting_values(waiting: Waiting) -> Values:
    """A waiting row with its message in columns."""
    own = {name: getattr(waiting, name) for name in _WAITING}
    message = {name: getattr(waiting.message, name) for name in _MESSAGE}
    return {
        **own,
        **message,
        "message_id": waiting.message.id,
        "headers": dict(waiting.message.headers),
    }


def waiting_of(row: RowMapping) -> Waiting:
    """A row as what waits."""
    message = {name: row[name] for name in _MESSAGE}
    own = {name: row[name] for name in _WAITING}
    return Waiting(message=Message(id=row["message_id"], **message), **own)


def endpoint_values(endpoint: Endpoint) -> Values:
    """An endpoint as its row."""
    return {name: getattr(endpoint, name) for name in _ENDPOINT}


def endpoint_of(row: RowMapping) -> Endpoint:
    """A row as its endpoint."""
    own = {name: row[name] for name in _ENDPOINT}
    return Endpoint(**own | {"state": BreakerState(row["state"])})


def event_values(event: Event, part: int) -> Values:
    """An event, its sequence given, as its row."""
    return {
        "id": event.id,
        "chain_id": event.subject,
        "sequence": event.sequence,
        "time": event.time,
        "body": dump_event(event).decode(),
        "requestor": None if isinstance(event, EndpointChanged) else event.requestor,
        "part": part,
    }


def event_of(row: RowMapping) -> Event:
    """A row as its event."""
    body: str = row["body"]
    return parse_event(body.encode())


def readable_event_of(row: RowMapping) -> Event:
    """A row as its event, where others wait for it.

    Raises:
        EventUnreadable: a newer version has written it; that one can go on with it.
    """
    try:
        return event_of(row)
    except EventInvalid as error:
        event_id: str = row["id"]
        why = f"event {event_id} cannot be read by this version: {error}"
        raise EventUnreadable(why) from None


def recorded_of(row: RowMapping) -> Recorded:
    """A row as an event in the history."""
    return Recorded(number=row["number"], id=row["id"], body=row["body"])
