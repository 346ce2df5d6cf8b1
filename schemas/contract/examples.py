"""One event of each type, as a subscriber gets it: from the life of a few chains."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from schemas.contract.trees import JsonObject
from schemas.events import SOURCE, Event, parse_event

CHAIN: Final = "01KAQ2M7T0V8W3Z4N5E6R9YXCD"
ORIGIN: Final = "https://shop.example:443"

_TRACE: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
_BEGAN: Final = datetime(2026, 11, 23, 9, 30, 0, 125_000, tzinfo=UTC)
_ENDPOINT: Final = "endpoint-3f1b0c9d4e7a2856f0c1d2e3"

_CALLBACK: Final[JsonObject] = {"endpoint": ORIGIN, "purpose": "next", "attempt": 1}
_WELL: Final[JsonObject] = {
    "state": "closed",
    "paused": False,
    "trips": 0,
    "attempts": 20,
    "failures": 16,
}


class _Told(NamedTuple):
    """What tells an event of a chain from the others; id and cause by their ends."""

    id: str
    cause: str | None
    sequence: int
    step: int
    data: JsonObject
    generation: int = 0


_OF_CHAINS: Final[Mapping[str, _Told]] = {
    "chain.started": _Told("1-0-chain_started-0", None, 1, 1, {"backend": "irma"}),
    "session.requested": _Told(
        "1-0-session_requested-0",
        "1-0-chain_started-0",
        2,
        1,
        {
            "sessionType": "disclosing",
            "backend": "irma",
            "attributes": ["irma-demo.MijnOverheid.fullName.firstname"],
            "chained": True,
            "inFlow": False,
        },
    ),
    "session.started": _Told(
        "1-0-session_started-0",
        "1-0-session_requested-0",
        3,
        1,
        {"sessionType": "disclosing", "backend": "irma", "inFlow": False},
    ),
    "session.connected": _Told(
        "1-0-session_connected-0",
        "1-0-session_started-0",
        4,
        1,
        {"sessionType": "disclosing", "backend": "irma"},
    ),
    "session.completed": _Told(
        "1-0-session_completed-k3v9",
        "1-0-session_started-0",
        4,
        1,
        {
            "sessionType": "disclosing",
            "proofStatus": "VALID",
            "disclosed": ["irma-demo.MijnOverheid.fullName.firstname"],
        },
    ),
    "callback.retrying": _Told(
        "1-0-session_completed-k3v9-callback_retrying-1",
        "1-0-session_completed-k3v9",
        5,
        1,
        _CALLBACK
        | {
            "clock": "live",
            "delayMs": 250,
            "nextAt": "2026-11-23T09:30:20.500000Z",
            "status": 503,
        },
    ),
    "callback.parked": _Told(
        "1-0-session_completed-k3v9-callback_parked-2",
        "1-0-session_completed-k3v9",
        6,
        1,
        _CALLBACK | {"attempt": 2, "kept": "open"},
    ),
    "callback.answered": _Told(
        "1-0-session_completed-k3v9-callback_answered-2",
        "1-0-session_completed-k3v9",
        7,
        1,
        _CALLBACK | {"attempt": 2, "status": 200, "durationMs": 38, "answer": "next"},
    ),
    "session.finished": _Told(
        "1-0-session_finished-0",
        "1-0-session_started-0",
        8,
        1,
        {"sessionType": "disclosing", "status": "DONE", "proofStatus": "VALID"},
    ),
    "callback.failed": _Told(
        "1-0-session_completed-k3v9-callback_failed-9",
        "1-0-session_completed-k3v9",
        14,
        1,
        _CALLBACK
        | {
            "attempt": 9,
            "reason": "given up after 9 attempts: no answer",
            "fault": "timeout",
        },
    ),
    "session.cancelled": _Told(
        "2-0-session_cancelled-0",
        "2-0-session_started-0",
        11,
        2,
        {"sessionType": "issuing", "status": "CANCELLED"},
    ),
    "session.expired": _Told(
        "2-0-session_expired-0",
        "2-0-session_started-0",
        11,
        2,
        {"sessionType": "issuing", "status": "TIMEOUT"},
    ),
    "session.failed": _Told(
        "2-0-session_failed-0",
        "2-0-session_requested-0",
        10,
        2,
        {
            "sessionType": "issuing",
            "status": "FAILED",
            "reason": "the IRMA server refused the request",
        },
    ),
    "chain.completed": _Told(
        "3-0-chain_completed-0",
        "2-0-session_finished-0",
        12,
        2,
        {"steps": 2, "durationS": 41.377},
    ),
    "chain.failed": _Told(
        "2-0-chain_failed-0",
        "1-0-session_completed-k3v9-callback_failed-9",
        15,
        1,
        {
            "steps": 1,
            "durationS": 63_341.25,
            "reason": "given up after 9 attempts: no answer",
        },
    ),
    "chain.cancelled": _Told(
        "3-0-chain_cancelled-0",
        "2-0-session_cancelled-0",
        12,
        2,
        {"steps": 2, "durationS": 35.5},
    ),
    "chain.replayed": _Told(
        "1-1-chain_replayed-0",
        "2-0-chain_failed-0",
        16,
        1,
        {
            "again": "callback",
            "ended": "failed",
            "reason": "given up after 9 attempts: no answer",
        },
        generation=1,
    ),
    "chain.expired": _Told(
        "3-0-chain_expired-0",
        "2-0-session_expired-0",
        12,
        2,
        {"steps": 2, "durationS": 320.064, "reason": "the session timed out"},
    ),
}

_OF_ENDPOINTS: Final[Mapping[str, tuple[int, JsonObject]]] = {
    "endpoint.opened": (
        1,
        _WELL | {"state": "open", "trips": 1, "probeAt": "2026-11-23T09:30:35Z"},
    ),
    "endpoint.closed": (3, _WELL),
    "endpoint.paused": (4, _WELL | {"paused": True, "note": "maintenance until noon"}),
    "endpoint.resumed": (5, _WELL),
}


def example(event_type: str) -> Event:
    """The example of a type.

    Raises:
        KeyError: there is none.
    """
    fields = _of_endpoint if event_type in _OF_ENDPOINTS else _of_chain
    return parse_event(json.dumps(fields(event_type)).encode())


def _of_chain(event_type: str) -> JsonObject:
    told = _OF_CHAINS[event_type]
    envelope = _envelope(event_type, f"{CHAIN}-{told.id}", told.sequence)
    if told.cause is not None:
        envelope["causationid"] = f"{CHAIN}-{told.cause}"
    return envelope | {
        "subject": CHAIN,
        "chainid": CHAIN,
        "step": told.step,
        "generation": told.generation,
        "requestor": "acme",
        "traceparent": _TRACE,
        "data": told.data,
    }


def _of_endpoint(event_type: str) -> JsonObject:
    version, data = _OF_ENDPOINTS[event_type]
    event_id = f"{_ENDPOINT}-{event_type.replace('.', '_')}-{version}"
    envelope = _envelope(event_type, event_id, version)
    return envelope | {"subject": ORIGIN, "data": data}


def _envelope(event_type: str, event_id: str, sequence: int) -> JsonObject:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": event_type,
        "time": (_BEGAN + timedelta(seconds=5 * (sequence - 1))).isoformat(),
        "datacontenttype": "application/json",
        "sequence": sequence,
    }
