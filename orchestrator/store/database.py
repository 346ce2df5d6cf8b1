"""A database as two verbs, `read` and `write`, whichever driver is behind it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError

from orchestrator.domain.errors import NotConfigured
from orchestrator.store.faults import FAULTS, passes, translated
from orchestrator.store.postgresql import Postgresql
from orchestrator.store.sqlite import Sqlite

if TYPE_CHECKING:
    from sqlalchemy import RowMapping, Select

T = TypeVar("T")

#: How often a transaction that lost a race is tried in all.
TRIES_MAX: Final = 3

#: Before it is tried again: whoever won takes the locks that it let go.
PAUSE_S: Final = 0.01

#: How long to wait for a lock, a connection or an answer.
PATIENCE_S: Final = 5.0


class Driver(Protocol):
    """Runs functions on a connection, away from the event loop's own time."""

    async def read(self, act: Callable[[Connection], T]) -> T:
        """Run single queries, each on its own; nothing is locked or written."""

    async def read_through(self, act: Callable[[Connection], T]) -> T:
        """As `read`, of queries for operators that no index answers."""

    async def write(self, act: Callable[[Connection], T]) -> T:
        """Run one transaction and commit it; it waits no longer than the patience."""

    async def write_single(self, act: Callable[[Connection], T]) -> T:
        """As `write`, of a function that runs no more than one statement."""

    async def close(self) -> None:
        """Close every connection."""


class Database:
    """One database; every error that leaves here is one of ours."""

    def __init__(self, driver: Driver, *, patience_s: float) -> None:
        self._driver = driver
        self._patience_s = patience_s

    async def read(
        self, query: Select[*tuple[object, ...]], **values: object
    ) -> Sequence[RowMapping]:
        """The rows of one query."""
        return await self.look(lambda connection: _rows(connection, query, values))

    async def read_through(
        self, query: Select[*tuple[object, ...]], **values: object
    ) -> Sequence[RowMapping]:
        """The rows of one query that goes through a whole table."""
        return await self.look_through(
            lambda connection: _rows(connection, query, values)
        )

    async def look(self, act: Callable[[Connection], T]) -> T:
        """What a function reads by queries of its own."""
        return await self._repeat(lambda: self._driver.read(act))

    async def look_through(self, act: Callable[[Connection], T]) -> T:
        """As `look`, of queries that go through whole tables."""
        return await self._repeat(lambda: self._driver.read_through(act))

    async def write(self, act: Callable[[Connection], T]) -> T:
        """One transaction; it is repeated as a whole when it lost a race."""
        return await self._repeat(lambda: self._driver.write(act))

    async def write_single(self, act: Callable[[Connection], T]) -> T:
        """One statement that writes: a transaction of its own, without BEGIN and COMMIT.

        It is repeated as `write` is.
        """
        return await self._repeat(lambda: self._driver.write_single(act))

    async def _repeat(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try again what would go through then.

        A lock that was waited for in vain is a lost race too, but then the patience is
        over as well.
        """
        until = time.monotonic() + self._patience_s
        tries = 1
        while True:
            try:
                return await attempt()
            except FAULTS as fault:
                last = tries == TRIES_MAX or time.monotonic() >= until
                if last or not passes(fault):
                    raise translated(fault) from None
            tries += 1
            await asyncio.sleep(PAUSE_S)


@asynccontextmanager
async def open_database(
    url: str, *, patience_s: float = PATIENCE_S
) -> AsyncIterator[Database]:
    """The database at `url`; it is connected to when that is first needed.

    Raises:
        NotConfigured: this is no URL of a database we can use.
    """
    driver = _driver(url, patience_s)
    try:
        yield Database(driver, patience_s=patience_s)
    finally:
        await driver.close()


def _rows(
    connection: Connection,
    query: Select[*tuple[object, ...]],
    values: Mapping[str, object],
) -> Sequence[RowMapping]:
    return connection.execute(query, values).mappings().all()


def is_missing(url: str) -> bool:
    """Whether this is an SQLite file that nobody has made yet; to connect makes it.

    Raises:
        NotConfigured: this is no URL of a database.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return False
    try:
        return not Path(parsed.database).exists()
    except OSError:  # who may not even look is told by the attempt to connect
        return False


def _driver(url: str, patience_s: float) -> Driver:
    parsed = _parse(url)
    match parsed.drivername.partition("+")[0]:
        case "postgresql":
            return Postgresql(parsed, patience_s)
        case "sqlite" if parsed.database in {None, "", ":memory:"}:
            raise NotConfigured("an SQLite database must be a file: sqlite:///path")
        case "sqlite":
            return Sqlite(parsed, patience_s)
        case _:
            raise NotConfigured("the database must be sqlite:///... or postgresql://...")


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError):  # their texts hold what was in the URL
        raise NotConfigured("the database's URL cannot be read") from None
