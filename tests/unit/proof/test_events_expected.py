"""Journals of wallet and endpoint say which events a chain has to have."""

from __future__ import annotations

from collections import Counter

import pytest

from orchestrator.proof.events_books import Played, Posted
from orchestrator.proof.events_expected import Expected, all_expected, expected
from orchestrator.proof.events_scripts import ASKED_AGAIN, SCRIPTS, Said, Script
from orchestrator.sandbox.wallet import StepStatus
from schemas.events import Purpose

SUCCESS, CANCELLED, FAILURE = (
    StepStatus.SUCCESS,
    StepStatus.CANCELLED,
    StepStatus.FAILURE,
)

BEGUN = ["1 chain.started", "1 session.requested", "1 session.started"]


def of(
    script: Script, *sessions: StepStatus, posted: list[Posted], cut_off: bool = False
) -> Expected:
    """What has to be there of one chain."""
    played = Played(
        chain_id="A",
        requestor="acme",
        script=script,
        sessions=list(sessions),
        cut_off=cut_off,
    )
    return expected(played, posted)


def told(one: Expected) -> list[str]:
    """The events, each as often as it has to be there."""
    return sorted(f"{step} {type_}" for step, type_ in one.events.elements())


def post(step: int, said: Said) -> Posted:
    """An attempt of a `nextSession` callback."""
    return Posted(step, Purpose.NEXT, said)


def script(name: str) -> Script:
    """One of those that the proof plays."""
    return next(one for one in SCRIPTS if one.name == name)


def as_scripted(one: Script) -> list[Posted]:
    """What the endpoint gets where all goes as it was told."""
    posted = [Posted(1, Purpose.NOTIFY, Said.END)] if one.notified else []
    for step, answers in enumerate(one.answers, 1):
        if step <= len(one.ends) and one.ends[step - 1] is not CANCELLED:
            posted += [post(step, said) for said in answers]
    return posted


def test_a_chain_of_two_steps() -> None:
    """Each session and each answer, and one end."""
    posted = [post(1, Said.NEXT), post(2, Said.END)]
    found = of(script("two steps"), SUCCESS, SUCCESS, posted=posted)
    assert found.over
    assert told(found) == sorted(
        [
            *BEGUN,
            "1 session.completed",
            "1 callback.answered",
            "1 session.finished",
            "2 session.requested",
            "2 session.started",
            "2 session.completed",
            "2 callback.answered",
            "2 session.finished",
            "2 chain.completed",
        ]
    )


@pytest.mark.parametrize("one", SCRIPTS, ids=lambda one: one.name)
def test_every_script_leads_to_one_end(one: Script) -> None:
    """The chain is over, and told so once."""
    found = of(one, *one.ends, posted=as_scripted(one))
    ends = [kind for kind in told(found) if kind.split()[1] in ENDS]
    assert found.over
    assert len(ends) == 1
    assert not found.repeats


ENDS = {"chain.completed", "chain.failed", "chain.cancelled"}


@pytest.mark.parametrize(
    "name, last",
    [
        ("410", "1 session.cancelled"),
        ("no session request", "1 callback.failed"),
        ("declined", "1 chain.cancelled"),
        ("declined at step 2", "2 session.cancelled"),
        ("503 in flow, then a last one", "1 callback.retrying"),
        ("503 with Retry-After, then 204", "1 callback.retrying"),
        ("told at its callbackUrl", "1 callback.answered"),
        ("no next session", "1 session.finished"),
    ],
)
def test_what_tells_one_script_from_the_others(name: str, last: str) -> None:
    """Each has an event that is its own."""
    one = script(name)
    assert last in told(of(one, *one.ends, posted=as_scripted(one)))


def test_a_result_of_which_nothing_was_posted_yet_is_not_over() -> None:
    """As the endpoint has not been asked, nobody can know the end."""
    found = of(script("204"), SUCCESS, posted=[])
    assert not found.over
    assert told(found) == sorted([*BEGUN, "1 session.completed", "1 session.finished"])


def test_a_result_that_its_requestor_was_not_told_is_not_over() -> None:
    """It wants it at its `callbackUrl`."""
    assert not of(script("told at its callbackUrl"), SUCCESS, posted=[]).over


def test_an_announced_session_that_nobody_has_played_is_not_over() -> None:
    """The endpoint has asked for it, so it has to be announced."""
    found = of(script("two steps"), SUCCESS, posted=[post(1, Said.NEXT)])
    assert not found.over
    assert "2 session.started" in told(found)


def test_a_callback_that_is_asked_again_is_not_over() -> None:
    """After 503 alone something has to follow."""
    said = next(iter(ASKED_AGAIN))
    assert not of(script("204"), SUCCESS, posted=[post(1, said)]).over


def test_what_is_posted_once_more_may_be_told_once_more() -> None:
    """The endpoint cannot see whether it was the same attempt."""
    posted = [post(1, Said.AGAIN), post(1, Said.LAST), post(1, Said.LAST)]
    found = of(script("503 in flow, then a last one"), SUCCESS, SUCCESS, posted=posted)
    assert found.events[1, "callback.answered"] == 1
    assert found.events[1, "callback.retrying"] == 1
    assert found.repeats == Counter({(1, "callback.answered"): 1})


def test_an_app_that_was_let_go_has_ended_well() -> None:
    """The chain has failed behind its back."""
    found = of(script("410"), SUCCESS, posted=[post(1, Said.REFUSED)])
    assert found.over
    assert {"1 session.finished", "1 chain.failed"} <= set(told(found))


def test_nobody_knows_what_followed_where_an_app_was_cut_off() -> None:
    """It is over for the journals, and they leave its events open."""
    found = of(script("two steps"), FAILURE, posted=[], cut_off=True)
    assert found.over
    assert found.blurred
    assert set(told(found)) == {
        "1 chain.started",
        "1 session.requested",
        "1 session.started",
    }


def test_each_chain_has_its_own_posts() -> None:
    """By the chain's id."""
    chains = [
        Played(chain_id=name, requestor="acme", script=script("204"), sessions=[SUCCESS])
        for name in ("A", "B")
    ]
    found = all_expected(chains, {"B": [post(1, Said.END)]})
    assert [found[name].over for name in ("A", "B")] == [False, True]
