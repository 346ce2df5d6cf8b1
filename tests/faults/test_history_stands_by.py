"""Two history workers, one active: it is killed at its work, and the other goes on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence

import pytest

from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.ports import event_message
from orchestrator.proof.backlog import backlog
from orchestrator.proof.lab import Lab, eventually
from schemas.events import ChainEvent, Event

pytestmark = pytest.mark.faults

EVENTS = 6_000


@pytest.fixture
async def publisher(lab: Lab) -> AsyncIterator[BrokerPublisher]:
    """A way to publish events without chains."""
    async with BrokerPublisher.open(lab.stack.broker_url, "events") as opened:
        yield opened


async def test_killed_history_workers_leave_neither_gap_nor_second_number(
    lab: Lab, publisher: BrokerPublisher
) -> None:
    """Each kill -9 is followed by the other worker; what is told twice is the same."""
    events = list(backlog(EVENTS))
    await lab.stack.start_worker("history", "history-2")
    await publisher.publish(*map(event_message, events), timeout_s=60)

    await _told(lab, EVENTS // 4)
    await lab.stack.processes.kill("history")
    await lab.stack.start_worker("history", "history-3")
    await _told(lab, EVENTS // 2)
    await lab.stack.processes.kill("history-2")
    await _told(lab, EVENTS)

    told = _by_id(lab.watch.events)
    assert {event.id for event in events} <= told.keys()
    chains = defaultdict(list)
    for event in events:
        chains[event.chainid].append(event)
    for chain_id, produced in chains.items():
        rows = await lab.store.events(chain_id)
        assert [row.sequence for row in rows] == list(range(1, len(produced) + 1))
        assert {row.id for row in rows} == {event.id for event in produced}
        _check_order(rows)
        assert rows == [told[row.id] for row in rows]
        _check_told(lab.watch.of(chain_id))


async def _told(lab: Lab, count: int) -> None:
    """Subscribers have been told of so many events."""

    async def look() -> bool | None:
        return len({event.id for event in lab.watch.events}) >= count or None

    await eventually(look)


def _by_id(events: Sequence[Event]) -> dict[str, Event]:
    """One event for each id: told twice, it says the same."""
    told: dict[str, Event] = {}
    for event in events:
        assert told.setdefault(event.id, event) == event
    return told


def _check_order(rows: Sequence[Event]) -> None:
    """No event stands before its cause."""
    places = {row.id: row.sequence or 0 for row in rows}
    for row in rows:
        if row.causationid is not None:
            assert places[row.causationid] < places[row.id]


def _check_told(events: Sequence[ChainEvent]) -> None:
    """For the first time, a chain's events are told in their order."""
    first = list(dict.fromkeys(event.sequence for event in events))
    assert first == list(range(1, len(first) + 1))
