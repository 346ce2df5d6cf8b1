"""The databases that every test of the store runs on; a further one joins as a parameter.

Each is migrated once: of SQLite's file every test has a copy, PostgreSQL's is emptied.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from orchestrator.local.postgresql import Postgresql
from orchestrator.store import SqlStore, open_store
from orchestrator.store.database import open_database
from orchestrator.store.schema import migrate
from orchestrator.store.tables import metadata
from tests.contract.store.samples import NOW


@pytest.fixture(params=["sqlite", "postgresql"])
def dialect(request: pytest.FixtureRequest) -> str:
    """Which database the test runs on."""
    name: str = request.param
    return name


@pytest.fixture
def empty_url(dialect: str, request: pytest.FixtureRequest) -> str:
    """A database without a schema."""
    url: str = request.getfixturevalue(f"{dialect}_url")
    return url


@pytest.fixture
def url(dialect: str, request: pytest.FixtureRequest) -> str:
    """A database with the newest schema."""
    url: str = request.getfixturevalue(f"migrated_{dialect}_url")
    return url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """An SQLite file that is not there yet."""
    return f"sqlite:///{tmp_path / 'chains.db'}"


@pytest.fixture(scope="session")
async def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the newest schema."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    await migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def migrated_sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A copy of it."""
    path = shutil.copy(sqlite_template, tmp_path / "chains.db")
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
async def shared_postgresql_url(postgresql: Postgresql) -> AsyncIterator[str]:
    """A PostgreSQL database with the newest schema; to copy one takes 200 ms."""
    async with postgresql.database(f"test-{uuid.uuid4()}") as url:
        await migrate(url)
        yield url


@pytest.fixture
async def migrated_postgresql_url(shared_postgresql_url: str) -> str:
    """That one, emptied and left by whoever was there; no test changes its schema."""
    async with open_database(shared_postgresql_url) as database:
        await database.look(_throw_out)
        await database.write(_empty)
    return shared_postgresql_url


def _throw_out(connection: Connection) -> None:
    connection.exec_driver_sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


def _empty(connection: Connection) -> None:
    names = ", ".join(table.name for table in metadata.sorted_tables)
    connection.exec_driver_sql(f"TRUNCATE {names} RESTART IDENTITY")


@pytest.fixture
async def store(url: str) -> AsyncIterator[SqlStore]:
    """A store whose clock stands at `NOW`."""
    async with open_store(url, now=lambda: NOW) as opened:
        yield opened


@pytest.fixture
async def other(url: str) -> AsyncIterator[SqlStore]:
    """The same database, as another process has it open."""
    async with open_store(url, now=lambda: NOW) as opened:
        yield opened
