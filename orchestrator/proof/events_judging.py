"""Compares what a subscriber has seen with what it should have seen.

Nothing here asks anybody.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Final

from orchestrator.proof.events_books import Played, Sighting
from orchestrator.proof.events_expected import LEFT_OPEN, Expected, Kind
from orchestrator.sandbox.wallet import StepStatus

#: Of one step: what can only have happened after what.
_FOLLOWS: Final = (
    ("chain.started", "session.requested"),
    ("session.requested", "session.started"),
    ("session.started", "session.completed"),
    ("session.started", "session.finished"),
    ("session.started", "session.cancelled"),
)
#: What is told of a proved result, and what that leads to.
_PROVED: Final = "session.completed"
_CALLBACKS: Final = ("callback.retrying", "callback.answered", "callback.failed")
_SETTLED: Final = (
    ("callback.answered", "chain.completed"),
    ("callback.failed", "chain.failed"),
)


@dataclass(kw_only=True)
class Verdict:
    """What is wrong with one subscriber's events; each fault in words, too.

    Attributes:
        expected: how many events it should have seen.
        seen: how many it has, each id once.
        missing: expected and not seen.
        duplicated: seen under another id though it happened once.
        disordered: seen after an event of its chain that has no lower number, or before
            one that must have happened first.
        gaps: numbers of a chain that nothing was seen of.
        foreign: of somebody else, or of nobody.
    """

    expected: int = 0
    seen: int = 0
    missing: int = 0
    duplicated: int = 0
    disordered: int = 0
    gaps: int = 0
    foreign: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """How many faults of each kind there are."""
        return {
            "missing": self.missing,
            "duplicated": self.duplicated,
            "out_of_order": self.disordered,
            "gaps": self.gaps,
            "foreign": self.foreign,
        }


def judge(
    requestor: str, sightings: Sequence[Sighting], expected: Mapping[str, Expected]
) -> Verdict:
    """What a subscriber of this requestor has seen, in its order, chain by chain."""
    verdict = Verdict(seen=len(sightings))
    chains: dict[str, list[Sighting]] = defaultdict(list)
    for one in sightings:
        due = expected.get(one.chain_id)
        if due is None or {due.requestor, one.requestor} != {requestor}:
            verdict.foreign += 1
            verdict.faults.append(f"{one.id} of {one.requestor or 'nobody'}")
        else:
            chains[one.chain_id].append(one)
    for chain_id, due in expected.items():
        if due.requestor == requestor:
            verdict.expected += due.events.total()
            _whole(verdict, due, chains[chain_id])
            _in_order(verdict, chain_id, chains[chain_id])
    return verdict


def _whole(verdict: Verdict, due: Expected, seen: Sequence[Sighting]) -> None:
    """Each event that has to be there is there once, and nothing else is."""
    got = Counter((one.step, one.type) for one in seen if one.type not in LEFT_OPEN)
    more = got - due.events - due.repeats
    for (step, type_), count in (due.events - got).items():
        verdict.missing += count
        verdict.faults.append(f"{due.chain_id} step {step}: no {type_}")
    for (step, type_), count in more.items():
        verdict.duplicated += count
        verdict.faults.append(f"{due.chain_id} step {step}: one more {type_}")


def _in_order(verdict: Verdict, chain_id: str, seen: Sequence[Sighting]) -> None:
    """The numbers of a chain rise from 1, none is left out and none comes again."""
    highest = 0
    for one in seen:
        if one.sequence <= highest:
            verdict.disordered += 1
            verdict.faults.append(f"{chain_id}: {one.sequence} after {highest}")
        highest = max(highest, one.sequence)
    _as_it_happened(verdict, chain_id, seen)
    numbers = {one.sequence for one in seen}
    if left_out := [n for n in range(1, highest) if n not in numbers]:
        verdict.gaps += len(left_out)
        verdict.faults.append(f"{chain_id}: nothing seen of {left_out}")


def _as_it_happened(verdict: Verdict, chain_id: str, seen: Sequence[Sighting]) -> None:
    """What led to something was seen before it, whatever numbers they have."""
    first: dict[Kind, int] = {}
    for place, one in enumerate(seen):
        first.setdefault((one.step, one.type), place)
    for before, after in _orders(first):
        if first[before] > first[after]:
            verdict.disordered += 1
            verdict.faults.append(f"{chain_id}: {after} was seen before {before}")


def _orders(first: Mapping[Kind, int]) -> Iterator[tuple[Kind, Kind]]:
    """What is there of a chain, in pairs that can only have happened in this order."""
    for step in sorted({step for step, _ in first}):
        pairs = [*_FOLLOWS]
        proved = (step, _PROVED) in first
        if proved:
            pairs += [*product([_PROVED], _CALLBACKS), *_SETTLED]
        orders = [((step, one), (step, other)) for one, other in pairs]
        if proved:
            following = (step + 1, "session.requested")
            orders.append(((step, "callback.answered"), following))
        yield from (one for one in orders if first.keys() >= set(one))


def agreed(
    expected: Mapping[str, Expected], sightings: Iterable[Sequence[Sighting]]
) -> dict[str, Expected]:
    """Of chains that nobody saw the end of, whatever one has seen, all have to see.

    And all that is known to have happened before.
    """
    blurred = {chain_id for chain_id, one in expected.items() if one.blurred}
    seen: dict[str, Counter[Kind]] = defaultdict(Counter)
    for journal in sightings:
        chains: dict[str, Counter[Kind]] = defaultdict(Counter)
        for one in journal:
            if one.chain_id in blurred and one.type not in LEFT_OPEN:
                chains[one.chain_id][one.step, one.type] += 1
        for chain_id, events in chains.items():
            seen[chain_id] |= events
    return {
        chain_id: replace(one, events=one.events | seen[chain_id], repeats=Counter())
        if one.blurred
        else one
        for chain_id, one in expected.items()
    }


def went_wrong(played: Iterable[Played], expected: Mapping[str, Expected]) -> list[str]:
    """Chains that did not go as they should have, by wallet and endpoint.

    An app that was let go before its chain failed has seen its session end well.
    """
    faults = []
    for one in played:
        faults += [f"{one.chain_id}: {text}" for text in one.troubles]
        if one.cut_off:
            continue
        which = f"{one.chain_id} ({one.script.name})"
        if not _as_told(one.sessions, one.script.ends):
            ends = ", ".join(one.sessions) or "none"
            faults.append(f"{which}: sessions ended {ends}")
        if not expected[one.chain_id].over:
            faults.append(f"{which}: is not over")
    return faults


def _as_told(sessions: Sequence[StepStatus], ends: Sequence[StepStatus]) -> bool:
    let_go = [StepStatus.SUCCESS if end is StepStatus.FAILURE else end for end in ends]
    return list(sessions) in (list(ends), let_go)
