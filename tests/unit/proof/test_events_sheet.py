"""What was found becomes promises: each is broken by its own fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from orchestrator.proof.events_books import Played, Posted
from orchestrator.proof.events_expected import all_expected
from orchestrator.proof.events_scripts import SCRIPTS, Said
from orchestrator.proof.events_sheet import Found, report
from orchestrator.proof.events_subscribers import Subscriber, Way
from orchestrator.sandbox.wallet import StepStatus
from schemas.events import Purpose

KEYS = ("acme", "globex", "initech")
SCRIPT = next(one for one in SCRIPTS if one.name == "204")

#: In the order in which they happen.
TYPES = (
    "chain.started",
    "session.requested",
    "session.started",
    "session.completed",
    "callback.answered",
    "chain.completed",
    "session.finished",
)

PLAYED = [
    Played(
        chain_id=f"C-{key}", requestor=key, script=SCRIPT, sessions=[StepStatus.SUCCESS]
    )
    for key in KEYS
]
POSTED = {one.chain_id: [Posted(1, Purpose.NEXT, Said.END)] for one in PLAYED}


def subscriber(way: Way, n: int) -> Subscriber:
    """One that has seen everything; the first of each kind was never cut off."""
    key = KEYS[n]
    one = Subscriber(
        way=way, requestor=key, cuts=3 if n else 0, chains_away=2 if n else 0
    )
    for sequence, type_ in enumerate(TYPES, 1):
        one.note(
            {
                "id": f"{key}-{sequence}",
                "subject": f"C-{key}",
                "type": type_,
                "requestor": key,
                "step": 1,
                "sequence": sequence,
            }
        )
    return one


def found() -> Found:
    """A run in which all went well."""
    return Found(
        asked=3,
        played=PLAYED,
        refused=[],
        expected=all_expected(PLAYED, POSTED),
        subscribers=[subscriber(way, n) for way in Way for n in range(len(KEYS))],
        cuts=3,
        kills=2,
        doubts=[],
        lasted_s=2.0,
        caught_up_s=1.0,
        died=[],
    )


def broken(one: Found) -> list[str]:
    """The promises that did not hold."""
    return [promise.name for promise in report(one).promises if not promise.held]


def with_one(change: Callable[[Subscriber], None], way: Way) -> Found:
    """The same run, but for one subscriber of this kind."""
    run = found()
    change(next(one for one in run.subscribers if one.way is way and one.cuts))
    return run


def test_a_run_without_a_fault_keeps_every_promise() -> None:
    """And tells figures and a row for each subscriber."""
    told = report(found())
    assert told.held
    assert told.figures["missing"] == 0
    assert told.figures["events"] == 21
    assert [len(sheet.rows) for sheet in told.sheets] == [1, 15]


def lose(one: Subscriber) -> None:
    """The last event was never seen."""
    one.seen.pop()


@pytest.mark.parametrize("way", Way)
def test_a_subscriber_that_misses_an_event_breaks_the_promise_of_its_kind(
    way: Way,
) -> None:
    """And no other."""
    assert broken(with_one(lose, way)) == [
        f"{way}: nothing missing, double, out of order or foreign"
    ]


def again(one: Subscriber) -> None:
    """An event came once more."""
    one.again = 1


def test_only_server_sent_events_promise_that_nothing_comes_again() -> None:
    """The others are at least once."""
    assert broken(with_one(again, Way.QUEUE)) == []
    assert broken(with_one(again, Way.SSE)) == ["SSE tells nothing twice"]


def spare(one: Subscriber) -> None:
    """It was cut off less often than it should have been."""
    one.cuts = 1


def hurry_back(one: Subscriber) -> None:
    """It was never away for long."""
    one.chains_away = 1


@pytest.mark.parametrize(
    "run, promise",
    [
        (with_one(hurry_back, Way.SSE), "two of each kind that has a place"),
        (with_one(hurry_back, Way.STREAM), "two of each kind that has a place"),
        (with_one(spare, Way.TAIL), "two of three subscribers"),
        (replace(found(), kills=1), "the active history worker"),
        (replace(found(), doubts=["history was idle"]), "the active history worker"),
        (replace(found(), died=["gateway"]), "no process dies"),
        (replace(found(), refused=["POST /session: 500"]), "every chain goes"),
        (replace(found(), asked=4), "every chain goes"),
        (replace(found(), expected=all_expected(PLAYED, {})), "every chain goes"),
        (
            replace(found(), played=[*PLAYED[1:], replace(PLAYED[0], cut_off=True)]),
            "at most 2% of apps",
        ),
    ],
)
def test_a_run_that_proves_nothing_is_broken(run: Found, promise: str) -> None:
    """Whatever subscribers have seen."""
    assert any(name.startswith(promise) for name in broken(run))
