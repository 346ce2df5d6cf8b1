"""The history worker: causes first, numbered once, told in order (DESIGN §5)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.domain.errors import (
    BrokerUnavailable,
    EventUnreadable,
    StoreUnavailable,
)
from orchestrator.domain.telling import EventUrl, Wanted
from orchestrator.ports import EVENTS_EXCHANGE, Message, Queues
from schemas.events import (
    CLOUDEVENTS_JSON,
    EndpointChanged,
    EndpointChangedData,
    Event,
    dump_event,
    parse_event,
)
from schemas.messages import EventWork, parse_work
from tests.support.events import started
from tests.support.samples import NOW, batch
from tests.support.workshop import Workshop
from tests.unit.conftest import LoseStore
from workers.history import Recent


def event(
    event_id: str, cause: str | None = None, *, chain: str = "C1", requestor: str = "acme"
) -> Event:
    """A session that is live, because of something."""
    return started(event_id, chain, requestor=requestor, cause=cause)


def bodies(*events: Event) -> list[bytes]:
    """Events as they come from the queue."""
    return [dump_event(event) for event in events]


def told(workshop: Workshop) -> list[tuple[str, int | None]]:
    """Ids and sequences of what subscribers were told."""
    found = [m for m in workshop.publisher.messages if m.exchange == EVENTS_EXCHANGE]
    events = [parse_event(message.body) for message in found]
    return [(event.id, event.sequence) for event in events]


async def written(workshop: Workshop, chain: str = "C1") -> list[str]:
    """The ids of a chain's events in order."""
    return [event.id for event in await workshop.store.events(chain)]


async def test_a_batch_is_written_and_told_in_order(workshop: Workshop) -> None:
    """Each event gets its chain's next number and is told once."""
    outcome = await workshop.history_worker()(
        batch(*bodies(event("a"), event("x", chain="C2"), event("b", "a")))
    )
    assert (outcome.done, outcome.deferred, outcome.dead) == ([0, 1, 2], [], {})
    assert await written(workshop) == ["a", "b"]
    assert told(workshop) == [("a", 1), ("x", 1), ("b", 2)]


async def test_an_event_is_told_to_operators_and_to_subscribers(
    workshop: Workshop,
) -> None:
    """The stream by name, the exchange by type and requestor, with the same body."""
    await workshop.history_worker()(batch(*bodies(event("a", requestor="other"))))
    log, public = workshop.publisher.messages
    assert log == Message(
        id="a:log",
        routing_key=Queues.LOG,
        body=public.body,
        content_type=CLOUDEVENTS_JSON,
    )
    assert (public.id, public.exchange) == ("a", EVENTS_EXCHANGE)
    assert public.routing_key == "session.started.other"
    assert parse_event(public.body).sequence == 1


async def test_an_endpoints_event_is_for_operators(workshop: Workshop) -> None:
    """No requestor's subscription gets it; it is numbered by its endpoint."""
    origin = "https://shop.example:443"
    paused = EndpointChanged(
        type="endpoint.paused",
        id="p",
        subject=origin,
        time=NOW,
        data=EndpointChangedData(
            state="closed", paused=True, trips=0, attempts=0, failures=0
        ),
    )
    await workshop.history_worker()(batch(*bodies(paused, event("a"))))
    keys = [m.routing_key for m in workshop.publisher.messages if m.exchange]
    assert keys == ["endpoint.paused._operator", "session.started.acme"]
    assert told(workshop) == [("p", 1), ("a", 1)]
    assert await written(workshop, origin) == ["p"]


async def test_an_event_goes_to_its_requestors_url_too(workshop: Workshop) -> None:
    """By name, after the others, with the same body; of the types that are wanted."""
    worker = replace(
        workshop.history_worker(),
        urls={
            "acme": EventUrl(url="https://acme.example/MARKER"),
            "picky": EventUrl(url="http://x.example", wanted=Wanted(("chain.*",))),
        },
    )
    await worker(
        batch(
            *bodies(
                event("a"),
                event("b", chain="C2", requestor="other"),
                event("c", chain="C3", requestor="picky"),
            )
        )
    )
    (told_acme,) = workshop.publisher.to(Queues.CALLBACKS_EVENTS)
    work = parse_work(told_acme.body)
    assert isinstance(work, EventWork)
    assert (work.event_id, work.requestor, work.chain_id) == ("a", "acme", "C1")
    assert work.endpoint == "events+https://acme.example:443"
    assert work.event.encode() == workshop.publisher.messages[0].body
    assert b"MARKER" not in told_acme.body


async def test_causes_come_first_within_a_batch(workshop: Workshop) -> None:
    """Several processes publish; what came too early is put behind its cause."""
    batched = batch(*bodies(event("c", "b"), event("b", "a"), event("a"), event("d")))
    outcome = await workshop.history_worker()(batched)
    assert sorted(outcome.done) == [0, 1, 2, 3]
    order = await written(workshop)
    assert order.index("a") < order.index("b") < order.index("c")


async def test_a_cause_of_an_earlier_batch_counts(workshop: Workshop) -> None:
    """It stands in the store."""
    worker = workshop.history_worker()
    await worker(batch(*bodies(event("a"))))
    outcome = await worker(batch(*bodies(event("b", "a"))))
    assert outcome.done == [0]
    assert await written(workshop) == ["a", "b"]


async def test_an_event_waits_for_its_cause(workshop: Workshop) -> None:
    """It stays in hand and is neither written nor told; others do not wait for it."""
    batched = batch(*bodies(event("b", "a"), event("c", "b"), event("x")))
    outcome = await workshop.history_worker()(batched)
    assert (outcome.done, outcome.deferred) == ([2], [0, 1])
    assert await written(workshop) == ["x"]
    assert told(workshop) == [("x", 1)]


@pytest.mark.parametrize("waited_s,goes", [(1.99, False), (2.0, True)])
async def test_an_event_waits_two_seconds_at_most(
    workshop: Workshop, waited_s: float, *, goes: bool
) -> None:
    """A cause that never comes does not keep it for ever, nor what it has caused."""
    batched = batch(*bodies(event("b", "a"), event("c", "b")), waited_s=[waited_s])
    outcome = await workshop.history_worker()(batched)
    assert bool(outcome.done) == goes
    assert await written(workshop) == (["b", "c"] if goes else [])


async def test_however_late_they_are_causes_come_first(workshop: Workshop) -> None:
    """A batch that was held for long is all late, and nothing of it is lost."""
    batched = batch(
        *bodies(event("c", "b"), event("b", "a"), event("a", "gone")),
        waited_s=[5.0] * 3,
    )
    outcome = await workshop.history_worker()(batched)
    assert sorted(outcome.done) == [0, 1, 2]
    assert await written(workshop) == ["a", "b", "c"]


async def test_who_waits_for_one_that_waits_goes_after_it(workshop: Workshop) -> None:
    """Its cause is here by now, and its own patience does not let it pass that."""
    batched = batch(*bodies(event("b", "a"), event("a", "gone")), waited_s=[5.0, 0.1])
    outcome = await workshop.history_worker()(batched)
    assert (outcome.done, outcome.deferred) == ([], [0, 1])


async def test_causes_in_a_circle_go_when_they_are_late(workshop: Workshop) -> None:
    """Nobody waits for ever, whatever somebody has published."""
    circle = bodies(event("a", "b"), event("b", "a"))
    outcome = await workshop.history_worker()(batch(*circle, waited_s=[5.0, 0.1]))
    assert outcome.done == []
    outcome = await workshop.history_worker()(batch(*circle, waited_s=[5.0, 5.0]))
    assert sorted(outcome.done) == [0, 1]


async def test_what_a_newer_version_has_written_is_waited_for(
    workshop: Workshop,
) -> None:
    """It has not told it yet. Nobody else's event is at fault, so none goes to `dead`."""
    newer = event("new").model_copy(update={"type": "session.invented"})
    await workshop.store.append_events([newer])
    with pytest.raises(EventUnreadable, match="event new cannot be read") as caught:
        await workshop.history_worker()(batch(*bodies(event("a"))))
    assert caught.value.held
    assert told(workshop) == []


async def test_what_cannot_be_read_is_set_aside_with_its_reason(
    workshop: Workshop,
) -> None:
    """The rest of the batch goes on; the reason names fields, never values."""
    wrong = dump_event(event("b")).replace(b'"acme"', b"17")
    outcome = await workshop.history_worker()(
        batch(b"MARKER", *bodies(event("a")), wrong)
    )
    assert outcome.done == [1]
    assert set(outcome.dead) == {0, 2}
    assert "requestor" in outcome.dead[2]
    assert "MARKER" not in str(outcome.dead)
    assert told(workshop) == [("a", 1)]


async def test_a_repeated_event_is_the_same_event(workshop: Workshop) -> None:
    """In one batch or in two: written once, told once, settled each time."""
    worker = workshop.history_worker()
    outcome = await worker(batch(*bodies(event("a"), event("a"))))
    assert outcome.done == [0, 1]
    outcome = await worker(batch(*bodies(event("a"), event("b"))))
    assert outcome.done == [0, 1]
    assert told(workshop) == [("a", 1), ("b", 2)]


async def test_what_a_predecessor_left_is_told_first(workshop: Workshop) -> None:
    """It had written events and died before it told them."""
    await workshop.store.append_events([event("a"), event("b")])
    await workshop.history_worker()(batch(*bodies(event("c"))))
    assert told(workshop) == [("a", 1), ("b", 2), ("c", 3)]


async def test_a_part_leaves_to_others_what_they_have_to_tell(
    workshop: Workshop,
) -> None:
    """Their workers do it; who takes over theirs finds it."""
    await workshop.store.append_events([event("a")])
    second = replace(workshop.history_worker(), part=1)
    await second(batch(*bodies(event("b"))))
    assert told(workshop) == [("b", 2)]
    await workshop.history_worker()([])
    assert told(workshop) == [("b", 2), ("a", 1)]


async def test_what_was_not_confirmed_is_told_again(workshop: Workshop) -> None:
    """The broker went away in between: nothing is marked, the batch comes again."""
    worker = workshop.history_worker()
    workshop.publisher.down = True
    with pytest.raises(BrokerUnavailable):
        await worker(batch(*bodies(event("a"))))
    assert await written(workshop) == ["a"]
    workshop.publisher.down = False
    outcome = await worker(batch(*bodies(event("a"))))
    assert outcome.done == [0]
    assert told(workshop) == [("a", 1)]


async def test_a_mark_that_fails_is_made_later(
    workshop: Workshop, lose_store: LoseStore
) -> None:
    """The event may be told twice, with the same id and number."""
    lose_store("mark_published")
    with pytest.raises(StoreUnavailable):
        await workshop.history_worker()(batch(*bodies(event("a"))))
    assert len(await workshop.store.unpublished_events(10)) == 1


async def test_what_was_just_written_is_not_read_again(
    workshop: Workshop, lose_store: LoseStore
) -> None:
    """The store says which and in which order; the events themselves are at hand."""
    lose_store("unpublished_events")
    await workshop.history_worker()(batch(*bodies(event("a"), event("b", "a"))))
    assert told(workshop) == [("a", 1), ("b", 2)]
    assert await workshop.store.unpublished_ids(10) == []


async def test_a_cause_that_was_just_written_is_not_asked_for(
    workshop: Workshop, lose_store: LoseStore
) -> None:
    """Most causes are from the batches just before."""
    worker = workshop.history_worker()
    await worker(batch(*bodies(event("a"))))
    lose_store("known_events")
    await worker(batch(*bodies(event("b", "a"))))
    assert await written(workshop) == ["a", "b"]


async def test_what_could_not_be_written_is_not_taken_for_written(
    workshop: Workshop, lose_store: LoseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it caused waits for it, as if it had never come."""
    worker = workshop.history_worker()
    lose_store("append_events")
    with pytest.raises(StoreUnavailable):
        await worker(batch(*bodies(event("a"))))
    monkeypatch.undo()
    outcome = await worker(batch(*bodies(event("b", "a"))))
    assert outcome.deferred == [0]


async def test_only_the_latest_ids_are_kept_in_mind() -> None:
    """The memory of a worker does not grow with what it has written."""
    recent = Recent(3)
    recent.add(["a", "b"])
    recent.add(["c", "d", "b"])
    assert [event_id in recent for event_id in "abcd"] == [False, True, True, True]


async def test_many_events_are_told_in_portions(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backlog needs no more memory than a portion, and loses no order."""
    monkeypatch.setattr("workers.history.PORTION", 3)
    events = [event(f"e{n}") for n in range(7)]
    await workshop.history_worker()(batch(*bodies(*events)))
    assert told(workshop) == [(f"e{n}", n + 1) for n in range(7)]
    # Each portion is told to the log and to subscribers.
    assert [len(call) for call in workshop.publisher.calls] == [3, 3, 3, 3, 1, 1]


async def test_an_empty_batch_is_no_fault(workshop: Workshop) -> None:
    """There is nothing to settle."""
    outcome = await workshop.history_worker()([])
    assert (outcome.done, outcome.deferred, outcome.dead) == ([], [], {})
