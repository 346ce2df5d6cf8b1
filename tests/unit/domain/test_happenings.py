"""Events say what has happened, in ids that a repeat has too."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from orchestrator.domain import breaker, happenings
from orchestrator.domain.breaker import BreakerState, Kept
from orchestrator.domain.chain import Ending, Step
from orchestrator.domain.delivery import Answer, Fault, NoAnswer, RetryLater, RetryLive
from orchestrator.domain.happenings import ATTRIBUTES_MAX, REASON_CHARS_MAX, SessionEnd
from orchestrator.domain.posting import headers_of
from schemas.events import ChainEvent, Purpose, dump_event, parse_event
from schemas.irma import SessionResult, session_result_from
from schemas.messages import End
from tests.unit.domain.samples import (
    CHAIN,
    DETACHED,
    FIRST,
    LIVE,
    NOW,
    SECOND,
    SECOND_SLOT,
    a_callback,
)

REPLY: Final = Answer(status=503, body=b"MARKER", duration_s=0.1234)
SILENCE: Final = NoAnswer(fault=Fault.TIMEOUT, duration_s=20.0)
PRESENT: Final = {"rawvalue": "MARKER", "value": None, "status": "PRESENT"}
STUDENT: Final = "irma-demo.RU.studentCard"


def result_of(*lists: list[str] | None) -> SessionResult:
    """A result that discloses these attributes."""
    disclosed = [
        None if ids is None else [PRESENT | {"id": name} for name in ids] for ids in lists
    ]
    return session_result_from(
        {
            "token": "MARKER",
            "status": "CONNECTED",
            "type": "disclosing",
            "proofStatus": "VALID",
            "disclosed": disclosed,
        }
    )


def all_of_a_chain() -> list[ChainEvent]:
    """One event of each function."""
    ending = Ending(end=End.FAILED, cause="cause", reason="why")
    work = a_callback()
    return [
        happenings.chain_started(CHAIN, FIRST),
        happenings.session_requested(CHAIN, LIVE, (STUDENT,), NOW),
        happenings.session_started(CHAIN, LIVE, NOW),
        happenings.session_connected(CHAIN, LIVE, NOW),
        happenings.session_completed(FIRST, "acme", result_of([STUDENT]), work.id, NOW),
        happenings.session_ended(CHAIN, LIVE, "session.finished", NOW, status="DONE"),
        happenings.callback_retrying(work, REPLY, RetryLive(delay_s=0.25), NOW),
        happenings.callback_parked(work, Kept.LIMIT, NOW),
        happenings.callback_answered(work, REPLY, "next", NOW),
        happenings.callback_replied(work, "next", NOW),
        happenings.callback_failed(work, SILENCE, "given up", NOW),
        happenings.chain_ended(CHAIN, SECOND_SLOT, ending, NOW),
    ]


def test_a_chain_is_one_trace() -> None:
    """An attempt's event has the span that its endpoint was sent, others their own."""
    work = a_callback()
    header = headers_of(work.id, FIRST, NOW, attempt=work.attempt)["traceparent"]
    _, trace, span, _ = header.split("-")
    found = all_of_a_chain()
    traces = [(event.traceparent or "").split("-") for event in found]
    assert {parts[1] for parts in traces} == {trace}
    of_attempt = [
        event.type for event, parts in zip(found, traces, strict=True) if parts[2] == span
    ]
    assert of_attempt == [
        "callback.retrying",
        "callback.parked",
        "callback.answered",
        "callback.failed",
    ]
    others = [p[2] for event, p in zip(found, traces, strict=True) if p[2] != span]
    assert len(set(others)) == len(others) == len(found) - len(of_attempt)


def test_every_event_is_one_of_the_contract() -> None:
    """What is built can be sent and read; nothing is lost."""
    for event in all_of_a_chain():
        assert parse_event(dump_event(event)) == event


def test_every_event_names_its_chain() -> None:
    """Subject, chain, generation and requestor are those of the chain."""
    for event in all_of_a_chain():
        assert (event.subject, event.chainid) == (CHAIN.id, CHAIN.id)
        assert (event.generation, event.requestor) == (0, "acme")


def test_ids_tell_what_happened_and_say_the_same_again() -> None:
    """Every event has an id of its own, without dots, and the same one when repeated."""
    ids = [event.id for event in all_of_a_chain()]
    assert ids == [event.id for event in all_of_a_chain()]
    assert len(set(ids)) == len(ids)
    assert not any("." in event_id for event_id in ids)


def test_the_open_part_holds_no_values() -> None:
    """Attributes are named; values, tokens and bodies are nowhere (G6)."""
    for event in all_of_a_chain():
        assert b"MARKER" not in dump_event(event)


def test_a_chain_starts_with_its_first_step() -> None:
    """Its time is that of the chain; nothing came before it."""
    event = happenings.chain_started(CHAIN, FIRST)
    assert event.id == "01HANDOVER-1-0-chain_started-0"
    assert (event.time, event.step) == (CHAIN.created_at, 1)
    assert event.causationid is None
    assert event.data.backend == "irma"


def test_a_request_follows_from_what_claimed_its_slot() -> None:
    """It says what is asked for and whether the app waits."""
    row = replace(DETACHED, in_flow=True)
    event = happenings.session_requested(CHAIN, row, (STUDENT,), NOW)
    assert (event.step, event.time, event.causationid) == (2, NOW, "answered")
    assert event.data.model_dump() == {
        "session_type": "disclosing",
        "backend": "irma",
        "attributes": (STUDENT,),
        "chained": True,
        "in_flow": True,
    }


def test_a_first_request_follows_from_nothing() -> None:
    """A row without a cause names none."""
    row = replace(DETACHED, cause="")
    assert happenings.session_requested(CHAIN, row, (), NOW).causationid is None


def test_attributes_are_named_once_and_not_without_end() -> None:
    """A request may repeat them; an event stays small."""
    names = [f"{STUDENT}.a{number}" for number in range(ATTRIBUTES_MAX + 1)]
    twice = (*names, *names)
    requested = happenings.session_requested(CHAIN, LIVE, twice, NOW)
    assert list(requested.data.attributes) == names[:ATTRIBUTES_MAX]
    result = result_of(names, None, names)
    completed = happenings.session_completed(FIRST, "acme", result, "id", NOW)
    assert list(completed.data.disclosed) == names[:ATTRIBUTES_MAX]


def test_a_start_follows_from_the_request() -> None:
    """Whoever finds out that the session is live."""
    event = happenings.session_started(CHAIN, LIVE, NOW)
    assert event.causationid == SECOND_SLOT.event_id("session.requested")
    assert (event.data.session_type, event.data.in_flow) == ("disclosing", False)


def test_a_completion_is_told_apart_by_its_session() -> None:
    """The id is given: a step may have more than one session."""
    event = happenings.session_completed(FIRST, "acme", result_of(), "an-id", NOW)
    assert event.id == "an-id"
    assert event.causationid == FIRST.event_id("session.started")
    assert (event.data.proof_status, event.data.disclosed) == ("VALID", ())


def test_a_completion_without_a_proof_says_nothing_of_it() -> None:
    """An issuance without disclosure has neither."""
    result = session_result_from({"token": "t", "status": "DONE", "type": "issuing"})
    event = happenings.session_completed(FIRST, "acme", result, "an-id", NOW)
    assert (event.data.proof_status, event.data.disclosed) == ("", ())


@pytest.mark.parametrize(
    "kind", ["session.finished", "session.cancelled", "session.expired", "session.failed"]
)
@pytest.mark.parametrize(
    "row,cause", [(LIVE, "session.started"), (DETACHED, "session.requested")]
)
def test_a_session_ends_after_what_was_told_of_it(
    kind: SessionEnd, row: Step, cause: str
) -> None:
    """One that could not be started was never announced."""
    event = happenings.session_ended(
        CHAIN, row, kind, NOW, status="DONE", proof_status="VALID", reason="why"
    )
    assert (event.type, event.id) == (kind, SECOND_SLOT.event_id(kind))
    assert event.causationid == SECOND_SLOT.event_id(cause)
    assert event.data.model_dump() == {
        "session_type": "disclosing",
        "status": "DONE",
        "proof_status": "VALID",
        "reason": "why",
    }


@pytest.mark.parametrize("end", End)
def test_a_chain_ends_after_its_last_step(end: End) -> None:
    """The slot of the end is the one after it; it counts steps and time."""
    ending = Ending(end=end, cause="cause", reason="why")
    now = CHAIN.created_at + timedelta(seconds=1.23456)
    event = happenings.chain_ended(CHAIN, SECOND_SLOT, ending, now)
    assert event.type == f"chain.{end.value}"
    assert event.id == SECOND_SLOT.event_id(event.type)
    assert (event.step, event.causationid, event.time) == (1, "cause", now)
    assert event.data.model_dump() == {
        "steps": 1,
        "duration_s": 1.235,
        "reason": "why",
    }


def test_no_reason_is_too_long_for_its_event() -> None:
    """It may repeat what an endpoint has sent; the rest of it is cut."""
    reason = "x" * (REASON_CHARS_MAX + 1)
    ending = Ending(end=End.FAILED, cause="cause", reason=reason)
    chain = happenings.chain_ended(CHAIN, SECOND_SLOT, ending, NOW)
    session = happenings.session_ended(
        CHAIN, LIVE, "session.failed", NOW, status="FAILED", reason=reason
    )
    callback = happenings.callback_failed(a_callback(), REPLY, reason, NOW)
    for held in (chain.data.reason, session.data.reason, callback.data.reason):
        assert held == reason[:-1]


@pytest.mark.parametrize("purpose", Purpose)
def test_an_attempt_is_told_apart_by_its_number(purpose: Purpose) -> None:
    """Each attempt of one callback has its own event, whose cause is the callback's."""
    retry = RetryLive(delay_s=0.5)
    first, second = (
        happenings.callback_retrying(
            a_callback(attempt=attempt, purpose=purpose), REPLY, retry, NOW
        )
        for attempt in (1, 2)
    )
    work = a_callback()
    assert first.id == f"{work.id}-callback_retrying-1"
    assert second.id == f"{work.id}-callback_retrying-2"
    assert (first.causationid, first.step) == ("cause", 1)
    assert first.data.purpose is purpose


@pytest.mark.parametrize(
    "retry,clock",
    [(RetryLive(delay_s=0.25), "live"), (RetryLater(delay_s=5.0004), "background")],
)
def test_a_retry_says_on_which_clock_and_when(
    retry: RetryLive | RetryLater, clock: str
) -> None:
    """An operator sees what is waited for."""
    event = happenings.callback_retrying(a_callback(), REPLY, retry, NOW)
    assert event.data.model_dump() == {
        "endpoint": "https://acme.example:443",
        "purpose": Purpose.NEXT,
        "attempt": 1,
        "clock": clock,
        "delay_ms": round(retry.delay_s * 1000),
        "next_at": NOW + retry.delay_s * SECOND,
        "status": 503,
        "fault": None,
    }


def test_an_answer_says_how_long_it_took() -> None:
    """In milliseconds, with its status."""
    event = happenings.callback_answered(a_callback(), REPLY, "noted", NOW)
    assert (event.data.status, event.data.duration_ms) == (503, 123)
    assert event.data.answer == "noted"


def test_silence_is_told_by_its_fault() -> None:
    """There is no status without an answer."""
    failed = happenings.callback_failed(a_callback(), SILENCE, "given up", NOW)
    assert (failed.data.status, failed.data.fault) == (None, "timeout")
    assert failed.data.reason == "given up"


ENDPOINT: Final = breaker.fresh("https://shop.example:443", NOW)


def test_an_endpoints_event_says_how_it_stands() -> None:
    """Its subject is the origin; its id follows from the version."""
    paused = replace(ENDPOINT, paused_at=NOW, note="n" * 600, version=3)
    event = happenings.endpoint_changed(ENDPOINT, paused, NOW + SECOND)
    assert event is not None
    assert parse_event(dump_event(event)) == event
    assert (event.type, event.subject) == ("endpoint.paused", ENDPOINT.origin)
    assert event.id == f"{happenings.endpoint_id(ENDPOINT.origin)}-endpoint_paused-3"
    assert event.time == NOW + SECOND
    assert (event.data.state, event.data.paused) == ("closed", True)
    assert len(event.data.note or "") == REASON_CHARS_MAX


@pytest.mark.parametrize(
    "before,after,kind",
    [
        ({}, {"state": BreakerState.OPEN, "trips": 1}, "endpoint.opened"),
        (
            {"state": BreakerState.HALF_OPEN, "trips": 1},
            {"state": BreakerState.OPEN, "trips": 2},
            "endpoint.opened",
        ),
        ({"state": BreakerState.HALF_OPEN, "trips": 1}, {}, "endpoint.closed"),
        ({"paused_at": NOW}, {}, "endpoint.resumed"),
        ({"state": BreakerState.HALF_OPEN}, {"state": BreakerState.HALF_OPEN}, None),
        ({"state": BreakerState.OPEN}, {"state": BreakerState.HALF_OPEN}, None),
    ],
)
def test_what_operators_are_told_of(
    before: dict[str, Any], after: dict[str, Any], kind: str | None
) -> None:
    """Openings, each of them, closings and pauses; not the steps in between."""
    event = happenings.endpoint_changed(
        replace(ENDPOINT, **before), replace(ENDPOINT, **after), NOW
    )
    assert (event.type if event else None) == kind
    if event is not None and kind == "endpoint.opened":
        assert event.data.probe_at == ENDPOINT.release_at
