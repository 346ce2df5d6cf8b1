"""The demonstration's checks: a step that did not happen is named."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import JsonValue

from orchestrator.cli.demo import (
    EXPECTED,
    FINISHED,
    VERIFIED,
    Seen,
    is_told,
    missing_steps,
)
from orchestrator.domain.chain import Chain, ChainState
from orchestrator.local.endpoint import MEMBERSHIP
from orchestrator.sandbox.wallet import Outcome, Step, StepStatus
from schemas.events import SOURCE, Event, parse_event
from schemas.irma import SessionType
from tests.support.samples import NOW

#: The clock's last look at the first session comes while the second one runs.
ORDER = (*EXPECTED[:6], FINISHED[0], *EXPECTED[6:], FINISHED[1])

CALLBACK: dict[str, JsonValue] = {
    "endpoint": "http://127.0.0.1:80",
    "purpose": "next",
    "attempt": 1,
    "status": 200,
    "durationMs": 1,
    "answer": "next",
}
SESSION: dict[str, JsonValue] = {"sessionType": "disclosing"}
STARTED: dict[str, JsonValue] = SESSION | {"backend": "irma", "inFlow": True}
END: dict[str, JsonValue] = {"steps": 2, "durationS": 1}
DATA: dict[str, dict[str, JsonValue]] = {
    "chain.started": {"backend": "irma"},
    "session.requested": STARTED | {"chained": True},
    "session.started": STARTED,
    "session.completed": SESSION | {"proofStatus": "VALID"},
    "session.finished": SESSION | {"status": "DONE"},
    "callback.answered": CALLBACK,
}


def event(number: int, step: int, event_type: str) -> Event:
    """One event of the chain."""
    fields: dict[str, JsonValue] = {
        "id": f"C1-{number}",
        "source": SOURCE,
        "subject": "C1",
        "time": (NOW + timedelta(milliseconds=number)).isoformat(),
        "chainid": "C1",
        "step": step,
        "generation": 0,
        "requestor": "demo",
        "sequence": number,
        "type": event_type,
        "data": DATA.get(event_type, END),
    }
    return parse_event(json.dumps(fields).encode())


def history(*told: tuple[int, str]) -> list[Event]:
    """These events, numbered without a gap."""
    return [event(n, step, name) for n, (step, name) in enumerate(told, start=1)]


def played(
    kind: SessionType, status: StepStatus = StepStatus.SUCCESS, wanted: str = MEMBERSHIP
) -> Step:
    """A session as the wallet saw it."""
    return Step(
        type=kind,
        status=status,
        at_s=0,
        ended_at_s=1,
        requested={"credentials": [{"credential": wanted}]},
        disclosed=[],
    )


DISCLOSED = played(SessionType.DISCLOSING)
CHAIN = Chain(
    id="C1",
    requestor="demo",
    backend="irma",
    state=ChainState.COMPLETED,
    generation=0,
    created_at=NOW,
)
ALL = Seen(
    outcome=Outcome((DISCLOSED, played(SessionType.ISSUING))),
    verified=VERIFIED,
    chain=CHAIN,
    events=history(*ORDER),
)


def test_a_whole_chain_misses_nothing() -> None:
    """Whenever the clock had its last look at the sessions."""
    assert missing_steps(ALL) == ()
    late = history(*EXPECTED, *reversed(FINISHED))
    assert missing_steps(replace(ALL, events=late)) == ()


@pytest.mark.parametrize("wanted", ORDER)
def test_an_event_that_is_missing_is_named(wanted: tuple[int, str]) -> None:
    """Its step and its type, for each event of the chain."""
    events = history(*(told for told in ORDER if told != wanted))
    step, name = wanted
    said = (f"history: step {step} has no {name}",)
    assert missing_steps(replace(ALL, events=events)) == said


@pytest.mark.parametrize(
    "steps,said",
    [
        ((), "saw: nothing"),
        ((DISCLOSED,), "saw: disclosing success"),
        (
            (DISCLOSED, played(SessionType.ISSUING, StepStatus.FAILURE)),
            "saw: disclosing success, issuing failure",
        ),
    ],
)
def test_what_the_wallet_did_not_play_is_named(
    steps: tuple[Step, ...], said: str
) -> None:
    """With what it played instead."""
    (missing,) = missing_steps(replace(ALL, outcome=Outcome(steps)))
    assert missing.startswith("wallet: expected a disclosure and an issuance in one flow")
    assert missing.endswith(said)


def test_another_credential_is_not_the_one_to_issue() -> None:
    """The membership is what the wallet has to get."""
    other = (DISCLOSED, played(SessionType.ISSUING, wanted="a.b.c"))
    (missing,) = missing_steps(replace(ALL, outcome=Outcome(other)))
    assert missing == f"wallet: {MEMBERSHIP} was not issued"


@pytest.mark.parametrize(
    "verified,said",
    [
        (None, ["endpoint: it does not answer"]),
        (["/"], ["endpoint: no verified result at /done"]),
        (["/done"], ["endpoint: no verified result at /"]),
        ([], [f"endpoint: no verified result at {path}" for path in VERIFIED]),
        (["/done", "/"], ["endpoint: expected results at /, /done, saw /done, /"]),
        (
            ["/", "/", "/done"],
            ["endpoint: expected results at /, /done, saw /, /, /done"],
        ),
    ],
)
def test_what_the_endpoint_did_not_verify_is_named(
    verified: list[str] | None, said: list[str]
) -> None:
    """Each result that did not arrive, or arrived once more."""
    assert missing_steps(replace(ALL, verified=verified)) == tuple(said)


@pytest.mark.parametrize(
    "state,reason,said",
    [
        (ChainState.RUNNING, None, "chain: it has not ended"),
        (ChainState.FAILED, "given\x1bup", "chain: it ended as failed: given?up"),
        (ChainState.EXPIRED, None, "chain: it ended as expired"),
    ],
)
def test_an_end_that_is_none_is_named(
    state: ChainState, reason: str | None, said: str
) -> None:
    """With its reason, in which an endpoint's words steer no terminal."""
    chain = replace(CHAIN, state=state, reason=reason)
    assert missing_steps(replace(ALL, chain=chain)) == (said,)


def test_the_history_is_whole_and_in_order() -> None:
    """A gap, a repeat and a wrong order are faults of their own."""
    gap = history(FINISHED[0], *ORDER)[1:]
    said = ("history: the sequence of events has a gap",)
    assert missing_steps(replace(ALL, events=gap)) == said
    swapped = history(*EXPECTED[1::-1], *EXPECTED[2:], *FINISHED)
    twice = history(*ORDER, FINISHED[0])
    for events in (swapped, twice):
        (missing,) = missing_steps(replace(ALL, events=events))
        assert missing.startswith("history: events are doubled or out of order: 1 ")


def test_all_that_is_missing_is_told_at_once() -> None:
    """Whoever looks for the cause sees how far each of them came."""
    chain = replace(CHAIN, state=ChainState.RUNNING)
    seen = Seen(outcome=Outcome((DISCLOSED,)), verified=(), chain=chain, events=[])
    missing = missing_steps(seen)
    said = [text.partition(":")[0] for text in missing]
    assert said == ["wallet", "endpoint", "endpoint", "chain"] + ["history"] * len(ORDER)


def test_a_completed_chain_is_told_with_its_last_event() -> None:
    """Until then the demonstration waits for the history."""
    assert is_told(CHAIN, history(*ORDER))
    assert not is_told(CHAIN, history(*EXPECTED))
    assert not is_told(CHAIN, history(*ORDER[1:]))


@pytest.mark.parametrize("state", ["failed", "cancelled", "expired"])
def test_a_chain_that_failed_is_waited_for_no_longer(state: str) -> None:
    """Its end is the last that comes, whatever is missing."""
    chain = replace(CHAIN, state=ChainState(state))
    assert is_told(chain, history(*ORDER[:3], (1, f"chain.{state}")))
    assert not is_told(chain, history(*ORDER[:3]))
