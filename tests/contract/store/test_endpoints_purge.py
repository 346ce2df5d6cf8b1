"""The port `Store`: rows of endpoints that nobody has to know of any more are deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.domain import breaker
from orchestrator.domain.breaker import BreakerState, Endpoint
from orchestrator.ports import Store
from orchestrator.store import SqlStore, endpoints, open_store, postgresql
from tests.contract.store.samples import NOW, SECOND, a_row
from tests.contract.store.test_endpoints import (
    BANK,
    OPEN,
    SHOP,
    change,
    park,
    parked,
    release,
)

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)


def idle(origin: str, quiet: timedelta, **changes: object) -> Endpoint:
    """An endpoint that nothing has happened to for so long."""
    then = NOW - quiet
    made = Endpoint(origin=origin, since=then, release_at=then, version=7)
    return replace(made, **changes)  # type: ignore[arg-type]  # a table's columns


@pytest.mark.parametrize(
    "quiet,changes,left",
    [
        (HOUR + SECOND, {}, False),
        (HOUR, {}, True),
        (DAY, {"since": NOW - HOUR}, True),
        (DAY, {"release_at": NOW - HOUR}, True),
        (2 * DAY, {"paused_at": NOW - DAY}, True),
        (DAY, {"state": BreakerState.OPEN}, True),
        (DAY + SECOND, {"state": BreakerState.OPEN}, False),
        (DAY + SECOND, {"state": BreakerState.HALF_OPEN}, False),
        (DAY + SECOND, {"state": BreakerState.OPEN, "release_at": NOW}, True),
    ],
)
async def test_idle_endpoints_are_purged(
    store: Store, quiet: timedelta, changes: Mapping[str, object], *, left: bool
) -> None:
    """Closed ones after an hour, open ones after a day, paused ones never."""
    endpoint = idle(SHOP, quiet, **changes)
    await change(store, breaker.fresh(SHOP, NOW), endpoint)
    assert await store.purge(lambda _: NOW, limit=9) == 0
    assert await store.endpoints() == ([endpoint] if left else [])


async def test_an_endpoint_with_parked_rows_is_not_purged(store: Store) -> None:
    """Whatever its state and however old; what waits for a retry does not keep it."""
    await store.put_waiting(replace(a_row("retry"), endpoint=SHOP))
    for origin in (SHOP, BANK):
        await change(store, breaker.fresh(origin, NOW), idle(origin, 9 * DAY))
    await park(store, "a", origin=BANK)
    await store.purge(lambda _: NOW, limit=9)
    assert [endpoint.origin for endpoint in await store.endpoints()] == [BANK]
    assert await release(store) == ["a"]


async def test_an_endpoint_that_was_purged_begins_anew(store: Store) -> None:
    """As one that nobody has heard of; who knew the row of before changes nothing."""
    known = idle(SHOP, DAY)
    await change(store, breaker.fresh(SHOP, NOW), known)
    await store.purge(lambda _: NOW, limit=9)
    assert not await store.change_endpoint(known, replace(OPEN, version=8), ())
    await park(store, "a")
    assert await store.endpoints() == [breaker.fresh(SHOP, NOW)]


@pytest.fixture
async def server_store(migrated_postgresql_url: str) -> AsyncIterator[SqlStore]:
    """A store on PostgreSQL, where those who write do not keep all others waiting."""
    async with open_store(migrated_postgresql_url, now=lambda: NOW) as opened:
        await change(opened, breaker.fresh(SHOP, NOW), idle(SHOP, DAY))
        yield opened


@asynccontextmanager
async def transaction(store: SqlStore) -> AsyncIterator[AsyncConnection]:
    """One that is committed at the end."""
    driver = store._database._driver
    assert isinstance(driver, postgresql.Postgresql)
    async with AsyncEngine(driver._writer).begin() as connection:
        yield connection


_WAITERS: Final = """SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'"""


async def until_somebody_waits(connection: AsyncConnection) -> None:
    """Ask the server until a transaction waits for another's lock."""
    async with asyncio.timeout(5):
        while not (await connection.exec_driver_sql(_WAITERS)).scalar():
            await connection.exec_driver_sql("SELECT pg_stat_clear_snapshot()")


async def test_who_parks_keeps_the_endpoint_from_a_purge(server_store: SqlStore) -> None:
    """Its row is not committed yet; other parkings and the release do not wait for it."""
    async with transaction(server_store) as connection:
        await connection.run_sync(endpoints.park, [parked("a")], NOW, {})
        await server_store.purge(lambda _: NOW, limit=9)
        assert await server_store.endpoints() == [idle(SHOP, DAY)]
        await park(server_store, "b")
        assert await release(server_store) == ["b"]
    assert await release(server_store, SECOND) == ["a"]


async def test_who_parks_while_a_purge_deletes_adds_the_endpoint(
    server_store: SqlStore,
) -> None:
    """It waits for the purge, and then there is a row for the clock to go by."""
    async with transaction(server_store) as connection:
        await connection.exec_driver_sql("SELECT FROM endpoints FOR UPDATE")
        parking = asyncio.create_task(park(server_store, "a"))
        await until_somebody_waits(connection)
        assert await connection.run_sync(endpoints.purge, NOW) == 1
    await parking
    assert await server_store.endpoints() == [breaker.fresh(SHOP, NOW)]
    assert await release(server_store) == ["a"]
