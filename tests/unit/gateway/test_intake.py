"""Results are taken in by broker or store: one of the two is enough (DESIGN §3)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from orchestrator.domain.errors import StoreUnavailable
from orchestrator.gateway.faults import IrmaFault
from orchestrator.ports import RELAY_PAUSE, Message, Waiting
from tests.support.samples import NOW
from tests.support.workshop import Workshop
from tests.unit.conftest import LoseStore

EVENT = Message(id="e1", routing_key="history", body=b"{}")
WORK = Message(id="e1:work", routing_key="callbacks", body=b"{}")


async def accept(workshop: Workshop, *messages: Message, within_s: float = 5.0) -> bool:
    """Take these messages in."""
    return await workshop.intake.accept("C1", messages, within_s=within_s)


async def test_a_confirm_in_time_is_all_that_is_needed(
    workshop: Workshop, lose_store: LoseStore
) -> None:
    """The store is not touched, so it may be away."""
    lose_store()
    assert await accept(workshop, EVENT, WORK)
    assert workshop.publisher.calls == [(EVENT, WORK)]


async def test_with_the_broker_known_to_be_down_the_store_keeps_them(
    workshop: Workshop,
) -> None:
    """Rows for the clock, in order; no answer can be hoped for."""
    workshop.publisher.down = True
    assert not await accept(workshop, EVENT, WORK)
    rows = await workshop.store.waiting(limit=10)
    assert [row.message for row in rows] == [EVENT, WORK]
    assert {(row.kind, row.due_at, row.created_at) for row in rows} == {
        ("outbox", NOW + RELAY_PAUSE, NOW)
    }
    assert timedelta(0) < RELAY_PAUSE < timedelta(seconds=3)


async def test_a_queue_that_is_gone_is_as_bad_as_no_broker(workshop: Workshop) -> None:
    """Nothing is accepted that only one of its messages was confirmed of."""
    workshop.publisher.gone.add("callbacks")
    assert not await accept(workshop, EVENT, WORK)
    assert await workshop.waiting() == ["e1", "e1:work"]


async def test_what_a_slow_broker_confirms_later_is_dropped_again(
    workshop: Workshop,
) -> None:
    """Rows stand below until the confirm is there; an answer can still be hoped for."""
    workshop.publisher.slow = asyncio.Event()
    assert await accept(workshop, EVENT, WORK)
    assert await workshop.waiting() == ["e1", "e1:work"]
    workshop.publisher.slow.set()
    await workshop.settled()
    assert workshop.publisher.calls == [(EVENT, WORK)]
    assert await workshop.waiting() == []


async def test_what_a_slow_broker_loses_after_all_stays(workshop: Workshop) -> None:
    """The clock publishes it when it is due."""
    workshop.publisher.slow = asyncio.Event()
    assert await accept(workshop, EVENT)
    workshop.publisher.down = True
    workshop.publisher.slow.set()
    await workshop.settled()
    assert await workshop.waiting() == ["e1"]


async def test_rows_that_cannot_be_dropped_are_left(
    workshop: Workshop, lose_store: LoseStore
) -> None:
    """They are published once more, under the same ids."""
    workshop.publisher.slow = asyncio.Event()
    assert await accept(workshop, EVENT)
    lose_store("drop_waiting")
    workshop.publisher.slow.set()
    await workshop.settled()
    assert await workshop.waiting() == ["e1"]


async def test_with_both_away_nothing_is_accepted(
    workshop: Workshop, lose_store: LoseStore
) -> None:
    """The backend is told, and the result stays where it is."""
    workshop.publisher.down = True
    lose_store()
    with pytest.raises(StoreUnavailable):
        await accept(workshop, EVENT)


async def test_a_slow_broker_is_waited_for_when_the_store_is_away(
    workshop: Workshop, lose_store: LoseStore
) -> None:
    """One of the two is enough, also when it takes its time."""
    workshop.publisher.slow = asyncio.Event()
    lose_store()
    accepting = asyncio.create_task(accept(workshop, EVENT))
    await asyncio.wait({accepting}, timeout=0.1)
    assert not accepting.done()
    workshop.publisher.slow.set()
    assert await accepting
    assert workshop.publisher.calls == [(EVENT,)]


async def test_a_slow_broker_that_fails_while_the_store_is_away_is_told(
    workshop: Workshop, lose_store: LoseStore
) -> None:
    """Then neither has it, and nothing is accepted."""
    workshop.publisher.slow = asyncio.Event()
    lose_store()
    accepting = asyncio.create_task(accept(workshop, EVENT))
    await asyncio.wait({accepting}, timeout=0.1)
    workshop.publisher.down = True
    workshop.publisher.slow.set()
    with pytest.raises(StoreUnavailable):
        await accepting


async def test_what_the_broker_will_never_take_is_refused(workshop: Workshop) -> None:
    """As a row it would be refused again for ever, so the backend is told (G8, G11)."""
    workshop.publisher.bytes_max = 10
    with pytest.raises(IrmaFault) as caught:
        await accept(workshop, Message(id="e1", routing_key="x", body=b"x" * 11))
    assert caught.value.error.status == 400
    assert "body" in (caught.value.error.message or "")
    assert await workshop.waiting() == []


async def test_who_waits_for_both_waits_no_longer_than_it_may(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow broker, slow store: 503 in time; what they take after all is tidied up."""
    workshop.publisher.slow = asyncio.Event()
    go, put = asyncio.Event(), workshop.store.put_waiting

    async def slowly(*rows: Waiting) -> None:
        await go.wait()
        await put(*rows)

    monkeypatch.setattr(workshop.store, "put_waiting", slowly)
    with pytest.raises(StoreUnavailable):
        await accept(workshop, EVENT, within_s=0.05)
    go.set()
    workshop.publisher.slow.set()
    await workshop.settled()
    assert workshop.publisher.calls == [(EVENT,)]
    assert await workshop.waiting() == []


async def test_the_store_is_enough_while_the_broker_is_slow(workshop: Workshop) -> None:
    """The rows name their chain, so that whoever looks at it sees them wait."""
    workshop.publisher.slow = asyncio.Event()
    assert await accept(workshop, EVENT)
    (row,) = await workshop.store.waiting(limit=10)
    assert row.chain_id == "C1"
    workshop.publisher.slow.set()
