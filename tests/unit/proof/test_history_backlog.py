"""The backlog is what the product would have told; its report counts what was seen."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

import pytest

from orchestrator.proof.backlog import CHAINS_AT_ONCE, backlog, fill
from orchestrator.proof.history import Drained, Look, pace, report
from schemas.events import ChainEvent, dump_event, parse_event
from tests.support.fakes import FakePublisher

EVENTS = 20_000


@pytest.fixture(scope="module")
def events() -> list[ChainEvent]:
    """A backlog of some size."""
    return list(backlog(EVENTS))


def test_each_event_comes_once_and_after_its_cause(events: list[ChainEvent]) -> None:
    """As on the way through a chain; only the first event of a chain has no cause."""
    seen: set[str] = set()
    for event in events:
        assert event.id not in seen
        seen.add(event.id)
        if event.causationid is None:
            assert event.type == "chain.started"
        else:
            assert event.causationid in seen
    assert len(seen) == EVENTS


def test_a_chain_has_ten_to_fourteen_events_of_two_sessions(
    events: list[ChainEvent],
) -> None:
    """All that ended have as many, and no event follows a chain's end."""
    chains = defaultdict(list)
    for event in events:
        chains[event.chainid].append(event.type)
    ended = [types for types in chains.values() if types[-1] == "chain.completed"]
    assert 0 <= len(chains) - len(ended) <= CHAINS_AT_ONCE
    assert {len(types) for types in ended} == {10, 11, 12, 13, 14}
    assert all(Counter(types)["session.started"] == 2 for types in ended)


def test_chains_lie_mixed(events: list[ChainEvent]) -> None:
    """Hardly ever do two events of one chain follow each other."""
    same = sum(one.chainid == other.chainid for one, other in pairwise(events))
    assert same < EVENTS / 100


def test_a_backlog_is_the_same_each_time(events: list[ChainEvent]) -> None:
    """Two runs measure the same, and each event is one that the worker reads."""
    assert list(backlog(100)) == events[:100]
    assert [parse_event(dump_event(event)) for event in events[:100]] == events[:100]


async def test_all_of_it_is_published_in_order(events: list[ChainEvent]) -> None:
    """In portions, the last one smaller."""
    publisher = FakePublisher()
    await fill(publisher, 2_500)
    assert [event.id for event in publisher.events] == [e.id for e in events[:2_500]]
    assert [len(call) for call in publisher.calls] == [1_000, 1_000, 500]


def looks(*written: tuple[float, int]) -> list[Look]:
    """The worker seen at some moments; what it has written it has told as well."""
    return [Look(at_s=at, written=count, told=count, rss_mb=100) for at, count in written]


def drained(**other: float) -> Drained:
    """A backlog of 10,000 that went as promised."""
    fields = {
        "events": 10_000,
        "filled_s": 2.0,
        "rows": 10_000,
        "gaps": 0,
        "logged": 10_000,
        "different": 10_000,
        "rss_mb": 120.0,
        "cpu_s": 4.0,
    }
    seen = looks((0.0, 0), (1.0, 500), (5.0, 10_000), (6.0, 10_000))
    return Drained(looks=seen, **fields | other)  # type: ignore[arg-type]  # whole ones


def test_the_pace_is_that_between_the_first_and_the_last_event() -> None:
    """What comes before and after is not the worker's."""
    seen = looks((0.0, 0), (1.0, 500), (3.0, 4_500), (5.0, 4_500))
    assert pace(seen, lambda look: look.written) == 2_000
    assert pace(looks((0.0, 7)), lambda look: look.written) == 0


def test_a_backlog_that_went_as_promised_holds() -> None:
    """The figures are told."""
    found = report(drained())
    assert found.held
    assert found.figures["committed_per_s"] == 2_375
    assert found.figures["rss_mb_max"] == 120.0
    assert found.figures["worker_cpu_us_per_event"] == 400


@pytest.mark.parametrize(
    "other",
    [
        {"rss_mb": 150.1},
        {"rows": 9_999},
        {"gaps": 1},
        {"logged": 9_999},
        {"different": 9_999},
    ],
)
def test_each_promise_can_break(other: dict[str, float]) -> None:
    """Memory, completeness, numbering."""
    assert not report(drained(**other)).held


def test_a_slow_worker_breaks_the_promise() -> None:
    """However complete it is."""
    slow = Drained(
        events=10_000,
        filled_s=1.0,
        looks=looks((0.0, 1), (6.0, 10_000)),
        rows=10_000,
        gaps=0,
        logged=10_000,
        different=10_000,
        rss_mb=1.0,
        cpu_s=1.0,
    )
    assert [promise.held for promise in report(slow).promises] == [False, True, True]
