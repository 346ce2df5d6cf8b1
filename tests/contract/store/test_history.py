"""The port `Store`: events."""

from __future__ import annotations

from orchestrator.ports import Store
from schemas.events import ChainEnded, ChainEndedData, Event
from tests.contract.store.samples import NOW, an_event


def sequences(events: list[Event]) -> list[tuple[str, int | None]]:
    """Ids with the sequence each was given."""
    return [(event.id, event.sequence) for event in events]


async def test_each_chain_counts_its_events_for_itself(store: Store) -> None:
    """Without a gap, in the order of the batch, also over several batches."""
    first = await store.append_events(
        [an_event("a1"), an_event("b1", chain_id="C2"), an_event("a2")]
    )
    second = await store.append_events([an_event("b2", chain_id="C2"), an_event("a3")])

    assert sequences(first) == [("a1", 1), ("b1", 1), ("a2", 2)]
    assert sequences(second) == [("b2", 2), ("a3", 3)]
    assert await store.events("C1") == [first[0], first[2], second[1]]
    assert await store.events("C3") == []


async def test_an_event_is_written_once(store: Store) -> None:
    """A repeat, in a later batch or in the same, changes nothing and takes no number."""
    await store.append_events([an_event("e1")])

    batch = [an_event("e1"), an_event("e2"), an_event("e2"), an_event("e3")]
    new = await store.append_events(batch)

    assert sequences(new) == [("e2", 2), ("e3", 3)]
    assert sequences(await store.events("C1")) == [("e1", 1), ("e2", 2), ("e3", 3)]
    assert await store.append_events(batch) == []


async def test_an_event_keeps_all_it_says(store: Store) -> None:
    """Its own fields, its data, and characters that not every database likes."""
    event = ChainEnded(
        type="chain.failed",
        id="e1",
        subject="C1",
        time=NOW,
        chainid="C1",
        step=2,
        generation=1,
        requestor="acme",
        causationid="e0",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        data=ChainEndedData(
            steps=2, duration_s=0.25, reason="null \x00, ünïcode, \U0001f600"
        ),
    )
    [written] = await store.append_events([event])

    assert written == event.model_copy(update={"sequence": 1})
    assert await store.events("C1") == [written]


async def test_known_events_are_told_apart(store: Store) -> None:
    """Which of some ids are written."""
    await store.append_events([an_event("e1"), an_event("e2")])

    assert await store.known_events(["e2", "e3", "e1"]) == {"e1", "e2"}


async def test_events_stay_unpublished_until_they_are_marked(store: Store) -> None:
    """They come in the order they were written, over all chains, at most the limit."""
    batch = [an_event("a1"), an_event("b1", chain_id="C2"), an_event("a2")]
    written = await store.append_events(batch)
    assert await store.unpublished_events(2) == written[:2]

    await store.mark_published(["a1", "b1", "never"])
    assert await store.unpublished_events(9) == written[2:]

    await store.mark_published(["a1", "a2"])
    assert await store.unpublished_events(9) == []
    assert await store.known_events(["a1"]) == {"a1"}


async def test_the_ids_of_unpublished_events_come_in_the_same_order(store: Store) -> None:
    """For who has the events at hand."""
    await store.append_events(
        [an_event("b"), an_event("a", chain_id="C2"), an_event("c")]
    )
    assert await store.unpublished_ids(2) == ["b", "a"]

    await store.mark_published(["a"])
    assert await store.unpublished_ids(9) == ["b", "c"]


async def test_each_part_publishes_what_it_has_written(store: Store) -> None:
    """They number in common, so readers by number see both; unpublished is each's own."""
    await store.append_events([an_event("a1")])
    other = await store.append_events(
        [an_event("b1", chain_id="C2"), an_event("a2")], part=1
    )
    assert sequences(other) == [("b1", 1), ("a2", 2)]
    assert await store.unpublished_ids(9) == ["a1"]
    assert await store.unpublished_ids(9, part=1) == ["b1", "a2"]
    assert await store.unpublished_events(1, part=1) == other[:1]

    await store.mark_published(["b1", "a2"])
    assert await store.unpublished_ids(9, part=1) == []
    assert await store.append_events([an_event("a2")]) == []
    assert await store.unpublished_ids(9) == ["a1"]


async def test_ids_are_compared_as_they_are(store: Store) -> None:
    """Whatever signs are in a list that goes to the database as one value."""
    ids = ["e'1", 'e"2', "e,3", "{e4}", "e\\5", "\u00fc", "NULL", ""]
    await store.append_events([an_event("plain")])
    assert await store.known_events([*ids, "plain"]) == {"plain"}


async def test_a_full_batch_of_many_chains(store: Store) -> None:
    """Two hundred events of fifty chains are numbered as one by one."""
    batch = [an_event(f"e{n}", chain_id=f"C{n % 50}") for n in range(200)]

    new = await store.append_events(batch)

    assert sequences(new) == [(f"e{n}", n // 50 + 1) for n in range(200)]
    assert await store.unpublished_events(500) == new


async def test_no_events_are_no_error(store: Store) -> None:
    """Empty batches happen."""
    assert await store.append_events([]) == []
    assert await store.known_events([]) == set()
    await store.mark_published([])
    assert await store.unpublished_events(9) == []
