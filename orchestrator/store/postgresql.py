"""PostgreSQL through asyncpg; what runs on a connection is the same as for SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.util import greenlet_spawn

if TYPE_CHECKING:
    from sqlalchemy.engine import AdaptedConnection, Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

T = TypeVar("T")

#: Being let in is quick, however patient the caller is with what comes then.
CONNECT_TIMEOUT_S: Final = 5.0

#: Connections of one process. A transaction holds one for milliseconds, and a server
#: takes 100 by default, from all processes together.
CONNECTIONS: Final = 8

#: How to plan. Every statement of a chain's way has an index, but a plan that was made
#: while a table was new and small goes through all of it, and is kept until the table is
#: analysed: a minute later, or two. What is to be read through says so.
PLANNING: Final = {"enable_seqscan": "off", "jit": "off"}

#: A process that froze in a transaction does not keep its locks. Nothing of ours waits
#: inside one, but for the database itself.
IDLE_IN_TRANSACTION: Final = "10s"


class Postgresql:
    """One pool; reading needs no transaction.

    The patience is for the turn in the pool, the way to the server and its answers
    together. Its own limits are for those that it did not hear hang up.
    """

    def __init__(self, url: URL, patience_s: float) -> None:
        self._patience_s = patience_s
        patience_ms = str(max(round(patience_s * 1000), 1))
        self._writer = create_engine(
            url.set(drivername="postgresql+asyncpg"),
            hide_parameters=True,
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=patience_s,
            pool_use_lifo=True,  # the others stay idle, and the server may close them
            connect_args={
                "timeout": min(patience_s, CONNECT_TIMEOUT_S),
                "server_settings": {
                    **PLANNING,
                    "application_name": "session-chain-orchestrator",
                    "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION,
                    "lock_timeout": patience_ms,
                    "statement_timeout": patience_ms,
                },
            },
        )
        event.listen(self._writer, "checkout", _replace_closed)
        event.listen(self._writer, "close", _hang_up)
        self._single = self._writer.execution_options(isolation_level="AUTOCOMMIT")

    async def read(self, act: Callable[[Connection], T]) -> T:
        """Run single queries, each on its own."""
        return await self._run(self._single, act)

    async def read_through(self, act: Callable[[Connection], T]) -> T:
        """As `read`, planned for going through whole tables."""

        def planned(connection: Connection) -> T:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = on")
            return act(connection)

        return await self._run(self._writer, planned)

    async def write(self, act: Callable[[Connection], T]) -> T:
        """Run one transaction and commit it."""
        return await self._run(self._writer, act)

    async def write_single(self, act: Callable[[Connection], T]) -> T:
        """Run one statement, which the server commits without being asked to."""
        return await self._run(self._single, act)

    async def _run(self, engine: Engine, act: Callable[[Connection], T]) -> T:
        """All in one greenlet: `AsyncEngine` takes one for each word with the pool.

        It would bring SQLAlchemy's ORM too, which is 7 MB in every process.
        """

        def run() -> T:
            with engine.begin() as connection:
                return act(connection)

        async with asyncio.timeout(self._patience_s):
            return await greenlet_spawn(run)

    async def close(self) -> None:
        """Close every connection."""
        await greenlet_spawn(self._writer.dispose)


def _replace_closed(
    connection: AdaptedConnection,
    _entry: ConnectionPoolEntry,
    _proxy: PoolProxiedConnection,
) -> None:
    """The pool's own ping takes three round trips; a closed socket is known without."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def _hang_up(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    """A server that does not answer would not let us take leave either."""
    connection.driver_connection.terminate()
