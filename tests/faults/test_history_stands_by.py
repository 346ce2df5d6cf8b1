"""Two history workers, one active: it is killed at its work, and the other goes on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import cast

import pytest
from pydantic import JsonValue

from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.local.stack import Plan
from orchestrator.ports import event_message
from orchestrator.proof.backlog import backlog
from orchestrator.proof.lab import Lab, eventually, lab_at_work
from schemas.events import ChainEvent, Event

pytestmark = pytest.mark.faults

EVENTS = 6_000


@pytest.fixture(params=[1, 3])
def parts(request: pytest.FixtureRequest) -> int:
    """Into how many the history is split; each worker takes all."""
    return cast("int", request.param)


@pytest.fixture
async def lab(
    vhost_url: str, postgresql_url: str, tmp_path: Path, parts: int
) -> AsyncIterator[Lab]:
    """An installation whose history is in so many parts."""
    overrides: dict[str, JsonValue] = {
        "irma_server": {"check_attribute": ""},
        "history": {"parts": parts},
    }
    plan = Plan(endpoint=False, database_url=postgresql_url, overrides=overrides)
    async with lab_at_work(tmp_path, vhost_url, plan) as running:
        yield running


@pytest.fixture
async def publisher(lab: Lab, parts: int) -> AsyncIterator[BrokerPublisher]:
    """A way to publish events without chains."""
    url = lab.stack.broker_url
    async with BrokerPublisher.open(url, "events", history_parts=parts) as opened:
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
