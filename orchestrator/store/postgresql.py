"""PostgreSQL through asyncpg; what runs on a connection is the same as for SQLite."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from sqlalchemy import URL, Connection, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import create_async_engine

if TYPE_CHECKING:
    from sqlalchemy.engine import AdaptedConnection
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

T = TypeVar("T")

#: Being let in is quick, however patient the caller is with what comes then.
CONNECT_TIMEOUT_S: Final = 5.0


class Postgresql:
    """One pool; reading needs no transaction."""

    def __init__(self, url: URL, patience_s: float) -> None:
        self._writer = create_async_engine(
            url.set(drivername="postgresql+asyncpg"),
            hide_parameters=True,
            pool_timeout=patience_s,
            connect_args={
                "timeout": min(patience_s, CONNECT_TIMEOUT_S),
                "command_timeout": patience_s,
                "server_settings": {
                    "application_name": "session-chain-orchestrator",
                    # a process that froze in a transaction does not keep its locks
                    "idle_in_transaction_session_timeout": "30s",
                },
            },
        )
        event.listen(self._writer.sync_engine, "checkout", _replace_closed)
        self._reader = self._writer.execution_options(isolation_level="AUTOCOMMIT")

    async def read(self, act: Callable[[Connection], T]) -> T:
        """Run single queries, each on its own."""
        async with self._reader.connect() as connection:
            return await connection.run_sync(act)

    async def write(self, act: Callable[[Connection], T]) -> T:
        """Run one transaction and commit it."""
        async with self._writer.begin() as connection:
            return await connection.run_sync(act)

    async def close(self) -> None:
        """Close every connection."""
        await self._writer.dispose()


def _replace_closed(
    connection: AdaptedConnection,
    _entry: ConnectionPoolEntry,
    _proxy: PoolProxiedConnection,
) -> None:
    """The pool's own ping takes three round trips; a closed socket is known without."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError
