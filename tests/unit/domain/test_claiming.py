"""A result is taken in, and what follows it claims the one slot after its step."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

import pytest

from orchestrator.domain.chain import Chain, ChainState, Ending, Step, StepState
from orchestrator.domain.claiming import (
    Budget,
    Claim,
    TakeIn,
    claim_end,
    claim_next,
    take_in,
)
from orchestrator.domain.ruling import CHECK_LIVE, CHECK_OFFERED, Ruling
from schemas.events import ChainEnded
from schemas.messages import End
from tests.unit.domain.samples import (
    CANCELLED,
    CHAIN,
    CLOSED,
    COMPLETED,
    DETACHED,
    END,
    FINISHED,
    FIRST,
    FORWARDED,
    LIVE,
    NEXT,
    NOW,
    OFFERED,
    PROVED,
    REPLAYED,
    ROWS,
    SECOND,
    SECOND_SLOT,
    STARTING,
    a_view,
)

#: The first step as `claim_next` finds it, and the row it makes.
STEP: Final = replace(COMPLETED, slot=FIRST, sealed_result=None, answer_hash="first")
SECOND_ROW: Final = Step(
    slot=SECOND_SLOT,
    state=StepState.DETACHED,
    session_type="issuing",
    cause="answered",
    created_at=NOW,
    check_at=NOW,
    chained=True,
    session_timeout_s=120,
    answer_hash="answer",
    sealed_request="next request",
    sealed_prepared="next prepared",
)
FAILED: Final = Ending(end=End.FAILED, cause="failed", reason="given up")


def taken_in(row: Step | None, *, chain: Chain = CHAIN) -> Ruling[TakeIn]:
    """A proved result of the second step came in."""
    return take_in(
        a_view(row, chain=chain), SECOND_SLOT, token_hash="new", sealed_token="sealed"
    )


def claimed(
    step: Step | None = STEP,
    following: Step | None = None,
    *,
    chain: Chain = CHAIN,
    deadline: datetime | None = None,
    budget: Budget | None = None,
) -> Ruling[Claim]:
    """An answer wants a next session after the first step."""
    return claim_next(
        a_view(step, following, chain=chain),
        FIRST,
        NEXT,
        PROVED,
        answer_hash="answer",
        cause="answered",
        deadline=deadline,
        budget=budget or Budget(),
    )


def ended(
    step: Step | None = STEP,
    following: Step | None = None,
    *,
    chain: Chain = CHAIN,
    ending: Ending = FAILED,
) -> Ruling[Claim]:
    """An answer ends the chain after the first step."""
    view = a_view(step, following, chain=chain)
    return claim_end(view, FIRST, ending, proved=PROVED, answer_hash="answer")


def told(ruling: Ruling[Claim] | Ruling[TakeIn]) -> list[str]:
    """The types of the ruling's events, in order."""
    return [event.type for event in ruling.events]


# ---------------------------------------------------------------------------- taking in


def test_a_proved_result_marks_a_live_row() -> None:
    """Rule H4: at once, and the row keeps the session it points to."""
    marked = replace(
        LIVE,
        state=StepState.COMPLETED,
        completed_at=NOW,
        check_at=NOW + CHECK_LIVE,
    )
    assert taken_in(LIVE) == Ruling(outcome=TakeIn.MARKED, steps=(marked,))


@pytest.mark.parametrize(
    "token,kept", [("token", "proved result"), ("other", None)], ids=["own", "another"]
)
def test_a_proved_result_may_be_left_at_once(token: str, kept: str | None) -> None:
    """Before any answer; but not another session's beside the token of the row's own."""
    ruling = take_in(
        a_view(LIVE),
        SECOND_SLOT,
        token_hash=token,
        sealed_token="sealed",
        sealed_result="proved result",
    )
    (marked,) = ruling.steps
    assert (marked.token_hash, marked.sealed_result) == ("token", kept)


def test_a_proved_result_announces_a_session_nobody_has_found_yet() -> None:
    """A forwarded session has evidently run: the row learns of it by its result."""
    ruling = taken_in(FORWARDED)
    assert ruling.outcome is TakeIn.MARKED
    assert ruling.steps == (
        replace(
            FORWARDED,
            state=StepState.COMPLETED,
            completed_at=NOW,
            check_at=NOW + CHECK_LIVE,
            announced=True,
            token_hash="new",
            sealed_token="sealed",
        ),
    )
    assert [event.id for event in ruling.events] == [
        SECOND_SLOT.event_id("session.started")
    ]


@pytest.mark.parametrize(
    "row",
    [row for row in ROWS if row not in (LIVE, FORWARDED)],
    ids=lambda row: row.state,
)
def test_only_sessions_that_run_are_marked(row: Step) -> None:
    """A repeat, or the result of another session of the step, changes no row."""
    assert taken_in(row) == Ruling(outcome=TakeIn.REPEATED)


@pytest.mark.parametrize("chain", CLOSED)
def test_a_closed_chain_takes_nothing_in(chain: Chain) -> None:
    """Rule H9: a result that comes too late marks nothing."""
    assert taken_in(LIVE, chain=chain) == Ruling(outcome=TakeIn.TOO_LATE)


def test_a_step_that_does_not_exist_takes_nothing_in() -> None:
    """There is no row to mark."""
    assert taken_in(None) == Ruling(outcome=TakeIn.TOO_LATE)


# ------------------------------------------------------------------- the next session


def test_an_answer_in_time_is_offered() -> None:
    """While the message's deadline has not passed, the app may still get it."""
    deadline = NOW + SECOND
    ruling = claimed(deadline=deadline)
    offered = replace(
        SECOND_ROW,
        state=StepState.OFFERED,
        check_at=NOW + CHECK_OFFERED,
        in_flow=True,
        deadline=deadline,
    )
    assert ruling.outcome is Claim.OFFERED
    assert ruling.steps[1] == offered
    assert ruling.chain is None


@pytest.mark.parametrize("deadline", [None, NOW, NOW - SECOND])
def test_a_late_answer_is_detached(deadline: datetime | None) -> None:
    """Its start is due at once (rule H5)."""
    ruling = claimed(deadline=deadline)
    assert ruling.outcome is Claim.DETACHED
    assert ruling.steps[1] == replace(SECOND_ROW, deadline=deadline)


def test_the_claim_names_what_is_asked_for_but_no_value() -> None:
    """`session.requested` follows from the answer that claimed the slot."""
    (event,) = claimed().events
    assert event.type == "session.requested"
    assert event.causationid == "answered"
    assert event.data.attributes == NEXT.attributes


@pytest.mark.parametrize("step", [STEP, LIVE, FORWARDED, DETACHED, STARTING])
def test_the_claim_stores_the_result_of_its_step(step: Step) -> None:
    """Rule H3: VALID counts from any session; the row then points to its own."""
    ruling = claimed(replace(step, slot=FIRST))
    assert ruling.steps[0] == replace(
        step,
        slot=FIRST,
        state=StepState.COMPLETED,
        completed_at=step.completed_at or NOW,
        check_at=NOW + CHECK_LIVE,
        announced=True,
        token_hash=PROVED.token_hash,
        sealed_token=PROVED.sealed_token,
        sealed_result=PROVED.sealed_result,
    )


def test_the_claim_leaves_a_final_step_final() -> None:
    """The session's own last word, with its result, was there before the answer."""
    step = replace(FINISHED, slot=FIRST, sealed_result="last word")
    assert claimed(step).steps[0] == replace(
        step, token_hash=PROVED.token_hash, sealed_token=PROVED.sealed_token
    )


@pytest.mark.parametrize(
    "step",
    [
        replace(FINISHED, slot=FIRST, sealed_result=None),
        replace(FINISHED, slot=FIRST, sealed_result="of another", token_hash="other"),
    ],
)
def test_the_claim_stores_the_result_it_was_made_of(step: Step) -> None:
    """A final row may have none, or another session's: what follows goes by this one."""
    after = claimed(step).steps[0]
    assert after.state is StepState.FINISHED
    assert after.sealed_result == PROVED.sealed_result
    assert after.token_hash == PROVED.token_hash


@pytest.mark.parametrize(
    "step,events",
    [
        (STEP, ["session.requested"]),
        (replace(FORWARDED, slot=FIRST), ["session.started", "session.requested"]),
        (
            replace(STEP, in_flow=True),
            ["session.started", "session.requested"],
        ),
        (None, ["session.requested"]),
    ],
)
def test_the_claim_tells_of_a_session_in_flow(
    step: Step | None, events: list[str]
) -> None:
    """Whoever learns first that a forwarded session has run announces it (H7, H10)."""
    assert told(claimed(step)) == events


def test_a_claim_without_a_row_of_its_step_still_claims() -> None:
    """What follows is decided by the slot alone."""
    assert claimed(None).steps == (SECOND_ROW,)


@pytest.mark.parametrize(
    "row,outcome",
    [
        (OFFERED, Claim.MINE_OFFERED),
        (FORWARDED, Claim.MINE_OFFERED),
        (DETACHED, Claim.MINE_DETACHED),
        (STARTING, Claim.MINE),
        (LIVE, Claim.MINE),
        (COMPLETED, Claim.MINE),
        (FINISHED, Claim.MINE),
    ],
    ids=lambda given: given.state if isinstance(given, Step) else given.name,
)
@pytest.mark.parametrize("chain", [CHAIN, CANCELLED])
def test_the_same_answer_again_makes_nothing_new(
    row: Step, outcome: Claim, chain: Chain
) -> None:
    """It says again what it has said, under the same id (rule H10)."""
    first = claimed()
    again = claimed(following=row, chain=chain)
    assert again.outcome is outcome
    assert (again.steps, again.chain) == ((), None)
    assert [e.id for e in again.events] == [e.id for e in first.events]


def test_the_same_answer_again_repeats_the_end_it_has_led_to() -> None:
    """Over the budget, it had ended the chain; whoever waits is told so again."""
    budget = Budget(steps_max=1)
    first = claimed(budget=budget)
    assert first.chain is not None
    again = claimed(following=first.steps[-1], chain=first.chain, budget=budget)
    assert again == replace(first, steps=(), chain=None, ending=None)


def test_the_same_answer_again_repeats_its_end_in_a_chain_that_was_opened_again() -> None:
    """A replay runs by then: the chain's row does not tell how the slot has ended."""
    budget = Budget(steps_max=1)
    first = claimed(budget=budget)
    again = claimed(following=first.steps[-1], chain=REPLAYED, budget=budget)
    assert again == replace(first, steps=(), chain=None, ending=None)
    assert told(again) == ["chain.failed"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.state)
def test_another_answer_has_no_effect(row: Step) -> None:
    """Two different answers, a late one or a redelivery can never make two (G2)."""
    rival = replace(row, answer_hash="other")
    assert claimed(following=rival) == Ruling(outcome=Claim.RIVAL)
    assert ended(following=rival) == Ruling(outcome=Claim.RIVAL)


@pytest.mark.parametrize("chain", CLOSED)
def test_a_closed_chain_has_no_slots(chain: Chain) -> None:
    """Rule H9: neither a session nor an end is claimed any more."""
    assert claimed(chain=chain) == Ruling(outcome=Claim.CLOSED)
    assert ended(chain=chain) == Ruling(outcome=Claim.CLOSED)


def test_a_chain_over_its_budget_fails_instead() -> None:
    """The result is stored, and the slot holds the end (G8)."""
    ruling = claimed(budget=Budget(steps_max=1), deadline=NOW + SECOND)
    reason = "the chain is longer than 1 steps"
    assert ruling.outcome is Claim.ENDED
    assert ruling.chain == replace(
        CHAIN, state=ChainState.FAILED, ended_at=NOW, reason=reason
    )
    assert [row.state for row in ruling.steps] == [StepState.COMPLETED, StepState.END]
    assert told(ruling) == ["chain.failed"]


# ------------------------------------------------------------------------------ the end


def test_an_end_claims_the_slot_and_ends_the_chain() -> None:
    """Row, chain and event come of one decision."""
    ruling = ended()
    step, end = ruling.steps
    assert ruling.outcome is Claim.ENDED
    assert step.sealed_result == PROVED.sealed_result
    assert end == replace(END, cause="failed", created_at=NOW, reason="given up")
    assert ruling.chain == replace(
        CHAIN, state=ChainState.FAILED, ended_at=NOW, reason="given up"
    )
    (event,) = ruling.events
    assert isinstance(event, ChainEnded)
    assert (event.type, event.step, event.causationid) == ("chain.failed", 1, "failed")


@pytest.mark.parametrize("end", End)
def test_each_end_is_told(end: End) -> None:
    """The chain's event is named by how it has ended."""
    assert told(ended(ending=Ending(end=end, cause="c"))) == [f"chain.{end.value}"]


def test_the_same_end_again_is_told_again() -> None:
    """Nothing is written, and the ids are the same (rule H10)."""
    step = replace(FORWARDED, slot=FIRST)
    first = ended(step)
    assert first.chain is not None
    again = ended(step, first.steps[-1], chain=first.chain)
    assert again == replace(first, outcome=Claim.MINE, steps=(), chain=None, ending=None)
    assert told(again) == ["session.started", "chain.failed"]


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row is not END], ids=lambda row: row.state
)
def test_an_end_never_takes_the_slot_of_a_session(row: Step) -> None:
    """An answer that was permitted when it came first is not refused when it repeats."""
    assert ended(following=row) == Ruling(outcome=Claim.RIVAL)


# ----------------------------------------------------------------- an answer by reply URL

REPLIED: Final = replace(STEP, reply_hash="reply")


def test_a_reply_that_was_taken_holds_the_slot() -> None:
    """Its 2xx is a promise: neither a request nor an end gets in between."""
    assert claimed(REPLIED) == Ruling(outcome=Claim.RIVAL)
    for end in (End.COMPLETED, End.FAILED, End.EXPIRED):
        ending = Ending(end=end, cause="late", reason="why")
        assert ended(REPLIED, ending=ending) == Ruling(outcome=Claim.RIVAL)


def test_the_reply_itself_claims_the_slot() -> None:
    """As any answer, and so does the callback's answer if it says the same."""
    own = replace(STEP, reply_hash="answer")
    assert claimed(own).outcome is Claim.DETACHED
    assert ended(own).outcome is Claim.ENDED


def test_a_deadline_expires_a_chain_that_nobody_answered() -> None:
    """The end claims the slot like every other."""
    ending = Ending(end=End.EXPIRED, cause="answered", reason="nothing came")
    ruling = ended(ending=ending)
    assert ruling.outcome is Claim.ENDED
    assert told(ruling) == ["chain.expired"]
    assert ruling.chain is not None
    assert (ruling.chain.state, ruling.chain.reason) == (
        ChainState.EXPIRED,
        "nothing came",
    )
    rival = replace(SECOND_ROW, answer_hash="other")
    assert ended(following=rival, ending=ending) == Ruling(outcome=Claim.RIVAL)


# --------------------------------------------------------------- the same again and again


@pytest.mark.parametrize("repeats,counted", [(None, 0), (0, 1), (1, 2)])
def test_identical_requests_in_a_row_are_counted(
    repeats: int | None, counted: int
) -> None:
    """By what claimed the slots; another request counts from the beginning."""
    before = replace(STEP, answer_hash="answer", repeats=repeats or 0)
    if repeats is None:
        before = replace(STEP, answer_hash="other", repeats=2)
    row = claimed(before).steps[-1]
    assert row.repeats == counted


@pytest.mark.parametrize("identical_max", [1, 3])
def test_a_chain_in_a_loop_fails(identical_max: int) -> None:
    """The request after so many identical ones is refused, with the reason."""
    budget = Budget(identical_max=identical_max)
    before = replace(STEP, answer_hash="answer", repeats=identical_max - 1)
    ruling = claimed(before, budget=budget)
    assert ruling.outcome is Claim.ENDED
    assert ruling.chain is not None
    assert ruling.chain.state is ChainState.FAILED
    assert ruling.chain.reason == (
        f"the chain has made the same request {identical_max} times in a row"
    )
    if identical_max > 1:
        fewer = replace(before, repeats=identical_max - 2)
        assert claimed(fewer, budget=budget).outcome is Claim.DETACHED
