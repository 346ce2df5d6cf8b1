"""Failures: which endings are one, and what the words of an end say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from orchestrator.domain.chain import (
    Chain,
    ChainState,
    Ending,
    Slot,
    Step,
    StepState,
    View,
    looping,
    over_budget,
)
from orchestrator.domain.claiming import Budget
from orchestrator.domain.delivery import (
    Answer,
    Fault,
    GiveUp,
    NoAnswer,
    Reply,
    RetryPolicy,
    Tries,
    decide,
)
from orchestrator.domain.failing import (
    FailureKind,
    FailureReason,
    classified,
    failure_of,
)
from orchestrator.domain.operating import CANCELLED
from orchestrator.domain.ruling import Ruling, end_chain
from schemas.messages import End

NOW = datetime(2026, 3, 29, 0, 59, 58, tzinfo=UTC)
SLOT = Slot(chain_id="C1", step=2)
SHOP = "https://shop.example:443"


def answer(status: int, *, abort: bool = False) -> Answer:
    """An endpoint's answer."""
    return Answer(status=status, body=b"", duration_s=0.1, abort=abort)


def given_up(reply: Reply) -> str:
    """The reason that the table of answers gives for the last reply there is."""
    policy = RetryPolicy(background_delays_s=())
    tries = Tries(attempt=9, asked_at=NOW, live=0, retries=0, deadline=None)
    decision = decide(tries, reply, now=NOW, policy=policy, random=lambda: 0.5)
    assert isinstance(decision, GiveUp)
    return decision.reason


@pytest.mark.parametrize(
    "reply, expected",
    [
        (answer(503), (FailureReason.STATUS, 503)),
        (answer(404), (FailureReason.UNEXPECTED_STATUS, 404)),
        (answer(302), (FailureReason.REDIRECT, 302)),
        (answer(500, abort=True), (FailureReason.ABORTED, 500)),
        *(
            (NoAnswer(fault=fault, duration_s=1.0), (FailureReason.NO_ANSWER, None))
            for fault in Fault
            if not fault.final
        ),
        (
            NoAnswer(fault=Fault.TOO_LONG, duration_s=1.0),
            (FailureReason.ANSWER_TOO_LONG, None),
        ),
        (
            NoAnswer(fault=Fault.FORBIDDEN, duration_s=1.0, rule="no http"),
            (FailureReason.DESTINATION, None),
        ),
        (
            NoAnswer(fault=Fault.BAD_URL, duration_s=1.0),
            (FailureReason.DESTINATION, None),
        ),
    ],
)
def test_what_a_reply_was_given_up_for_is_told_from_its_reason(
    reply: Reply, expected: tuple[FailureReason, int | None]
) -> None:
    """The words are made by the table of answers, so they may not drift apart."""
    assert classified(FailureKind.CALLBACK, given_up(reply)) == expected


@pytest.mark.parametrize(
    "text, expected",
    [
        (
            "the answer is no session request: type: 404",
            (FailureReason.INVALID_ANSWER, 200),
        ),
        ("next session not authorized: status 403", (FailureReason.NOT_AUTHORIZED, 200)),
        (looping(3, identical_max=3), (FailureReason.CHAIN_LIMIT, 200)),
        (
            "the endpoint answered 202, but its answer did not come in time",
            (FailureReason.NO_LATER_ANSWER, 202),
        ),
        (CANCELLED, (FailureReason.CANCELLED, None)),
        ("nobody has written this yet", (FailureReason.OTHER, None)),
        (None, (FailureReason.OTHER, None)),
    ],
)
def test_other_reasons_have_classes_too(
    text: str | None, expected: tuple[FailureReason, int | None]
) -> None:
    """A status that an endpoint writes into its answer is none that it has answered."""
    assert classified(FailureKind.CALLBACK, text) == expected


def test_a_chain_over_its_budget_is_one_class() -> None:
    """Too long or too old: both are limits of the chain."""
    chain, budget = view().chain, Budget()
    for steps, wall_time in ((99, budget.wall_time), (1, -budget.wall_time)):
        text = over_budget(chain, steps, NOW, steps_max=20, wall_time=wall_time)
        reason, _ = classified(FailureKind.CALLBACK, text)
        assert text is not None
        assert reason is FailureReason.CHAIN_LIMIT


def view(row: Step | None = None) -> View:
    """A running chain at its second step."""
    chain = Chain(
        id="C1",
        requestor="acme",
        backend="irma",
        state=ChainState.RUNNING,
        generation=0,
        created_at=NOW,
    )
    return View(chain=chain, step=row, following=None, now=NOW)


def session(state: StepState, **more: object) -> Step:
    """The row of a session."""
    row = Step(slot=SLOT, state=state, created_at=NOW, check_at=None)
    return replace(row, **more)  # type: ignore[arg-type]  # of one test each


def ending(row: Step, end: End, reason: str | None = None) -> Ruling[None]:
    """The chain ends after this session."""
    told = Ending(end=end, cause="e1", reason=reason, endpoint=SHOP)
    return end_chain(view(row), SLOT, told, None, steps=(row,))


ANSWERED = session(
    StepState.COMPLETED, completed_at=NOW, sealed_result="sealed", chained=True
)


def test_a_callback_that_was_given_up_is_a_failure_of_its_endpoint() -> None:
    """Step, endpoint, class and status; it can be made again."""
    reason = "given up after 9 attempts: status 503"
    found = failure_of(view(ANSWERED), ending(ANSWERED, End.FAILED, reason))
    assert found is not None
    assert (found.slot, found.kind) == (SLOT, FailureKind.CALLBACK)
    assert (found.requestor, found.endpoint, found.status) == ("acme", SHOP, 503)
    assert (found.text, found.failed_at) == (reason, NOW)


@pytest.mark.parametrize(
    "state, end, kind",
    [
        (StepState.FAILED, End.FAILED, FailureKind.START),
        (StepState.EXPIRED, End.EXPIRED, FailureKind.EXPIRED),
    ],
)
def test_a_session_that_did_not_come_about_is_a_failure_of_no_endpoint(
    state: StepState, end: End, kind: FailureKind
) -> None:
    """Refused by its backend, or nobody came for it."""
    row = session(state)
    found = failure_of(view(row), ending(row, end, "why"))
    assert found is not None
    assert (found.kind, found.endpoint, found.status) == (kind, None, None)


def test_what_a_user_did_is_no_failure() -> None:
    """Cancelled, proved wrongly, or simply done."""
    wrong = session(StepState.FAILED, final_status="DONE")
    assert failure_of(view(wrong), ending(wrong, End.FAILED)) is None
    gone = session(StepState.CANCELLED)
    assert failure_of(view(gone), ending(gone, End.CANCELLED)) is None
    assert failure_of(view(ANSWERED), ending(ANSWERED, End.COMPLETED)) is None


def test_a_chain_that_goes_on_has_not_failed() -> None:
    """Most rulings end nothing."""
    assert failure_of(view(ANSWERED), Ruling(outcome=None)) is None
