"""The account of a cancelled plan, against rows and endpoints."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from orchestrator.proof.replay_account import Kept, exact
from orchestrator.proof.replay_cancel import Cancelled, amid, report
from orchestrator.proof.replay_command import CommandError, Told
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
    at_kill=replace(KEPT, in_hand=1),
    settled_at_kill=False,
    in_hand=1,
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
            "claimed_at_kill": 1,
            "redelivered": 1,
            "redelivered_max": 1,
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


def test_more_redeliveries_than_the_kill_explains_break_it() -> None:
    """Ids are derived, so a callback that is POSTed over and over has one id too."""
    more = replace(CANCELLED, posts=[*CANCELLED.posts, post("A")])
    assert not report([more]).held
    assert report([replace(more, in_hand=2)]).held


def test_a_kill_that_comes_too_late_breaks_it() -> None:
    """A worker that had let go of all was not killed amid anything."""
    late = replace(CANCELLED, settled_at_kill=True)
    (promise,) = [one for one in report([late]).promises if not one.held]
    assert promise.name == "cancelled so, its worker is killed before the end"


async def test_the_worker_is_killed_while_the_command_runs() -> None:
    """What the command has changed is enough; its own end would be too late."""
    changed, killed = asyncio.Event(), asyncio.Event()

    async def command() -> None:
        changed.set()
        await killed.wait()

    async def kill() -> None:
        killed.set()

    async with asyncio.timeout(5):
        await amid(command(), changed.wait(), kill)
    assert killed.is_set()


async def test_a_command_that_fails_kills_nobody() -> None:
    """Its words are the error, and nobody waits for what will not come."""

    async def command() -> None:
        raise CommandError("no such plan")

    async def kill() -> None:
        pytest.fail("the plan was not cancelled")

    async with asyncio.timeout(5):
        with pytest.raises(CommandError, match="no such plan"):
            await amid(command(), asyncio.Event().wait(), kill)
