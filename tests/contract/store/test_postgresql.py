"""What only a server does: it goes away and comes back, freezes, refuses, and judges."""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from sqlalchemy import Connection, Select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from yarl import URL

from orchestrator.domain.chain import Slot
from orchestrator.domain.errors import StoreUnavailable
from orchestrator.local.postgresql import Postgresql
from orchestrator.ports import Store
from orchestrator.store import SqlStore, open_store, postgresql, waiting
from orchestrator.store.chains import ANY_DUE as ANY_STEP_DUE
from orchestrator.store.database import open_database
from orchestrator.store.schema import migrate
from orchestrator.store.tables import chains
from tests.contract.store.process import claim
from tests.contract.store.samples import NOW, a_chain, a_row, a_step

SLOT = Slot(chain_id="C1", step=1)


@pytest.fixture
def url(migrated_postgresql_url: str) -> str:
    """A PostgreSQL database with the newest schema."""
    return migrated_postgresql_url


def is_away(code: str) -> pytest.RaisesExc[StoreUnavailable]:
    """What callers are told when a statement does not go through."""
    return pytest.RaisesExc(StoreUnavailable, match=rf"away \({code}\)")


@asynccontextmanager
async def held(store: SqlStore) -> AsyncIterator[AsyncConnection]:
    """A transaction of this store's process that holds every chain's lock."""
    driver = store._database._driver
    assert isinstance(driver, postgresql.Postgresql)
    async with AsyncEngine(driver._writer).connect() as connection:
        await connection.exec_driver_sql("SELECT id FROM chains FOR UPDATE")
        yield connection
        await connection.invalidate()  # the server may have ended it


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A process of the server that neither answers nor hangs up."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def asked(url: str, question: str) -> object:
    """The answer of the database, on a connection of its own."""

    def act(connection: Connection) -> object:
        result = connection.exec_driver_sql(question)
        return result.scalar() if result.returns_rows else None

    async with open_database(url) as database:
        return await database.look(act)


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_server_that_comes_back_is_used_again(
    stoppable: Postgresql, how: str
) -> None:
    """Meanwhile it is away at once; afterwards no call falls over an old connection."""
    assert stoppable.server is not None
    async with stoppable.database(f"test-{uuid.uuid4()}") as url:
        await migrate(url)
        async with open_store(url, now=lambda: NOW) as store:
            await store.begin_chain(a_chain(), a_step(), [])
            await asyncio.gather(*(store.chain("C1") for _ in range(5)))

            await (stoppable.server.stop if how == "stop" else stoppable.server.kill)()
            with is_away(r"\w+"):  # not every end of a connection has been heard of yet
                await store.chain("C1")
            with is_away(r"\w+"):
                await store.decide(SLOT, claim("a"))
            await stoppable.server.start()

            seen = await asyncio.gather(*(store.chain("C1") for _ in range(5)))
            assert seen == [a_chain()] * 5
            assert await store.decide(SLOT, claim("b"))


async def test_a_server_that_freezes_is_away_after_the_patience(
    stoppable: Postgresql,
) -> None:
    """Neither the call nor the end of the process waits for it any longer."""
    async with stoppable.database(f"test-{uuid.uuid4()}") as url:
        await migrate(url)
        async with open_store(url, patience_s=1.0) as store:
            await store.put_waiting(a_row())
            pid = await store._database.look(_backend)
            with frozen(pid), is_away("TimeoutError"):
                async with asyncio.timeout(10):
                    await store.put_waiting(a_row("w2"))
            pid = await store._database.look(_backend)
            freeze = frozen(pid)
            freeze.__enter__()
        freeze.__exit__(None, None, None)


def _backend(connection: Connection) -> int:
    pid: int = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    return pid


async def test_a_lock_is_waited_for_as_long_as_the_patience(
    url: str, store: SqlStore
) -> None:
    """Then it is away; nobody stays in the queue, and the next decision goes through."""
    await store.begin_chain(a_chain(), a_step(), [])
    async with open_store(url, now=lambda: NOW, patience_s=1.0) as hasty:
        async with held(store):
            with is_away("TimeoutError"):
                await hasty.decide(SLOT, claim("a"))
        assert await hasty.decide(SLOT, claim("b"))


async def test_who_freezes_in_a_transaction_loses_its_locks(
    url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends the transaction, and whoever waits for the lock goes on."""
    await store.begin_chain(a_chain(), a_step(), [])
    monkeypatch.setattr(postgresql, "IDLE_IN_TRANSACTION", "500ms")
    async with open_store(url, now=lambda: NOW) as slow, held(slow):
        assert await store.decide(SLOT, claim("a"))
        assert await slow.chain("C1") == a_chain()


async def test_the_server_is_told_how_long_we_wait(store: SqlStore) -> None:
    """It gives up what nobody waits for any more, though it did not hear us hang up."""

    def act(connection: Connection) -> list[object]:
        names = ("lock", "statement", "idle_in_transaction_session")
        asked = (connection.exec_driver_sql(f"SHOW {name}_timeout") for name in names)
        return [answer.scalar() for answer in asked]

    assert await store._database.look(act) == ["5s", "5s", "10s"]


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(ANY_STEP_DUE.params(now=NOW), id="steps"),
        pytest.param(waiting.ANY_DUE.params(now=NOW), id="rows"),
    ],
)
async def test_what_is_due_is_found_by_an_index_from_the_first_row_on(
    store: SqlStore, statement: Select[*tuple[object, ...]]
) -> None:
    """A plan made while a table is empty is kept while it grows."""

    def act(connection: Connection) -> str:
        compiled = statement.compile(
            dialect=connection.dialect, compile_kwargs={"literal_binds": True}
        )
        return "\n".join(connection.exec_driver_sql(f"EXPLAIN {compiled}").scalars())

    assert "Seq Scan" not in await store._database.look(act)


async def test_only_who_looks_through_a_table_may_read_all_of_it(
    store: SqlStore,
) -> None:
    """Operators' questions have no index of their own; what follows has one again."""

    def act(connection: Connection) -> object:
        return connection.exec_driver_sql("SHOW enable_seqscan").scalar()

    assert await store._database.look(act) == "off"
    assert await store._database.look_through(act) == "on"
    assert await store._database.look(act) == "off"


async def test_of_two_that_lock_each_other_both_get_through(
    store: SqlStore, other: SqlStore
) -> None:
    """The server ends one of them, which is repeated as a whole."""
    for name in ("C1", "C2"):
        await store.begin_chain(a_chain(name), a_step(name), [])
    runs: list[str] = []
    locked: set[str] = set()

    def lock(connection: Connection, *names: str) -> None:
        runs.append(names[0])
        for name in names:
            mine = update(chains).where(chains.c.id == name)
            connection.execute(mine.values(reason=name))
            locked.add(name)
            while len(locked) < 2:  # until the other one has its first lock
                connection.exec_driver_sql("SELECT pg_sleep(0.01)")

    async with asyncio.timeout(20):
        await asyncio.gather(
            store._database.write(lambda connection: lock(connection, "C1", "C2")),
            other._database.write(lambda connection: lock(connection, "C2", "C1")),
        )

    assert len(runs) > 2
    assert [row.chain.reason for row in await store.chains(limit=9)] == ["C2", "C1"]


async def test_rows_put_in_opposite_orders_are_all_there(
    store: Store, other: Store
) -> None:
    """Two that put the same rows may lock each other; neither is told of it."""
    rows = [a_row(f"w{n}") for n in range(50)]

    await asyncio.gather(store.put_waiting(*rows), other.put_waiting(*reversed(rows)))

    assert len(await store.waiting(limit=99)) == 50


async def test_a_process_has_no_more_connections_than_it_may(
    url: str, store: Store
) -> None:
    """However much it does at once, others find room on the server."""
    for n in range(40):
        await store.begin_chain(a_chain(f"C{n}"), a_step(f"C{n}"), [])

    slots = [Slot(chain_id=f"C{n}", step=1) for n in range(40)]
    done = await asyncio.gather(*(store.decide(slot, claim("a")) for slot in slots))

    assert all(done)
    count = (
        "SELECT count(*) - 1 FROM pg_stat_activity"
        " WHERE datname = current_database() AND backend_type = 'client backend'"
    )
    assert await asked(url, count) == postgresql.CONNECTIONS


async def test_an_upgrade_under_way_is_not_noticed(postgresql_url: str) -> None:
    """Statements that were prepared before it are prepared anew, to read and to write."""
    await migrate(postgresql_url)
    alter = "ALTER TABLE chains ALTER COLUMN"
    async with open_store(postgresql_url, now=lambda: NOW) as store:
        await store.begin_chain(a_chain(), a_step(), [])
        await store.chain("C1")
        assert await store.decide(SLOT, claim("a"))

        await asked(postgresql_url, f"{alter} requestor TYPE TEXT")
        assert await store.chain("C1") == a_chain()
        await asked(postgresql_url, f"{alter} backend TYPE TEXT")
        assert not await store.decide(SLOT, claim("a"))


@pytest.mark.parametrize(
    "part,code", [("password", "28P01"), ("name", "3D000"), ("user", "28P01")]
)
async def test_who_is_not_let_in_is_told_the_code(
    stoppable: Postgresql, part: str, code: str
) -> None:
    """Wrong credentials and a missing database; the text holds none of them."""
    url = URL(stoppable.url)
    wrong = {
        "password": url.with_password("hunter2"),
        "name": url.with_path("/hunter2"),
        "user": url.with_user("hunter2"),
    }[part]
    async with open_store(str(wrong)) as store:
        with is_away(code) as caught:
            await store.chain("C1")
    assert "hunter2" not in str(caught.value)
