"""Rules applied to a real store: what is written, what goes out, what is left behind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.domain.chain import Slot, StepState, View
from orchestrator.domain.errors import StoreUnavailable, UnknownChain
from orchestrator.domain.ruling import Ruling, started
from orchestrator.ports import Message, event_message
from orchestrator.work import start_message
from tests.support.workshop import Workshop


def detached(view: View) -> Ruling[str]:
    """A rule that changes the row and tells of it."""
    assert view.step is not None
    row = replace(view.step, state=StepState.DETACHED)
    return Ruling(outcome="changed", steps=(row,), events=(started(view, row),))


def nothing(_: View) -> Ruling[str]:
    """A rule that changes nothing."""
    return Ruling(outcome="nothing")


async def test_by_message_gives_the_events_to_its_caller(workshop: Workshop) -> None:
    """The message is still in hand, so its events are published with it, not here."""
    begun = await workshop.begin()
    outcome, messages = await workshop.rulings.by_message(begun.slot, detached)
    assert outcome == "changed"
    assert [message.routing_key for message in messages] == ["history"]
    assert (await workshop.row(begun.slot)).state is StepState.DETACHED
    assert workshop.publisher.calls == []
    assert await workshop.waiting() == []


async def test_by_message_leaves_work_that_comes_only_once(workshop: Workshop) -> None:
    """Its row outlives the worker that has the message in hand."""
    begun = await workshop.begin()
    workshop.publisher.down = True
    start = start_message(begun.slot, "acme")
    await workshop.rulings.by_message(begun.slot, detached, lambda _, __: [start])
    await workshop.settled()
    assert await workshop.waiting() == [start.id]


async def test_by_outbox_publishes_events_and_work(workshop: Workshop) -> None:
    """What no message drives goes out by itself, event first, and leaves no row."""
    begun = await workshop.begin()
    start = start_message(begun.slot, "acme")
    outcome = await workshop.rulings.by_outbox(
        begun.slot, detached, lambda _, __: [start]
    )
    await workshop.settled()
    assert outcome == "changed"
    ((event, work),) = workshop.publisher.calls
    assert (event.routing_key, work) == ("history", start)
    assert await workshop.waiting() == []


async def test_by_outbox_leaves_rows_while_the_broker_is_away(
    workshop: Workshop,
) -> None:
    """They were written with the change, so the clock can publish them later."""
    begun = await workshop.begin()
    workshop.publisher.down = True
    await workshop.rulings.by_outbox(
        begun.slot, detached, lambda _, __: [start_message(begun.slot, "acme")]
    )
    await workshop.settled()
    rows = await workshop.store.waiting(chain_id=begun.id, limit=10)
    assert [row.kind for row in rows] == ["outbox", "outbox"]
    assert [row.message.routing_key for row in rows] == ["history", "sessions"]


async def test_work_follows_the_outcome(workshop: Workshop) -> None:
    """Who asks for work sees what the rule came to, and the view it saw."""
    begun = await workshop.begin()
    seen: list[tuple[str, str]] = []

    def work(outcome: str, view: View) -> list[Message]:
        seen.append((outcome, view.chain.requestor))
        return []

    assert await workshop.rulings.by_outbox(begun.slot, nothing, work) == "nothing"
    await workshop.settled()
    assert seen == [("nothing", "acme")]
    assert workshop.publisher.calls == []


async def test_an_unknown_chain_is_told_apart(workshop: Workshop) -> None:
    """There is nothing to decide about a chain that does not exist."""
    slot = Slot(chain_id="unknown", step=1)
    with pytest.raises(UnknownChain):
        await workshop.rulings.by_message(slot, nothing)
    with pytest.raises(UnknownChain):
        await workshop.rulings.by_outbox(slot, nothing)


async def test_an_outbox_whose_queue_is_gone_is_left(workshop: Workshop) -> None:
    """Nothing is dropped that was not confirmed."""
    begun = await workshop.begin()
    workshop.publisher.gone.add("sessions")
    await workshop.rulings.by_outbox(
        begun.slot, detached, lambda _, __: [start_message(begun.slot, "acme")]
    )
    await workshop.settled()
    assert len(await workshop.waiting()) == 2


async def test_an_outbox_that_cannot_be_dropped_is_left(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is published again later, under the same ids."""
    begun = await workshop.begin()

    async def away(*_: object) -> None:
        raise StoreUnavailable("the database is away")

    monkeypatch.setattr(workshop.store, "drop_waiting", away)
    await workshop.rulings.by_outbox(begun.slot, detached)
    await workshop.settled()
    (event,) = workshop.publisher.events
    assert await workshop.waiting() == [event_message(event).id]


async def test_an_outbox_that_is_never_taken_is_left(workshop: Workshop) -> None:
    """A message that is too long stays visible as a row."""
    begun = await workshop.begin()
    workshop.publisher.bytes_max = 10
    await workshop.rulings.by_outbox(begun.slot, detached)
    await workshop.settled()
    assert len(await workshop.waiting()) == 1
