"""What a ruling gives up: a session that another one of its step has overtaken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.domain.chain import Step
from orchestrator.domain.ruling import Ruling, telling_overtaken
from tests.unit.domain.samples import (
    CHAIN,
    COMPLETED,
    DETACHED,
    FINISHED,
    FORWARDED,
    LIVE,
    SECOND_SLOT,
    STARTING,
    a_view,
)


def overtaken(before: Step | None, *after: Step) -> Step | None:
    """The row whose session these rows give up."""
    ruling = Ruling(outcome="decided", steps=after, chain=CHAIN)
    told = telling_overtaken(a_view(before), ruling)
    outcome, row = told.outcome
    assert Ruling(outcome=outcome, steps=told.steps, chain=told.chain) == ruling
    return row


@pytest.mark.parametrize("row", [LIVE, COMPLETED], ids=lambda row: row.state)
def test_a_session_is_given_up_for_another_of_its_step(row: Step) -> None:
    """Rule H3: the row points to whoever was proved first."""
    assert overtaken(row, replace(COMPLETED, token_hash="other")) == row


@pytest.mark.parametrize(
    "before,after",
    [
        (None, COMPLETED),
        (LIVE, COMPLETED),
        (LIVE, replace(LIVE, slot=SECOND_SLOT.following, token_hash="other")),
        (FORWARDED, COMPLETED),
        (DETACHED, COMPLETED),
        (STARTING, COMPLETED),
        (FINISHED, replace(FINISHED, token_hash="other")),
    ],
)
def test_nobody_else_is_given_up(before: Step | None, after: Step) -> None:
    """It is the row's own result, there was no session yet, or it is over anyway."""
    assert overtaken(before, after) is None


def test_who_decides_nothing_gives_nobody_up() -> None:
    """No row is written."""
    assert overtaken(LIVE) is None
