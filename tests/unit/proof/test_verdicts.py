"""Whether a proof sees what is wrong: each thing that can deviate, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from orchestrator.domain.chain import ChainState
from orchestrator.proof.sightings import App, Content, Expected, Planned, Seen
from orchestrator.proof.verdicts import LATE_MAX_S, Aspect, Deviation, judge
from tests.unit.proof.samples import (
    BACKGROUND,
    EXPECTED,
    LIVE,
    POLICY,
    SEEN,
    at,
    attempt,
    content,
)


def deviations(seen: Seen = SEEN, expected: Expected = EXPECTED) -> tuple[Deviation, ...]:
    """What is wrong with it."""
    return judge("case", expected, seen, POLICY).deviations


def aspects(seen: Seen = SEEN, expected: Expected = EXPECTED) -> set[Aspect]:
    """In which aspects something is wrong."""
    return {one.aspect for one in deviations(seen, expected)}


def test_what_is_as_expected_is_right() -> None:
    """Nothing deviates, so the case is right."""
    assert judge("case", EXPECTED, SEEN, POLICY).right


@pytest.mark.parametrize(
    "wrong,aspect",
    [
        (replace(EXPECTED, decided=("503 live", "204 end")), Aspect.DECIDED),
        (replace(EXPECTED, attempts=2, unseen=1), Aspect.ATTEMPTS),
        (replace(EXPECTED, unseen=1), Aspect.ATTEMPTS),
        (replace(EXPECTED, asked_s=60.0), Aspect.DECIDED),
        (replace(EXPECTED, state=ChainState.FAILED), Aspect.END),
        (replace(EXPECTED, app=App.DETACHED), Aspect.END),
        (replace(EXPECTED, reason="because"), Aspect.END),
        (replace(EXPECTED, replies=(409,)), Aspect.END),
        (replace(EXPECTED, ends_after_s=9.0), Aspect.TIME),
    ],
)
def test_a_wrong_expectation_is_reported(wrong: Expected, aspect: Aspect) -> None:
    """Each in its aspect and no other, so that nothing hides another thing."""
    assert aspects(expected=wrong) == {aspect}


def test_a_deviation_says_what_was_expected_and_what_was_seen() -> None:
    """So that nobody has to look for it."""
    (found,) = deviations(expected=replace(EXPECTED, app=App.TOLD))
    assert found.text == "expected app: error told, seen ended well"


def last(change: Callable[[Content], Content]) -> Seen:
    """The same, with the last attempt's content changed."""
    *earlier, latest = SEEN.attempts
    assert latest.content is not None
    changed = replace(latest, content=change(latest.content))
    return replace(SEEN, attempts=(*earlier, changed))


@pytest.mark.parametrize(
    "seen",
    [
        last(lambda sent: replace(sent, webhook_id="C1-1-0-d")),
        last(lambda sent: replace(sent, result='{"status":"DONE"}')),
        last(lambda sent: replace(sent, trace=content(0).trace)),
        last(lambda sent: replace(sent, genuine=False)),
        last(lambda sent: replace(sent, stamps=content(-1).stamps)),
        last(lambda sent: replace(sent, stamps=content(3).stamps)),
    ],
    ids=["id", "result", "trace", "signature", "stale time", "time to come"],
)
def test_an_attempt_that_is_not_the_same_is_seen(seen: Seen) -> None:
    """Another id or result, a repeated span, a false signature, a time not its own."""
    assert aspects(seen) == {Aspect.SAME}


def retrying(index: int, planned: Planned) -> Seen:
    """The same, with another plan for one retry."""
    decided = list(SEEN.decided)
    decided[index] = replace(decided[index], retry=planned)
    return replace(SEEN, decided=tuple(decided))


@pytest.mark.parametrize(
    "index,delay_s", [(0, 0.24), (0, 0.26), (1, 0.79), (1, 1.21), (1, 60.0)]
)
def test_a_delay_outside_its_clock_is_seen(index: int, delay_s: float) -> None:
    """Live ones are exact, background ones within their jitter."""
    planned = replace((LIVE, BACKGROUND)[index], delay_s=delay_s)
    assert Aspect.DECIDED in aspects(retrying(index, planned))


def test_a_retry_too_many_of_a_clock_is_seen() -> None:
    """A clock has so many delays and no more."""
    policy = replace(POLICY, background_delays_s=())
    found = judge("case", EXPECTED, SEEN, policy)
    assert {one.aspect for one in found.deviations} == {Aspect.DECIDED}


def test_a_retry_before_its_time_is_seen() -> None:
    """By the endpoint's own clock: since its reply, the delay has not passed."""
    early = replace(SEEN, attempts=(attempt(0), attempt(0.3), attempt(1.3)))
    assert aspects(early) == {Aspect.TIME}


@pytest.mark.parametrize("late_s,right", [(0.1, False), (-0.1, True)])
def test_a_retry_long_after_its_time_is_seen(late_s: float, right: bool) -> None:  # noqa: FBT001 - a table
    """More than the bound after the endpoint's reply and the delay."""
    late = attempt(0.3 + BACKGROUND.delay_s + LATE_MAX_S + late_s)
    found = aspects(replace(SEEN, attempts=(attempt(0), attempt(0.3), late)))
    assert found == (set() if right else {Aspect.TIME})


@pytest.mark.parametrize("late_s,right", [(0.1, False), (-0.1, True)])
def test_without_a_reply_the_event_tells_the_time(late_s: float, right: bool) -> None:  # noqa: FBT001 - a table
    """An endpoint that hung does not know when we gave up."""
    hung = replace(attempt(0.3), replied_at=None)
    told = replace(BACKGROUND, at=at(1.5 - LATE_MAX_S - late_s))
    seen = replace(retrying(1, told), attempts=(attempt(0), hung, attempt(1.5)))
    assert aspects(seen) == (set() if right else {Aspect.TIME})


def test_a_case_that_could_not_be_played_is_wrong() -> None:
    """Whatever it came to before."""
    found = judge("case", EXPECTED, Seen(trouble="TimeoutError"), POLICY)
    assert not found.right
    assert Aspect.END in {one.aspect for one in found.deviations}


@pytest.mark.parametrize("late_s,right", [(0.2, True), (-1.0, False), (2.5, False)])
def test_an_end_by_the_clock_has_its_time(late_s: float, right: bool) -> None:  # noqa: FBT001 - a table
    """Neither before the deadline nor long after it."""
    ended = replace(SEEN, ended_at=at(10 + late_s))
    found = judge("case", replace(EXPECTED, ends_after_s=10.0), ended, POLICY)
    assert found.right is right
