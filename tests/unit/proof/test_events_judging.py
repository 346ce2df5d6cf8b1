"""Each fault in what a subscriber has seen is found, and nothing else is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from orchestrator.proof.events_books import Played, Sighting
from orchestrator.proof.events_expected import Expected, Kind
from orchestrator.proof.events_judging import Verdict, agreed, judge, went_wrong
from orchestrator.proof.events_scripts import SCRIPTS
from orchestrator.sandbox.wallet import StepStatus

TYPES = ("chain.started", "session.requested", "session.started", "chain.cancelled")


def sighting(sequence: int, chain_id: str = "A", *, id_: str = "") -> Sighting:
    """The event of a chain of acme's that has this number."""
    return Sighting(
        id=id_ or f"{chain_id}-{sequence}",
        requestor="acme",
        chain_id=chain_id,
        step=1,
        type=TYPES[sequence - 1],
        sequence=sequence,
    )


def due(chain_id: str, requestor: str = "acme") -> Expected:
    """A chain with one event of each type."""
    events = Counter((1, type_) for type_ in TYPES)
    return Expected(chain_id=chain_id, requestor=requestor, events=events)


EXPECTED = {"A": due("A"), "B": due("B"), "X": due("X", "globex")}
SEEN = [sighting(n, chain) for n in (1, 2, 3, 4) for chain in ("A", "B")]

Seeded = Callable[[list[Sighting]], list[Sighting]]


def found(seen: list[Sighting]) -> dict[str, int]:
    """The faults that were found, by kind."""
    verdict = judge("acme", seen, EXPECTED)
    assert bool(verdict.faults) == any(verdict.counts.values())
    return {name: count for name, count in verdict.counts.items() if count}


def test_what_has_to_be_seen_and_no_more_is_no_fault() -> None:
    """Chains may be mixed; those of others are not to be seen."""
    verdict = judge("acme", SEEN, EXPECTED)
    assert verdict == Verdict(expected=8, seen=8)


@pytest.mark.parametrize(
    "seed, faults",
    [
        (lambda seen: seen[:-1], {"missing": 1}),
        (lambda seen: [*seen[:4], *seen[5:]], {"missing": 1, "gaps": 1}),
        (
            lambda seen: [*seen, sighting(4, id_="again")],
            {"duplicated": 1, "out_of_order": 1},
        ),
        (
            lambda seen: [*seen, replace_sequence(sighting(4, id_="again"), 5)],
            {"duplicated": 1},
        ),
        (lambda seen: [seen[2], seen[0], seen[1], *seen[3:]], {"out_of_order": 2}),
        (lambda seen: [*seen[:-2], *seen[:-3:-1]], {}),
        (lambda seen: [*seen, sighting(1, "X")], {"foreign": 1}),
        (lambda seen: [*seen, sighting(1, "nobody's")], {"foreign": 1}),
        (
            lambda seen: [seen[0]._replace(requestor="globex"), *seen[1:]],
            {"foreign": 1, "missing": 1, "gaps": 1},
        ),
        (lambda _: [], {"missing": 8}),
    ],
)
def test_each_seeded_fault_is_found(seed: Seeded, faults: dict[str, int]) -> None:
    """And counted as what it is."""
    assert found(seed(list(SEEN))) == faults


def replace_sequence(one: Sighting, sequence: int) -> Sighting:
    """The same event with another number."""
    return one._replace(sequence=sequence)


def test_a_chain_that_is_told_backwards_is_found() -> None:
    """Though its numbers rise by one each."""
    types = reversed([*TYPES])
    seen = [sighting(n)._replace(type=type_) for n, type_ in enumerate(types, 1)]
    verdict = judge("acme", seen, {"A": due("A")})
    assert verdict.counts == {
        "missing": 0,
        "duplicated": 0,
        "out_of_order": 2,
        "gaps": 0,
        "foreign": 0,
    }


@pytest.mark.parametrize(
    "before, after",
    [
        ((1, "session.completed"), (1, "callback.answered")),
        ((1, "callback.answered"), (1, "chain.completed")),
        ((1, "callback.answered"), (2, "session.requested")),
    ],
)
def test_what_led_to_something_is_told_before_it(before: Kind, after: Kind) -> None:
    """Of a result that was proved; a notification may come after the end."""

    def disordered(*kinds: Kind) -> int:
        seen = [
            Sighting(f"A-{n}", "acme", "A", step, type_, n)
            for n, (step, type_) in enumerate(kinds, 1)
        ]
        one = Expected(chain_id="A", requestor="acme", events=Counter(kinds))
        return judge("acme", seen, {"A": one}).disordered

    proved = (1, "session.completed")
    first = [] if before == proved else [proved]
    assert disordered(*first, before, after) == 0
    assert disordered(*first, after, before) == 1
    assert disordered((1, "chain.completed"), (1, "callback.answered")) == 0


def test_an_event_of_a_type_that_does_not_belong_there_is_found() -> None:
    """Instead of the one that does."""
    seen = [*SEEN[:-1], SEEN[-1]._replace(type="chain.completed")]
    assert found(seen) == {"missing": 1, "duplicated": 1}


def test_what_nobody_outside_can_know_may_be_there() -> None:
    """A callback that was parked for a moment has its number in the chain."""
    parked = Sighting("A-5", "acme", "A", 1, "callback.parked", 5)
    assert found([*SEEN, parked]) == {}


def test_a_repeat_may_be_told_once_more_but_not_twice() -> None:
    """As many as there were."""
    repeats = Counter({(1, "callback.answered"): 1})
    expected = {"A": replace(due("A"), repeats=repeats)}
    seen = [one for one in SEEN if one.chain_id == "A"]
    more = [Sighting(f"A-{n}", "acme", "A", 1, "callback.answered", n) for n in (5, 6)]
    assert judge("acme", [*seen, more[0]], expected).faults == []
    assert judge("acme", [*seen, *more], expected).duplicated == 1


def test_where_nobody_saw_the_end_subscribers_have_to_agree() -> None:
    """Whoever has less than another misses something."""
    expected = {"A": replace(due("A"), blurred=True), "B": due("B")}
    more = Sighting("A-5", "acme", "A", 2, "session.started", 5)
    whole = [*SEEN, more]
    settled = agreed(expected, [whole, SEEN])
    assert settled["B"] is expected["B"]
    assert judge("acme", whole, settled).faults == []
    assert judge("acme", SEEN, settled).missing == 1


def test_what_happened_before_an_app_was_cut_off_has_to_be_there() -> None:
    """Even if all subscribers agree that it is not."""
    known = replace(due("A"), blurred=True, events=Counter({(1, "session.started"): 1}))
    settled = agreed({"A": known}, [[], []])
    assert judge("acme", [], settled).missing == 1


def chain(*sessions: StepStatus, name: str = "410") -> Played:
    """Chain A as its user has lived it."""
    script = next(one for one in SCRIPTS if one.name == name)
    return Played(chain_id="A", requestor="acme", script=script, sessions=[*sessions])


@pytest.mark.parametrize(
    "played, faults",
    [
        (chain(StepStatus.FAILURE), []),
        (chain(StepStatus.SUCCESS), []),  # let go before it failed
        (chain(StepStatus.CANCELLED), ["A (410): sessions ended cancelled"]),
        (chain(), ["A (410): sessions ended none"]),
        (
            chain(StepStatus.FAILURE, name="204"),
            ["A (204): sessions ended failure"],
        ),
    ],
)
def test_chains_go_as_they_were_told(played: Played, faults: list[str]) -> None:
    """By their script."""
    assert went_wrong([played], {"A": due("A")}) == faults


def test_a_chain_that_is_not_over_has_gone_wrong() -> None:
    """Whatever its events are; troubles are told too."""
    played = chain(StepStatus.FAILURE)
    played.troubles.append("no answer")
    faults = went_wrong([played], {"A": replace(due("A"), over=False)})
    assert faults == ["A: no answer", "A (410): is not over"]


def test_what_followed_after_an_app_was_cut_off_is_no_fault_of_the_chain() -> None:
    """It is counted by itself."""
    played = chain(StepStatus.FAILURE, name="204")
    played.cut_off = True
    assert went_wrong([played], {"A": due("A")}) == []
