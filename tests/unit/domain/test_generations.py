"""Which chains can be replayed, and what their next generation begins with."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest

from orchestrator.domain import claiming, handover, settling
from orchestrator.domain.chain import Chain, ChainState, Slot, Step, StepState
from orchestrator.domain.claiming import Budget, Claim
from orchestrator.domain.generations import Again, Carried, NotReplayed, Opened, reopen
from orchestrator.domain.handover import Due
from orchestrator.domain.ruling import Ruling
from orchestrator.domain.settling import Missing
from schemas.events import ChainReplayed, SessionRequested
from tests.unit.domain.samples import (
    CHAIN,
    COMPLETED,
    END,
    FINISHED,
    MINUTE,
    NEXT,
    NOW,
    PROVED,
    SECOND_SLOT,
    STARTING,
    a_view,
)

FAILED: Final = replace(
    CHAIN, state=ChainState.FAILED, ended_at=NOW, reason="unexpected status 404"
)
EXPIRED: Final = replace(FAILED, state=ChainState.EXPIRED, reason="too late")
AFTER: Final = replace(END, slot=SECOND_SLOT.following)
REFUSED: Final = replace(
    STARTING, state=StepState.FAILED, check_at=None, reason="the backend refused it"
)
TIMED_OUT: Final = replace(REFUSED, state=StepState.EXPIRED, final_status="TIMEOUT")
DISPROVED: Final = replace(REFUSED, final_status="DONE", sealed_result="result")
NEXT_SLOT: Final = Slot(chain_id=CHAIN.id, step=2, generation=1)
CARRIED: Final = Carried(
    sealed_request="r1",
    sealed_token="t1",
    sealed_result="s1",
    sealed_prepared="p1",
    attributes=("a.b.c.d",),
)


def replayed(
    row: Step | None, chain: Chain = FAILED, end: Step | None = AFTER
) -> Ruling[Opened | NotReplayed]:
    """What a replay of the second step comes to."""
    return reopen(a_view(row, end, chain=chain), SECOND_SLOT, CARRIED)


def refused(ruling: Ruling[Opened | NotReplayed]) -> str:
    """Why nothing was done; and nothing was."""
    assert isinstance(ruling.outcome, NotReplayed)
    assert ruling == Ruling(outcome=ruling.outcome)
    return ruling.outcome.reason


@pytest.mark.parametrize(
    "row",
    [
        COMPLETED,
        FINISHED,
        replace(FINISHED, state=StepState.CANCELLED),
        replace(FINISHED, state=StepState.EXPIRED),
    ],
    ids=lambda row: row.state,
)
@pytest.mark.parametrize("chain", [FAILED, EXPIRED], ids=lambda chain: chain.state)
def test_a_callback_that_failed_is_made_again(row: Step, chain: Chain) -> None:
    """The step is carried over with its result, whatever became of its session since."""
    ruling = replayed(row, chain)
    assert ruling.outcome == Opened(slot=NEXT_SLOT, again=Again.CALLBACK)
    (first,) = ruling.steps
    assert (first.slot, first.state, first.check_at) == (
        NEXT_SLOT,
        StepState.FINISHED,
        None,
    )
    assert (first.sealed_request, first.sealed_token) == ("r1", "t1")
    assert (first.sealed_result, first.sealed_prepared) == ("s1", None)
    assert (first.token_hash, first.answer_hash) == (row.token_hash, row.answer_hash)
    assert first.reason == "carried over from generation 0"


@pytest.mark.parametrize("row", [REFUSED, TIMED_OUT], ids=lambda row: row.state)
def test_a_session_that_was_not_proved_is_started_again(row: Step) -> None:
    """Detached and due at once, without anything of the one before."""
    ruling = replayed(row)
    assert ruling.outcome == Opened(slot=NEXT_SLOT, again=Again.SESSION)
    (first,) = ruling.steps
    assert (first.slot, first.state, first.check_at) == (
        NEXT_SLOT,
        StepState.DETACHED,
        NOW,
    )
    assert (first.sealed_request, first.sealed_prepared) == ("r1", "p1")
    assert {first.token_hash, first.sealed_token, first.sealed_result} == {None}
    assert {first.lease_owner, first.final_status, first.reason} == {None}
    assert (first.chained, first.session_type) == (row.chained, row.session_type)


def test_the_chain_runs_again_in_its_next_generation() -> None:
    """Nothing is left of its end, and it has the whole wall time once more."""
    chain = replayed(COMPLETED).chain
    assert chain == replace(
        CHAIN, state=ChainState.RUNNING, generation=1, replayed_at=NOW
    )
    assert (chain.since, CHAIN.since) == (NOW, CHAIN.created_at)
    assert chain.takes(NEXT_SLOT)
    assert not chain.takes(SECOND_SLOT)


def test_the_event_says_what_is_done_again_and_why() -> None:
    """Its cause is the end of the chain, so the history has it after that."""
    (event,) = replayed(COMPLETED).events
    assert isinstance(event, ChainReplayed)
    assert (event.id, event.generation, event.step) == (
        "01HANDOVER-2-1-chain_replayed-0",
        1,
        2,
    )
    assert event.causationid == "01HANDOVER-3-0-chain_failed-0"
    assert (event.data.again, event.data.ended) == ("callback", "failed")
    assert event.data.reason == "unexpected status 404"


def test_a_session_is_requested_once_more() -> None:
    """Its event has the replay for a cause, as the start has the request."""
    replay, request = replayed(TIMED_OUT, EXPIRED).events
    assert isinstance(replay, ChainReplayed)
    assert (replay.data.again, replay.data.ended) == ("session", "expired")
    assert isinstance(request, SessionRequested)
    assert (request.causationid, request.generation) == (replay.id, 1)
    assert request.data.attributes == ("a.b.c.d",)


@pytest.mark.parametrize(
    "chain,reason",
    [
        (CHAIN, "the chain is running"),
        (replace(FAILED, state=ChainState.COMPLETED), "the chain has completed"),
        (replace(FAILED, state=ChainState.CANCELLED), "the chain was cancelled"),
        (replace(FAILED, generation=1), "the chain was replayed before"),
        (
            replace(FAILED, purged_at=NOW),
            "the chain's results were deleted at 2026-03-29T00:59:58+00:00",
        ),
    ],
)
def test_only_a_chain_that_failed_is_replayed(chain: Chain, reason: str) -> None:
    """Anything else is refused with its reason, and stays as it is."""
    assert refused(replayed(COMPLETED, chain)) == reason


@pytest.mark.parametrize(
    "row",
    [
        DISPROVED,
        replace(REFUSED, state=StepState.CANCELLED, final_status="CANCELLED"),
        replace(FINISHED, chained=False),
    ],
    ids=["disproved", "cancelled", "not chained"],
)
def test_what_a_user_has_decided_is_not_done_again(row: Step) -> None:
    """A session that was proved wrongly or cancelled did not fail; nor a last one."""
    assert refused(replayed(row)) == "nothing of step 2 can be done again"


@pytest.mark.parametrize(
    "row,end",
    [(None, AFTER), (COMPLETED, None), (COMPLETED, replace(COMPLETED))],
    ids=["no row", "nothing after it", "a session after it"],
)
def test_only_the_last_session_is_followed_by_another_try(
    row: Step | None, end: Step | None
) -> None:
    """The slot after it has to hold the chain's end."""
    assert refused(replayed(row, end=end)) == "the chain has not ended at this step"


def test_the_answer_to_a_callback_made_again_claims_as_any_does() -> None:
    """In the new generation; one that comes for the earlier has no effect."""
    ruling = replayed(COMPLETED)
    (first,) = ruling.steps
    chain = ruling.chain
    assert chain is not None
    claims = [
        claiming.claim_next(
            a_view(step, end, chain=chain),
            step.slot,
            NEXT,
            PROVED,
            answer_hash="another answer",
            cause="answered",
            deadline=None,
            budget=Budget(),
        )
        for step, end in [(first, None), (COMPLETED, None), (COMPLETED, AFTER)]
    ]
    assert [claim.outcome for claim in claims] == [
        Claim.DETACHED,
        Claim.CLOSED,
        Claim.RIVAL,
    ]
    assert claims[0].steps[0].state is StepState.FINISHED
    assert [event.type for event in claims[0].events] == ["session.requested"]


def test_a_chain_that_was_too_old_has_its_time_again() -> None:
    """One that expired as its session could not be started is not expired once more."""
    old = replace(EXPIRED, created_at=NOW - timedelta(days=8))
    ruling = replayed(replace(STARTING, state=StepState.EXPIRED), old)
    (first,) = ruling.steps
    assert ruling.chain is not None
    view = a_view(first, chain=ruling.chain, now=NOW + MINUTE)
    due = handover.due_start(view, NEXT_SLOT, wall_time=timedelta(days=7))
    assert due.outcome is Due.START


def test_a_later_failure_says_nothing_of_an_earlier_generation() -> None:
    """The chain went on with the result, so the app was not refused its session."""
    again_failed = replace(FAILED, generation=1)
    chains = (FAILED, again_failed)
    missing = [
        settling.settle_missing(
            a_view(COMPLETED, AFTER, chain=chain),
            SECOND_SLOT,
            session_lifetime=15 * MINUTE,
        )
        for chain in chains
    ]
    assert [ruling.outcome for ruling in missing] == [Missing.CANCELLED, Missing.KEPT]
