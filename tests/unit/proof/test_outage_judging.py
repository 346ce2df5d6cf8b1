"""Journals of an outage become verdicts: each promise is broken by its own fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from orchestrator.proof.outage_books import (
    Away,
    Books,
    Kept,
    Phase,
    Posted,
    Refusal,
    Said,
    Signs,
    Sitting,
    Told,
    User,
    Viewing,
)
from orchestrator.proof.outage_judging import all_of, noticed, verdict
from orchestrator.proof.report import Promise

AWAY = Away(from_s=100.0, until_s=130.0)

#: A chain of two sessions, the first of which was shared while it was away.
SHARED = Sitting(step=1, shared_s=110.0, waited_s=0.2, ended_well=True, detached=False)
AFTERWARDS = Sitting(step=2, shared_s=140.0, waited_s=0.1, ended_well=True, detached=True)


def user(*sittings: Sitting, troubles: tuple[str, ...] = ()) -> User:
    """Chain A of two sessions."""
    return User(
        chain_id="A",
        begun_s=95.0,
        sessions=2,
        sittings=list(sittings),
        troubles=list(troubles),
    )


def told(type_: str, step: int, sequence: int, *, id_: str = "") -> Told:
    """An event of chain A."""
    return Told(
        id=id_ or f"A-{step}-{type_}-{sequence}",
        type=type_,
        chain_id="A",
        step=step,
        generation=0,
        sequence=sequence,
    )


def post(result: str = "R", webhook_id: str = "W") -> Posted:
    """An attempt to POST the first result of chain A."""
    return Posted(chain_id="A", step=1, webhook_id=webhook_id, result=result, at_s=131.0)


KEPT = Kept(chain_id="A", state="completed", ended_s=141.0, statuses=["DONE", "DONE"])
EVENTS = (
    told("session.started", 1, 1),
    told("session.started", 2, 2),
    told("chain.completed", 2, 3),
)
GOOD = Books(
    away=AWAY,
    rate=20.0,
    offered=19.9,
    refuses=False,
    users=[user(SHARED, AFTERWARDS)],
    refusals=[],
    posted=[post()],
    told=EVENTS,
    viewings=[Viewing(chain_id="A", cut=0, refused=[])],
    kept={"A": KEPT},
)
STORE = replace(
    GOOD, refuses=True, refusals=[Refusal(at_s=105.0, status=503, clear=True)]
)


def broken(promises: list[Promise]) -> list[str]:
    """What did not hold, by the first words of what was seen."""
    return [one.seen for one in promises if not one.held]


@pytest.mark.parametrize("books", [GOOD, STORE])
def test_journals_without_a_fault_keep_every_promise(books: Books) -> None:
    """Also where new chains were refused as was said."""
    assert broken(all_of(books)) == []


def test_what_is_told_or_posted_again_is_no_fault() -> None:
    """A broker that stops may have taken what it has not confirmed."""
    books = replace(GOOD, told=[*EVENTS, EVENTS[-1]], posted=[post(), post()])
    assert broken(all_of(books)) == []


@pytest.mark.parametrize(
    "change, fault",
    [
        (lambda b: replace(b, offered=15.0), "15.0/s"),
        (
            lambda b: replace(b, users=[user(SHARED, AFTERWARDS, troubles=("late",))]),
            "A: late",
        ),
        (lambda b: replace(b, users=[user(SHARED)]), "A: 1 sessions, not 2"),
        (
            lambda b: replace(
                b, users=[user(SHARED, replace(AFTERWARDS, ended_well=False))]
            ),
            "A step 2: the app got an error",
        ),
        (
            lambda b: replace(b, users=[user(replace(SHARED, waited_s=4.3), AFTERWARDS)]),
            "A step 1: the app waited 4.3 s",
        ),
        (
            lambda b: replace(
                b, users=[user(replace(SHARED, shared_s=99.0), AFTERWARDS)]
            ),
            "nobody shared anything",
        ),
        (
            lambda b: replace(b, refusals=[Refusal(at_s=105.0, status=503, clear=True)]),
            "a new chain got 503",
        ),
        (
            lambda b: replace(b, viewings=[Viewing(chain_id="A", cut=1, refused=[])]),
            "A: its open page was cut",
        ),
        (
            lambda b: replace(
                b, viewings=[Viewing(chain_id="A", cut=0, refused=[(105.0, 503)])]
            ),
            "A: its page answered 503",
        ),
        (lambda b: replace(b, viewings=[]), "no page was open"),
        (lambda b: replace(b, kept={}), "A: no row"),
        (
            lambda b: replace(b, kept={"A": replace(KEPT, state="failed")}),
            "A: failed",
        ),
        (
            lambda b: replace(b, kept={"A": replace(KEPT, statuses=["DONE", None])}),
            "A: sessions ['DONE', None]",
        ),
        (
            lambda b: replace(
                b, kept={"A": KEPT, "B": replace(KEPT, chain_id="B", state="running")}
            ),
            "1 chains that nobody was told of still run",
        ),
        (
            lambda b: replace(b, told=[*EVENTS, told("chain.failed", 2, 4)]),
            "A: 2 endings",
        ),
        (
            lambda b: replace(b, posted=[post(), post("another")]),
            "W: different results",
        ),
        (
            lambda b: replace(b, posted=[post(), post(webhook_id="V")]),
            "A step 1: 2 webhook ids",
        ),
        (lambda b: replace(b, posted=[]), "A: its result was never POSTed"),
        (
            lambda b: replace(b, told=[*EVENTS, told("session.finished", 2, 5)]),
            "A: [1, 2, 3, 5]",
        ),
    ],
)
def test_each_fault_breaks_one_promise_and_is_told(
    change: Callable[[Books], Books], fault: str
) -> None:
    """The others hold, so that a reader sees what it was."""
    (seen,) = broken(all_of(change(GOOD)))
    assert seen.startswith(fault)


def test_a_second_live_session_of_a_step_is_found() -> None:
    """Whether or not the chain ends once (G2)."""
    twice = told("session.started", 2, 4, id_="another")
    (seen,) = broken(all_of(replace(GOOD, told=[*EVENTS, twice])))
    assert "A step 2: 2 live sessions" in seen


def test_an_ending_that_no_subscriber_is_told_of_is_found() -> None:
    """The database alone does not tell anybody."""
    (seen,) = broken(all_of(replace(GOOD, told=EVENTS[:-1])))
    assert seen.startswith("A: no chain.completed")


def test_a_chain_that_has_to_wait_ends_within_the_bound() -> None:
    """By when the database says that it ended, after the outage."""
    meanwhile = user(SHARED, replace(AFTERWARDS, shared_s=120.0))
    late = replace(KEPT, ended_s=AWAY.until_s + 500)
    (seen,) = broken(all_of(replace(GOOD, users=[meanwhile], kept={"A": late})))
    assert seen.startswith("the last chain that had to wait ended 500 s")


@pytest.mark.parametrize(
    "refusals, fault",
    [
        ([], "no new chain was refused"),
        ([Refusal(at_s=105.0, status=503, clear=False)], "a new chain got 503 without"),
        ([Refusal(at_s=140.0, status=503, clear=True)], "a new chain got 503"),
    ],
)
def test_new_chains_are_refused_in_clear_words_and_only_meanwhile(
    refusals: list[Refusal], fault: str
) -> None:
    """Without any refusal the store was not away at all."""
    (seen,) = broken(all_of(replace(STORE, refusals=refusals)))
    assert seen.startswith(fault)


def test_a_page_may_have_to_come_back_while_the_store_is_away() -> None:
    """It is opened anew, and told when; afterwards it is not."""
    page = Viewing(chain_id="A", cut=0, refused=[(105.0, 503)])
    assert broken(all_of(replace(STORE, viewings=[page]))) == []
    late = replace(page, refused=[(140.0, 503)])
    assert len(broken(all_of(replace(STORE, viewings=[late])))) == 1


@pytest.mark.parametrize(
    "said, fault",
    [
        ([], "clock did not say so"),
        ([Said(event="lost", at_s=101.0)], "clock says lost and not back"),
        (
            [Said(event="lost", at_s=150.0), Said(event="lost", at_s=101.0)]
            + 2 * [Said(event="back", at_s=151.0)],
            "clock says lost long after it",
        ),
    ],
)
def test_a_process_says_that_it_cannot_go_on_and_then_goes_on(
    said: list[Said], fault: str
) -> None:
    """Its own log tells, and nothing else restarted it."""
    signs = {"clock": Signs(away="lost", over="back")}
    good = [Said(event="lost", at_s=101.0), Said(event="back", at_s=131.0)]
    assert noticed(AWAY, signs, {"clock": good}).held
    assert noticed(AWAY, signs, {"clock": said}).seen.startswith(fault)


def test_faults_are_told_up_to_a_few() -> None:
    """There may be thousands, all for one reason."""
    seen = verdict("x", "10 looked at", [f"fault {n}" for n in range(5)]).seen
    assert seen == "fault 0; fault 1; fault 2; and 2 more (10 looked at)"


@pytest.mark.parametrize(
    "at_s, phase",
    [(99.9, Phase.BEFORE), (100.0, Phase.DURING), (130.0, Phase.AFTER)],
)
def test_a_moment_has_a_phase(at_s: float, phase: Phase) -> None:
    """The outage is from when it is told to stop until it answers again."""
    assert AWAY.phase(at_s) is phase
