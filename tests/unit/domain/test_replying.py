"""Which answers the reply URL takes: the first one, while the chain is open."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from orchestrator.domain.chain import Chain, Step
from orchestrator.domain.replying import Replied, take_reply
from orchestrator.domain.ruling import Ruling
from tests.unit.domain.samples import (
    CANCELLED,
    CHAIN,
    CLOSED,
    COMPLETED,
    DETACHED,
    END,
    FINISHED,
    FIRST,
    LIVE,
    a_view,
)

#: The step whose result was POSTed, proved by the session that the row points to.
STEP: Final = replace(COMPLETED, slot=FIRST, token_hash="cafe00", sealed_result="result")


def replied(
    step: Step | None = STEP,
    following: Step | None = None,
    *,
    chain: Chain = CHAIN,
    session: str = "cafe",
    told: bool = False,
) -> Ruling[Replied]:
    """The endpoint's answer comes to the reply URL."""
    return take_reply(
        a_view(step, following, chain=chain),
        FIRST,
        answer_hash="answer",
        session=session,
        told=told,
    )


@pytest.mark.parametrize("row", [STEP, replace(FINISHED, slot=FIRST, token_hash="cafe")])
def test_the_first_answer_is_taken(row: Step) -> None:
    """Its hash stays on the row, whatever its backend has said of the session since."""
    taken = replace(row, reply_hash="answer")
    assert replied(row) == Ruling(outcome=Replied.TAKEN, steps=(taken,))


@pytest.mark.parametrize("chain", [CHAIN, *CLOSED])
@pytest.mark.parametrize(
    "step,following",
    [
        (replace(STEP, reply_hash="answer"), None),
        (replace(STEP, reply_hash="answer"), DETACHED),
        (STEP, DETACHED),
        (STEP, END),
    ],
)
def test_the_same_answer_again_is_no_other(
    step: Step, following: Step | None, chain: Chain
) -> None:
    """Wherever it was given before, and whatever became of the chain; nothing changes."""
    assert replied(step, following, chain=chain) == Ruling(outcome=Replied.REPEATED)


@pytest.mark.parametrize(
    "step,following",
    [
        (replace(STEP, reply_hash="other"), None),
        (STEP, replace(DETACHED, answer_hash="other")),
        (STEP, replace(LIVE, answer_hash="other")),
    ],
)
def test_another_answer_comes_too_late(step: Step, following: Step | None) -> None:
    """By this URL or as the answer to a retry: the first one counts."""
    assert replied(step, following) == Ruling(outcome=Replied.RIVAL)


@pytest.mark.parametrize(
    "step,following,chain",
    [
        *((STEP, None, chain) for chain in CLOSED),
        (STEP, replace(END, answer_hash="expired"), CANCELLED),
        (STEP, replace(END, answer_hash=None), CANCELLED),
        (None, None, CHAIN),
    ],
)
def test_a_chain_that_is_closed_takes_no_answer(
    step: Step | None, following: Step | None, chain: Chain
) -> None:
    """It has ended, or a replay has made another callback of it."""
    assert replied(step, following, chain=chain) == Ruling(outcome=Replied.CLOSED)


@pytest.mark.parametrize(
    "step,session",
    [
        (replace(STEP, sealed_result=None), "cafe"),
        (STEP, "beef"),
        (replace(LIVE, slot=FIRST, token_hash=None), "cafe"),
    ],
    ids=["not-marked-yet", "of-another-session", "not-found-yet"],
)
def test_nothing_follows_a_result_that_is_not_there(step: Step, session: str) -> None:
    """The claim needs it, so it has to be stored or at hand (rule H3)."""
    assert replied(step, session=session) == Ruling(outcome=Replied.UNPROVED)
    assert replied(step, session=session, told=True).outcome is Replied.TAKEN
