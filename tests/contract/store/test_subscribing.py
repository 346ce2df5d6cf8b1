"""The port `Store`: a requestor's own events, as those read them who follow them."""

from __future__ import annotations

import asyncio

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from orchestrator.ports import Recorded, Store
from orchestrator.store import schema
from orchestrator.store.database import open_database
from orchestrator.store.schema import migrate
from schemas.events import EndpointChanged, EndpointChangedData, Event, dump_event
from tests.contract.store.samples import NOW, an_event


def of(requestor: str, event_id: str, chain_id: str = "C1") -> Event:
    """An event of a requestor's chain."""
    event = an_event(event_id, chain_id=chain_id)
    return event.model_copy(update={"requestor": requestor})


def of_an_endpoint(event_id: str) -> Event:
    """An event for operators."""
    return EndpointChanged(
        type="endpoint.paused",
        id=event_id,
        subject="https://shop.example:443",
        time=NOW,
        data=EndpointChangedData(
            state="closed", paused=True, trips=0, attempts=0, failures=0
        ),
    )


def ids(page: list[Recorded]) -> list[str]:
    """Which they are."""
    return [one.id for one in page]


async def test_a_requestor_reads_its_own_page_by_page(store: Store) -> None:
    """In the order of the history, over all its chains; nobody else's."""
    await store.append_events([of("acme", "a"), of("other", "x", "C2")])
    await store.append_events(
        [of("acme", "b", "C3"), of_an_endpoint("p"), of("acme", "c")]
    )
    first = await store.recorded("acme", after=0, limit=2)
    assert ids(first) == ["a", "b"]
    rest = await store.recorded("acme", after=first[-1].number, limit=2)
    assert ids(rest) == ["c"]
    assert await store.recorded("acme", after=rest[-1].number, limit=2) == []
    assert ids(await store.recorded("other", after=0, limit=9)) == ["x"]


async def test_an_event_is_read_as_it_is_told(store: Store) -> None:
    """With its sequence, to the letter."""
    [event] = await store.append_events([of("acme", "a")])
    [row] = await store.recorded("acme", after=0, limit=1)
    assert row.body.encode() == dump_event(event)


async def test_one_chain_is_read_alone(store: Store) -> None:
    """Only by whose it is."""
    await store.append_events([of("acme", "a"), of("acme", "x", "C2"), of("acme", "b")])
    page = await store.recorded("acme", chain_id="C1", after=0, limit=9)
    assert ids(page) == ["a", "b"]
    after = page[0].number
    assert ids(await store.recorded("acme", chain_id="C1", after=after, limit=9)) == ["b"]
    assert await store.recorded("other", chain_id="C1", after=0, limit=9) == []


async def test_an_event_leads_to_its_number(store: Store) -> None:
    """For its requestor, and within its chain."""
    await store.append_events([of("acme", "a"), of("acme", "b", "C2")])
    first, second = await store.recorded("acme", after=0, limit=9)
    assert await store.recorded_as("b", "acme") == second.number
    assert await store.recorded_as("a", "acme", chain_id="C1") == first.number
    assert await store.recorded_as("b", "acme", chain_id="C1") is None
    assert await store.recorded_as("a", "other") is None
    assert await store.recorded_as("never", "acme") is None


async def test_the_newest_is_known(store: Store) -> None:
    """Of each requestor."""
    assert await store.recorded_last("acme") is None
    await store.append_events([of("acme", "a"), of("acme", "b"), of("other", "x", "C2")])
    last = await store.recorded_last("acme")
    assert last is not None
    assert last.id == "b"


async def test_whose_events_are_new_is_known(store: Store) -> None:
    """Behind a number; endpoints' events are nobody's."""
    assert await store.recorded_since(None) == (0, set())
    await store.append_events([of("acme", "a")])
    number, whose = await store.recorded_since(0)
    assert whose == {"acme"}
    assert await store.recorded_since(None) == (number, set())
    assert await store.recorded_since(number) == (number, set())
    await store.append_events(
        [of("x", "x", "C2"), of("y", "y", "C3"), of_an_endpoint("p")]
    )
    later, whose = await store.recorded_since(number)
    assert later > number
    assert whose == {"x", "y"}


async def test_who_reads_on_misses_nothing_that_is_written_meanwhile(
    store: Store, other: Store
) -> None:
    """Batches of several parts become visible in the order of their numbers."""
    batches = [[of("acme", f"e{n}-{m}", f"C{n}") for m in range(5)] for n in range(12)]
    had: list[Recorded] = []

    async def write(number: int) -> None:
        part = number % 2
        await (store, other)[part].append_events(batches[number], part)

    async def read() -> None:
        while len(had) < 60:
            after = had[-1].number if had else 0
            had.extend(await other.recorded("acme", after=after, limit=7))

    async with asyncio.timeout(30):
        await asyncio.gather(read(), *map(write, range(12)))
    assert sorted(ids(had)) == sorted(one.id for batch in batches for one in batch)
    assert len(set(ids(had))) == 60
    for number in range(12):
        of_chain = [one.id for one in had if one.id.startswith(f"e{number}-")]
        assert of_chain == [one.id for one in batches[number]]


def _upgrade_to(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(schema._MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


OLD_ROWS = """
INSERT INTO chains (id, requestor, backend, state, generation, created_at)
    VALUES ('C1', 'acme', 'irma', 'running', 0, '2026-03-29 00:59:58');
INSERT INTO events (id, chain_id, sequence, time, body)
    VALUES ('a', 'C1', 1, '2026-03-29 00:59:58', '{}'),
    ('p', 'https://shop.example:443', 1, '2026-03-29 00:59:58', '{}')
"""


async def test_events_of_before_belong_to_their_chains_requestor(empty_url: str) -> None:
    """Who subscribes after the upgrade can read what was before it."""

    def before(connection: Connection) -> None:
        _upgrade_to(connection, "0006")
        for statement in OLD_ROWS.split(";"):
            connection.execute(text(statement))

    async with open_database(empty_url, patience_s=60) as database:
        await database.write(before)
    await migrate(empty_url)
    async with open_database(empty_url) as database:
        query = text("SELECT id, requestor FROM events ORDER BY id")
        found = await database.look(lambda c: [tuple(row) for row in c.execute(query)])
    assert found == [("a", "acme"), ("p", None)]
