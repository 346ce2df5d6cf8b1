"""Plans of batch replays: what they may do next, what stops them, what they count."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from orchestrator.domain import replaying
from orchestrator.domain.chain import ChainState
from orchestrator.domain.failing import FailureKind
from orchestrator.domain.pacing import Bucket
from orchestrator.domain.replay_outcomes import OUTCOME_MAX, OnItsWay, Went, judged
from orchestrator.domain.replaying import (
    CANARY,
    NextGroup,
    Replay,
    ReplayState,
    Stop,
    Take,
    Wait,
    next_move,
)
from tests.support.replays import MADE_AT, a_plan

RUNNING = replace(a_plan(state=ReplayState.RUNNING), claimed=100)
ON_ITS_WAY = OnItsWay(
    number=1,
    kind=FailureKind.CALLBACK,
    taken_at=MADE_AT,
    generation=0,
    open_generation=1,
    state=ChainState.RUNNING,
    was_live=True,
    followed=False,
    waits_as=None,
)


def in_group(step: int, taken: int, well: int = 0, ill: int = 0) -> Replay:
    """A running plan in the middle of a group."""
    return replace(
        RUNNING,
        canary_step=step,
        group_taken=taken,
        replayed=taken,
        group_well=well,
        group_ill=ill,
        well=well,
        ill=ill,
    )


def test_without_a_canary_as_many_go_out_as_can_be_in_hand() -> None:
    """Outcomes are nobody's concern then."""
    assert next_move(replace(RUNNING, canary=False), at_once_max=8) == Take(count=8)


@pytest.mark.parametrize(
    "plan, move",
    [
        (in_group(0, 0), Take(count=1)),
        (in_group(0, 1), Wait()),
        (in_group(0, 1, well=1), NextGroup()),
        (in_group(2, 3), Take(count=2)),
        (in_group(3, 4), Take(count=8)),
        (in_group(2, 5, well=4), Wait()),
        (in_group(2, 5, well=4, ill=1), NextGroup()),
    ],
)
def test_a_group_is_filled_then_waited_for(plan: Replay, move: object) -> None:
    """One in five may fail again, by the limit of 20 %."""
    assert next_move(plan, at_once_max=8) == move


def test_too_many_failures_stop_it_before_the_group_is_over() -> None:
    """Two of five are too many whatever the others come to."""
    move = next_move(in_group(2, 3, ill=2), at_once_max=8)
    assert move == Stop(why="2 of 2 in group 1 failed again: more than 20%")


def test_what_was_refused_is_not_looked_at() -> None:
    """Of a group of five only two were replayed: one of them ill is half of it."""
    plan = replace(in_group(2, 5, well=1, ill=1), replayed=2, refused=3)
    assert isinstance(next_move(plan, at_once_max=8), Stop)


def test_what_could_not_be_read_stops_it() -> None:
    """It is among the group's ill, though none was replayed; the reason says so."""
    plan = replace(RUNNING, group_taken=1, group_ill=1, refused=1)
    why = "1 of 1 in group 1 failed again or could not be read: more than 20%"
    assert next_move(plan, at_once_max=8) == Stop(why=why)


def test_what_is_in_hand_is_still_of_its_group() -> None:
    """Taken and not marked, it is not counted: so it is taken again, and waited for."""
    assert next_move(in_group(0, 0), at_once_max=8) == Take(count=1)
    half = replace(in_group(2, 3, well=3), claimed=8)
    assert next_move(half, at_once_max=8) == Take(count=2)


def test_groups_grow_up_to_the_last_size() -> None:
    """1, 2, 5, 20, 50, and on to a thousand each; the counters begin anew."""
    plan, sizes = in_group(0, 1, well=1), []
    for _ in range(len(CANARY) + 1):
        sizes.append(replaying.group_size(plan))
        plan = replaying.next_group(plan)
        assert (plan.group_taken, plan.group_well, plan.group_ill) == (0, 0, 0)
    assert sizes == [*CANARY, CANARY[-1]]
    assert plan.well == 1


def test_an_operator_pauses_resumes_and_cancels() -> None:
    """Each change is a new version; what is over is not changed any more."""
    paused = replaying.paused(RUNNING)
    assert paused is not None
    assert (paused.state, paused.version) == ("paused", RUNNING.version + 1)
    assert replaying.paused(paused) is None
    resumed = replaying.resumed(paused)
    assert resumed is not None
    assert (resumed.state, resumed.group_number) == ("running", RUNNING.group_number)
    assert replaying.resumed(resumed) is None
    cancelled = replaying.cancelled(paused, MADE_AT)
    assert cancelled is not None
    assert (cancelled.state, cancelled.settled) == ("cancelled", False)
    for over in (cancelled, replaying.finished(RUNNING, MADE_AT)):
        assert replaying.paused(over) is None
        assert replaying.resumed(over) is None
        assert replaying.cancelled(over, MADE_AT) is None


def test_resumed_after_its_canary_stopped_it_a_plan_begins_small() -> None:
    """With another group, of the first size."""
    resumed = replaying.resumed(replaying.stopped(in_group(4, 50, ill=11), "why"))
    assert resumed is not None
    assert (resumed.canary_step, resumed.group_number, resumed.why) == (0, 1, None)
    assert next_move(resumed, at_once_max=8) == Take(count=1)


def test_a_plan_that_is_over_keeps_no_url() -> None:
    """It is a secret that nobody needs any more."""
    sealed = replace(RUNNING, sealed_url="sealed")
    assert replaying.finished(sealed, MADE_AT).sealed_url is None
    assert replaying.settled(sealed).sealed_url is None


@pytest.mark.parametrize(
    "changed, went",
    [
        ({}, None),
        ({"waits_as": "retry"}, Went.ILL),
        ({"waits_as": "deadline"}, Went.WELL),
        ({"waits_as": "parked"}, None),
        ({"waits_as": "outbox"}, None),
        ({"followed": True}, Went.WELL),
        ({"followed": True, "state": ChainState.FAILED}, Went.WELL),
        ({"state": ChainState.COMPLETED}, Went.WELL),
        ({"state": ChainState.CANCELLED}, Went.WELL),
        ({"state": ChainState.FAILED}, Went.ILL),
        ({"state": ChainState.EXPIRED}, Went.ILL),
        ({"open_generation": 2}, Went.ILL),
        ({"kind": FailureKind.START}, Went.WELL),
        ({"kind": FailureKind.START, "was_live": False}, None),
    ],
)
def test_what_a_replay_came_to_is_read_from_its_rows(
    changed: dict[str, object], went: Went | None
) -> None:
    """A first attempt that was not answered counts; a carried-over session does not."""
    one = replace(ON_ITS_WAY, **changed)  # type: ignore[arg-type]  # of one test each
    assert judged(one, MADE_AT, MADE_AT) is went


def test_what_nobody_works_at_is_not_waited_for_without_end() -> None:
    """Unless it is parked: its endpoint will be well some day."""
    late = MADE_AT + OUTCOME_MAX + timedelta(seconds=1)
    assert judged(ON_ITS_WAY, late, MADE_AT) is Went.ILL
    assert judged(replace(ON_ITS_WAY, waits_as="parked"), late, MADE_AT) is None
    assert judged(replace(ON_ITS_WAY, waits_as="outbox"), late, MADE_AT) is None
    assert judged(ON_ITS_WAY, late, MADE_AT + timedelta(seconds=2)) is None


def test_a_bucket_fills_at_its_pace_and_no_further_than_a_second() -> None:
    """The first token is there at once; who has paused does not catch up."""
    bucket = Bucket(pace=2.0, filled_at=MADE_AT)
    assert bucket.available(MADE_AT) == 1
    bucket.take(1)
    assert bucket.available(MADE_AT + timedelta(seconds=0.4)) == 0
    assert bucket.available(MADE_AT + timedelta(seconds=0.5)) == 1
    assert bucket.available(MADE_AT + timedelta(hours=1)) == 2


def test_a_bucket_says_when_its_next_token_comes() -> None:
    """At once if there is one."""
    bucket = Bucket(pace=20.0, filled_at=MADE_AT)
    assert bucket.next_in_s(MADE_AT) == 0.0
    bucket.take(1)
    assert bucket.next_in_s(MADE_AT) == pytest.approx(0.05)
    later = MADE_AT + timedelta(seconds=0.02)
    assert bucket.next_in_s(later) == pytest.approx(0.03)


def test_a_slow_bucket_gives_one_at_a_time() -> None:
    """One in ten seconds, though a second holds but a tenth of it."""
    bucket = Bucket(pace=0.1, filled_at=MADE_AT)
    bucket.take(1)
    assert bucket.available(MADE_AT + timedelta(seconds=9)) == 0
    assert bucket.available(MADE_AT + timedelta(seconds=11)) == 1
