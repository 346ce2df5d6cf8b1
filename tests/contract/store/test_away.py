"""A database that is away, busy or wrongly named; these need no running server."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import Connection

from orchestrator.domain.errors import NotConfigured, StoreUnavailable
from orchestrator.store import StatementRefused, open_store, sqlite
from orchestrator.store.database import open_database
from orchestrator.store.schema import migrate
from tests.contract.store.samples import NOW, a_chain, a_row, a_step


def assert_closed(error: BaseException, *secrets: str) -> None:
    """The text names none of these, and nothing hangs on the error that might."""
    assert not any(secret in str(error) for secret in secrets)
    assert error.__cause__ is None
    assert error.__suppress_context__


async def test_a_locked_database_is_away_after_the_patience(tmp_path: Path) -> None:
    """Reading goes on; the next write after the lock is gone goes through."""
    path = tmp_path / "chains.db"
    await migrate(f"sqlite:///{path}")
    async with open_store(f"sqlite:///{path}", patience_s=0.01) as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as rival:
            rival.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="SQLITE_BUSY") as caught:
                await store.put_waiting(a_row("secret"))
            assert_closed(caught.value, "secret", str(path))
            assert await store.waiting(limit=9) == []
        await store.put_waiting(a_row("w1"))
        assert len(await store.waiting(limit=9)) == 1


async def test_the_patience_is_that_of_all_tries_together(tmp_path: Path) -> None:
    """Whoever waits for an answer knows how long: it is not that of each try."""
    path = tmp_path / "chains.db"
    await migrate(f"sqlite:///{path}")
    async with open_store(f"sqlite:///{path}", patience_s=2.0) as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as rival:
            rival.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable):
                async with asyncio.timeout(3.9):
                    await store.put_waiting(a_row())


async def test_waiting_for_a_turn_is_part_of_the_patience(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it took until the writer before was done is not waited once more."""
    clock = [1000.0]
    monkeypatch.setattr(sqlite, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    go = threading.Event()

    def slow(_: Connection) -> None:
        assert go.wait(20)
        clock[0] += 15

    def ask(connection: Connection) -> object:
        return connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()

    url = f"sqlite:///{tmp_path / 'chains.db'}"
    async with open_database(url, patience_s=20) as database:
        before = asyncio.create_task(database.write(slow))
        after = asyncio.create_task(database.write(ask))
        asyncio.get_running_loop().call_soon(go.set)  # when both have begun to wait
        await before
        assert await after == 5000


async def test_a_file_that_cannot_be_opened_is_away(tmp_path: Path) -> None:
    """The text does not hold the path."""
    async with open_store(f"sqlite:///{tmp_path}/missing/chains.db") as store:
        with pytest.raises(StoreUnavailable, match="SQLITE_CANTOPEN") as caught:
            await store.chain("C1")
        assert_closed(caught.value, "missing")
        with pytest.raises(StoreUnavailable):
            await store.drop_waiting(["w1"])


async def test_a_server_that_cannot_be_reached_is_away() -> None:
    """Reading, writing and upgrading all say so, without the password."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    url = f"postgresql://chains:hunter2@127.0.0.1:{port}/chains"
    async with open_store(url) as store:
        with pytest.raises(StoreUnavailable) as caught:
            await store.chain("C1")
        assert_closed(caught.value, "hunter2")
        with pytest.raises(StoreUnavailable):
            await store.put_waiting(a_row())
    with pytest.raises(StoreUnavailable):
        await migrate(url)


async def test_a_refused_statement_does_not_tell_its_values(tmp_path: Path) -> None:
    """Only the kind of refusal is told."""
    url = f"sqlite:///{tmp_path / 'chains.db'}"
    await migrate(url)
    async with open_store(url, now=lambda: NOW) as store:
        await store.begin_chain(a_chain("secret"), a_step("secret"), [])
        with pytest.raises(StatementRefused, match="CONSTRAINT") as caught:
            await store.begin_chain(a_chain("secret"), a_step("secret"), [])
    assert_closed(caught.value, "secret", "INSERT")


@pytest.mark.parametrize(
    "url",
    [
        "chains.db",
        "mysql://u:hunter2@h/db",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql://u:hunter2@h:port/db",
    ],
)
async def test_a_url_that_does_not_fit_is_told(url: str) -> None:
    """Without repeating it: it may hold a password."""
    with pytest.raises(NotConfigured) as caught:
        async with open_store(url):
            pass
    assert "hunter2" not in str(caught.value)


async def test_a_commit_survives_a_loss_of_power(tmp_path: Path) -> None:
    """SQLite writes ahead, and each commit waits for the disk."""
    url = f"sqlite:///{tmp_path / 'chains.db'}"
    async with open_store(url) as store:
        database = store._database

        def pragmas(connection: Connection) -> list[object]:
            names = ("journal_mode", "synchronous", "foreign_keys")
            asked = (connection.exec_driver_sql(f"PRAGMA {name}") for name in names)
            return [answer.scalar_one() for answer in asked]

        assert await database.write(pragmas) == ["wal", 2, 1]
