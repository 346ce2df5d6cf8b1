"""Events as CloudEvents: the same after a round trip, and clear about what is wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import get_args

import pytest
from pydantic import BaseModel, JsonValue

from schemas.events import SOURCE, Event, EventInvalid, dump_event, parse_event

AT = "2026-03-29T00:59:58.765432Z"

CALLBACK: dict[str, JsonValue] = {
    "endpoint": "https://shop.example:443",
    "purpose": "next",
    "attempt": 2,
}

ENDPOINT: dict[str, JsonValue] = {
    "state": "closed",
    "paused": False,
    "trips": 1,
    "attempts": 20,
    "failures": 16,
}

DATA: dict[str, dict[str, JsonValue]] = {
    "chain.started": {"backend": "irma"},
    "chain.completed": {"steps": 2, "durationS": 1.25},
    "chain.failed": {"steps": 1, "durationS": 0.5, "reason": "unexpected status 404"},
    "chain.cancelled": {"steps": 1, "durationS": 0.5},
    "chain.expired": {"steps": 1, "durationS": 900.0, "reason": "timed out"},
    "chain.replayed": {"again": "callback", "ended": "failed", "reason": "status 404"},
    "session.requested": {
        "sessionType": "disclosing",
        "backend": "irma",
        "attributes": ["a.b.c.d"],
        "chained": True,
        "inFlow": False,
    },
    "session.started": {"sessionType": "issuing", "backend": "irma", "inFlow": True},
    "session.connected": {"sessionType": "issuing", "backend": "irma"},
    "session.completed": {
        "sessionType": "disclosing",
        "proofStatus": "VALID",
        "disclosed": ["a.b.c.d"],
    },
    "session.finished": {"sessionType": "issuing", "status": "DONE"},
    "session.cancelled": {"sessionType": "issuing", "status": "CANCELLED"},
    "session.expired": {"sessionType": "issuing", "status": "TIMEOUT"},
    "session.failed": {"sessionType": "issuing", "status": "FAILED", "reason": "x"},
    "callback.retrying": CALLBACK
    | {"clock": "live", "delayMs": 250, "nextAt": AT, "status": 503},
    "callback.parked": CALLBACK | {"kept": "open"},
    "callback.answered": CALLBACK | {"status": 200, "durationMs": 3, "answer": "next"},
    "callback.failed": CALLBACK | {"reason": "given up", "fault": "timeout"},
    **dict.fromkeys(("endpoint.closed", "endpoint.resumed"), ENDPOINT),
    "endpoint.opened": ENDPOINT | {"state": "open", "probeAt": AT},
    "endpoint.paused": ENDPOINT | {"paused": True, "note": "they asked for it"},
}

#: Every field that the open part of an event may have; look twice before adding one.
OPEN_FIELDS = {
    "again",
    "answer",
    "attempt",
    "attempts",
    "attributes",
    "backend",
    "chained",
    "clock",
    "delay_ms",
    "disclosed",
    "duration_ms",
    "duration_s",
    "ended",
    "endpoint",
    "failures",
    "fault",
    "in_flow",
    "kept",
    "next_at",
    "note",
    "paused",
    "probe_at",
    "proof_status",
    "purpose",
    "reason",
    "session_type",
    "state",
    "status",
    "steps",
    "trips",
}


def wire(event_type: str, **changes: JsonValue) -> bytes:
    """An event of this type as a subscriber gets it."""
    envelope: dict[str, JsonValue] = {
        "specversion": "1.0",
        "id": "C1-1-0-x-0",
        "source": SOURCE,
        "subject": "C1",
        "time": AT,
        "datacontenttype": "application/json",
        "chainid": "C1",
        "step": 1,
        "generation": 0,
        "requestor": "acme",
        "type": event_type,
        "data": DATA[event_type],
    }
    if event_type.startswith("endpoint."):
        envelope["subject"] = "https://shop.example:443"
        for of_chains in ("chainid", "step", "generation", "requestor"):
            del envelope[of_chains]
    return json.dumps(envelope | changes).encode()


@pytest.mark.parametrize("event_type", sorted(DATA))
def test_what_was_read_is_written_again(event_type: str) -> None:
    """A round trip changes nothing, neither the JSON nor the model."""
    event = parse_event(wire(event_type))
    assert json.loads(dump_event(event)) == json.loads(wire(event_type))
    assert parse_event(dump_event(event)) == event


def test_every_type_of_event_has_a_sample() -> None:
    """The samples above are all the types there are."""
    types = {
        kind
        for model in get_args(Event)
        for kind in get_args(model.model_fields["type"].annotation)
    }
    assert types == set(DATA)


def test_extensions_are_attributes_of_the_envelope() -> None:
    """Cause, trace and sequence travel along and are left out where absent."""
    extensions: dict[str, JsonValue] = {
        "causationid": "C1-1-0-y-0",
        "traceparent": "00-1-2-01",
        "sequence": 7,
    }
    event = parse_event(wire("chain.started", **extensions))
    assert (event.causationid, event.sequence) == ("C1-1-0-y-0", 7)
    assert event.time == datetime(2026, 3, 29, 0, 59, 58, 765_432, tzinfo=UTC)
    assert extensions.items() <= json.loads(dump_event(event)).items()
    assert "sequence" not in json.loads(dump_event(parse_event(wire("chain.started"))))


@pytest.mark.parametrize(
    "changes,field",
    [
        ({"id": "MARKER.with.dots"}, "id"),
        ({"id": "MARKER\n"}, "id"),
        ({"id": "MARKER" * 50}, "id"),
        ({"id": ""}, "id"),
        ({"step": "MARKER"}, "step"),
        ({"step": 0}, "step"),
        ({"generation": -1}, "generation"),
        ({"sequence": 0}, "sequence"),
        ({"time": "MARKER"}, "time"),
        ({"source": "MARKER"}, "source"),
        ({"specversion": "MARKER"}, "specversion"),
        ({"datacontenttype": "MARKER"}, "datacontenttype"),
        ({"pointer": "MARKER"}, "pointer"),
        ({"data": "MARKER"}, "data"),
        ({"data": {"backend": "irma", "token": "MARKER"}}, "data.token"),
        ({"data": {"backend": ["MARKER"]}}, "data.backend"),
        ({"type": "MARKER.started"}, "type"),
        ({"type": ["MARKER"]}, "type"),
    ],
)
def test_wrong_fields_are_named_without_their_values(
    changes: dict[str, JsonValue], field: str
) -> None:
    """The error says which field and why, and repeats nothing of what was refused."""
    with pytest.raises(EventInvalid) as caught:
        parse_event(wire("chain.started", **changes))
    place, _, reason = str(caught.value).partition(": ")
    assert place.removeprefix("chain.started.") == field
    assert reason
    assert "MARKER" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_every_wrong_field_is_named() -> None:
    """Whoever has to mend it sees all that is wrong at once."""
    with pytest.raises(EventInvalid, match=r"step: .*; .*requestor: .*; .*data\.backend"):
        parse_event(wire("chain.started", step=0, requestor=None, data={}))


@pytest.mark.parametrize("body", [b"", b"MARKER", b"[]", b"\xff{}", b'{"id": "MARKER'])
def test_what_is_no_event_at_all_is_refused(body: bytes) -> None:
    """Any bytes get an error of ours, and none is repeated."""
    with pytest.raises(EventInvalid) as caught:
        parse_event(body)
    assert "MARKER" not in str(caught.value)


def test_without_a_type_the_error_asks_for_it() -> None:
    """The field that tells events apart is named when it is missing."""
    body = json.loads(wire("chain.started"))
    del body["type"]
    with pytest.raises(EventInvalid, match="type"):
        parse_event(json.dumps(body).encode())


def test_reasons_are_bounded() -> None:
    """A reason is a sentence, never somebody's whole answer."""
    long = DATA["chain.failed"] | {"reason": "x" * 501}
    with pytest.raises(EventInvalid, match="reason"):
        parse_event(wire("chain.failed", data=long))


def test_events_have_no_place_for_secrets() -> None:
    """By construction: no field for values, tokens, pointers or URLs; others refused."""
    assert _fields_of_data() == OPEN_FIELDS
    for model in get_args(Event):
        assert model.model_config["extra"] == "forbid"


def _fields_of_data() -> set[str]:
    fields: set[str] = set()
    for event in get_args(Event):
        data = event.model_fields["data"].annotation
        assert issubclass(data, BaseModel)
        assert data.model_config["extra"] == "forbid"
        fields |= set(data.model_fields)
    return fields


def test_what_was_said_cannot_be_changed() -> None:
    """Events are frozen: who tells an event tells what was written."""
    event = parse_event(wire("chain.started"))
    with pytest.raises(ValueError, match="frozen"):
        event.subject = "C2"  # type: ignore[misc] # mypy knows it too
