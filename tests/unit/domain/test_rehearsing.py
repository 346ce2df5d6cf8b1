"""What an answer would decide, in the words that failures are grouped by."""

from __future__ import annotations

import json

import pytest

from orchestrator.domain.delivery import (
    Answer,
    Fault,
    NoAnswer,
    Reply,
    RetryPolicy,
    Tries,
    decide,
)
from orchestrator.domain.rehearsing import was, would_be
from schemas.irma import SessionRequest
from tests.support.replays import MADE_AT, a_failure
from tests.support.samples import disclosure

REQUEST = json.dumps(disclosure()).encode()
TRIES = Tries(attempt=1, asked_at=MADE_AT, live=0, retries=0, deadline=None)


def answered(status: int, body: bytes = b"", *, abort: bool = False) -> Answer:
    """An endpoint's answer."""
    return Answer(status=status, body=body, duration_s=0.1, abort=abort)


def silent(fault: Fault) -> NoAnswer:
    """An endpoint that does not answer."""
    return NoAnswer(fault=fault, duration_s=0.1)


def would(reply: Reply, refusal: str | None = None) -> str:
    """What it would decide, where sessions are refused for this reason."""

    def refuses(_: SessionRequest) -> str | None:
        return refusal

    decision = decide(TRIES, reply, now=MADE_AT, policy=RetryPolicy(), random=lambda: 0.5)
    return str(would_be(decision, reply, refuses))


@pytest.mark.parametrize(
    "reply, expected",
    [
        (answered(204), "completed"),
        (answered(200, REQUEST), "next: disclosing"),
        (answered(202), "later"),
        (answered(200, b"{}"), "invalid-answer 200"),
        (answered(200), "invalid-answer 200"),
        (answered(503), "status 503"),
        (answered(429), "status 429"),
        (answered(503, abort=True), "aborted 503"),
        (answered(404), "unexpected-status 404"),
        (answered(302), "redirect 302"),
        (silent(Fault.TIMEOUT), "no-answer"),
        (silent(Fault.TOO_LONG), "answer-too-long"),
        (silent(Fault.FORBIDDEN), "destination"),
    ],
)
def test_each_answer_has_its_word(reply: Reply, expected: str) -> None:
    """What would be tried again counts as what it would fail of."""
    assert would(reply) == expected


def test_a_session_may_be_refused() -> None:
    """As the session worker refuses it."""
    refusal = "next session not authorized: no"
    assert would(answered(200, REQUEST), refusal) == "not-authorized 200"


def test_the_same_failure_is_the_same() -> None:
    """After nine attempts as after one."""
    assert str(was(a_failure(status=503))) == would(answered(503))
