"""What the errors of databases mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from itertools import count
from typing import TypeVar

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import (
    DBAPIError,
    EmulatedDBAPIException,
    NotSupportedError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from orchestrator.domain.errors import OrchestratorError, StoreUnavailable
from orchestrator.store.database import PATIENCE_S, TRIES_MAX, Database
from orchestrator.store.faults import StatementRefused, passes, translated

T = TypeVar("T")


def by_sqlite(code: int, name: str) -> DBAPIError:
    """What SQLAlchemy makes of an error of SQLite."""
    orig = sqlite3.OperationalError("secret")
    orig.sqlite_errorcode, orig.sqlite_errorname = code, name
    return OperationalError("INSERT", {"a": "secret"}, orig)


class ServerError(Exception):
    """An error as asyncpg makes it of PostgreSQL's answer."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__("secret")
        self.sqlstate = sqlstate


class ClientError(ValueError):
    """An error as asyncpg makes it of a value that it cannot send."""


def by_postgresql(error: Exception) -> DBAPIError:
    """What SQLAlchemy makes of an error of asyncpg."""
    emulated = EmulatedDBAPIException("secret", error)
    return DBAPIError("INSERT", {"a": "secret"}, emulated)


BUSY = by_sqlite(5, "SQLITE_BUSY")
BUSY_SNAPSHOT = by_sqlite(517, "SQLITE_BUSY_SNAPSHOT")
FULL = by_sqlite(13, "SQLITE_FULL")
CONSTRAINT = by_sqlite(1555, "SQLITE_CONSTRAINT_PRIMARYKEY")
DEADLOCK = by_postgresql(ServerError("40P01"))
SERIALIZATION = by_postgresql(ServerError("40001"))
OLD_PLAN = NotSupportedError("SELECT", {}, EmulatedDBAPIException("secret"))
SHUTDOWN = by_postgresql(ServerError("57P01"))
CLOSED = by_postgresql(EOFError("secret"))
UNIQUE = by_postgresql(ServerError("23505"))
NULL_CHARACTER = by_postgresql(ServerError("22021"))
BY_CLIENT = by_postgresql(ClientError("secret"))


@pytest.mark.parametrize(
    "fault", [BUSY, BUSY_SNAPSHOT, DEADLOCK, SERIALIZATION, OLD_PLAN]
)
def test_a_lost_race_passes(fault: Exception) -> None:
    """It was rolled back, and is worth another try; at last the database is away."""
    assert passes(fault)
    assert isinstance(translated(fault), StoreUnavailable)


@pytest.mark.parametrize(
    "fault",
    [
        FULL,
        SHUTDOWN,
        CLOSED,
        PoolTimeout("secret"),
        TimeoutError("secret"),
        ConnectionRefusedError("secret"),
    ],
)
def test_a_database_that_is_away_is_not_tried_at_once(fault: Exception) -> None:
    """A commit whose answer was lost may have happened: the caller has to look."""
    assert not passes(fault)
    assert isinstance(translated(fault), StoreUnavailable)


@pytest.mark.parametrize("fault", [CONSTRAINT, UNIQUE, NULL_CHARACTER, BY_CLIENT])
def test_values_that_are_refused_are_refused_for_good(fault: Exception) -> None:
    """Holding the message would hold it for ever."""
    assert not passes(fault)
    assert isinstance(translated(fault), StatementRefused)


@pytest.mark.parametrize(
    "fault,text",
    [
        (BUSY_SNAPSHOT, "the database is away (SQLITE_BUSY_SNAPSHOT)"),
        (DEADLOCK, "the database is away (40P01)"),
        (CLOSED, "the database is away (EOFError)"),
        (TimeoutError("secret"), "the database is away (TimeoutError)"),
        (UNIQUE, "the database refused a statement (23505)"),
    ],
)
def test_the_text_is_a_code(fault: Exception, text: str) -> None:
    """Never the driver's words."""
    assert str(translated(fault)) == text


class Failing:
    """A driver whose transactions fail this often."""

    def __init__(self, fault: Exception, times: int) -> None:
        self._fault = fault
        self.left = times

    async def read(self, act: Callable[[Connection], T]) -> T:
        """Not used here."""
        raise NotImplementedError

    async def read_through(self, act: Callable[[Connection], T]) -> T:
        """Not used here."""
        raise NotImplementedError

    async def write_single(self, act: Callable[[Connection], T]) -> T:
        """Not used here."""
        raise NotImplementedError

    async def write(self, act: Callable[[Connection], T]) -> T:
        """Run it without a connection; whether it may is the driver's to say."""
        outcome = act(Connection.__new__(Connection))
        self.left -= 1
        if self.left >= 0:
            raise self._fault
        return outcome

    async def close(self) -> None:
        """Nothing is open."""


async def test_a_transaction_that_lost_a_race_is_repeated_as_a_whole() -> None:
    """What it is made of runs again each time."""
    runs = count()
    database = Database(Failing(DEADLOCK, TRIES_MAX - 1), patience_s=PATIENCE_S)

    assert await database.write(lambda _: next(runs)) == TRIES_MAX - 1


@pytest.mark.parametrize(
    "fault,runs_expected,error",
    [
        (BUSY, TRIES_MAX, StoreUnavailable),
        (SHUTDOWN, 1, StoreUnavailable),
        (CONSTRAINT, 1, StatementRefused),
    ],
)
async def test_it_is_not_repeated_for_ever(
    fault: Exception, runs_expected: int, error: type[OrchestratorError]
) -> None:
    """A few times when it lost a race, once when that would not help."""
    runs = count()
    database = Database(Failing(fault, 99), patience_s=PATIENCE_S)

    with pytest.raises(error):
        await database.write(lambda _: next(runs))
    assert next(runs) == runs_expected


async def test_it_is_not_repeated_when_the_patience_is_over() -> None:
    """A try that has waited for a lock that long was the last one."""
    runs = count()
    database = Database(Failing(BUSY, 99), patience_s=0)

    with pytest.raises(StoreUnavailable):
        await database.write(lambda _: next(runs))
    assert next(runs) == 1
