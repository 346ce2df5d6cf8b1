"""The account of a cancelled plan, against rows and endpoints."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.proof.replay_account import Kept, exact
from orchestrator.proof.replay_cancel import Cancelled, report
from orchestrator.proof.replay_command import Told
from orchestrator.proof.replay_journal import Posted

FIRST = Told(
    id="R1",
    state="cancelled",
    claimed=4,
    replayed=2,
    refused=1,
    left=1,
    wentWell=2,
    failedAgain=0,
    settled=True,
)
KEPT = Kept(replayed=2, refused=1, in_hand=0, free=1, reopened=2)


def test_sums_that_agree_hold() -> None:
    """Done, refused and never started are the whole, wherever one looks."""
    promise = exact("so", FIRST, KEPT, 4, 2)
    assert promise.held
    assert promise.seen == "at 75% of 4: 2 replayed, 1 refused, 1 never started"


@pytest.mark.parametrize(
    "first, kept, posted",
    [
        ({"state": "running"}, {}, 2),
        ({"settled": False}, {}, 2),
        ({"claimed": 5}, {}, 2),
        ({"left": 0}, {}, 2),
        ({}, {"replayed": 1}, 2),
        ({}, {"refused": 0}, 2),
        ({}, {"in_hand": 1}, 2),
        ({}, {"free": 0}, 2),
        ({}, {"reopened": 3}, 2),
        ({}, {}, 3),
    ],
)
def test_one_that_differs_anywhere_breaks_it(
    first: dict[str, object], kept: dict[str, int], posted: int
) -> None:
    """The plan may not say other than rows and endpoints."""
    told = FIRST.model_copy(update=first)
    assert not exact("so", told, replace(KEPT, **kept), 4, posted).held


def post(chain_id: str, ordinal: str = "0") -> Posted:
    """A replayed callback."""
    return Posted(1.0, 0, 204, f"{chain_id}-1-1-session_completed-{ordinal}")


HALF = FIRST.model_copy(update={"claimed": 3, "refused": 0})
REST = FIRST.model_copy(
    update={"state": "done", "claimed": 1, "replayed": 1, "refused": 0, "left": 0}
)
CANCELLED = Cancelled(
    how="so",
    chains=3,
    first=HALF,
    kept=replace(KEPT, refused=0),
    posted=2,
    second=REST,
    posts=[post("A"), post("B"), post("C"), post("C")],
)


def test_a_second_plan_takes_the_rest() -> None:
    """What the first plan has left, each once; a redelivery is told apart."""
    told = report([CANCELLED])
    assert told.held
    assert told.figures == {
        "so": {
            "chains": 3,
            "replayed": 2,
            "refused": 0,
            "never_started": 1,
            "second_plan": 1,
            "redelivered": 1,
        }
    }


@pytest.mark.parametrize(
    "broken",
    [
        replace(CANCELLED, second=REST.model_copy(update={"claimed": 2})),
        replace(CANCELLED, second=REST.model_copy(update={"state": "paused"})),
        replace(CANCELLED, posts=[post("A"), post("B")]),
        replace(CANCELLED, posts=[*CANCELLED.posts, post("C", "1")]),
    ],
)
def test_a_second_plan_that_takes_other_chains_breaks_it(broken: Cancelled) -> None:
    """Neither fewer nor more, and no chain by another callback."""
    assert not report([broken]).held
