"""SQLite: a whole transaction in one go on a thread of its own.

The asynchronous driver for it changes threads four times a statement; measured, that adds
5 ms to a decision that takes 2 ms. And a caller who gives up half-way leaves nothing
open: the thread finishes what it began.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

from sqlalchemy import URL, Connection, create_engine, event

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

T = TypeVar("T")

#: Reading does not wait for writing (WAL), nor for other readers.
_READERS: Final = 4

_WRITER_PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    # FULL: a commit is on the disk before it returns. NORMAL may lose the last ones when
    # the power goes, and with them a result that was accepted (G1).
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    # After a burst the log shrinks to this again.
    "PRAGMA journal_size_limit=67108864",
)
_READER_PRAGMAS: Final = ("PRAGMA query_only=ON",)


class Sqlite:
    """One writer, in order of asking, as SQLite has it; and some readers."""

    def __init__(self, url: URL, patience_s: float) -> None:
        url = url.set(drivername="sqlite")
        wait = {"timeout": patience_s}
        self._patience_s = patience_s
        self._turn = asyncio.Lock()
        self._writer = create_engine(url, hide_parameters=True, connect_args=wait)
        # The driver begins at the first write only, when what was read may be old; so we
        # begin ourselves, with the lock (SQLAlchemy: "emit BEGIN in lieu of SQLite").
        event.listen(self._writer, "connect", _configure(_WRITER_PRAGMAS))
        event.listen(self._writer, "begin", _begin_immediate)
        self._reader = create_engine(
            url,
            hide_parameters=True,
            connect_args=wait,
            isolation_level="AUTOCOMMIT",
            pool_size=_READERS,
        )
        event.listen(self._reader, "connect", _configure(_READER_PRAGMAS))
        self._writing = ThreadPoolExecutor(1, "store-write")
        self._reading = ThreadPoolExecutor(_READERS, "store-read")

    async def read(self, act: Callable[[Connection], T]) -> T:
        """Run single queries, each on its own."""

        def run() -> T:
            with self._reader.connect() as connection:
                return act(connection)

        return await asyncio.get_running_loop().run_in_executor(self._reading, run)

    async def read_through(self, act: Callable[[Connection], T]) -> T:
        """As `read`: SQLite goes through a table where that is all there is to do."""
        return await self.read(act)

    async def write(self, act: Callable[[Connection], T]) -> T:
        """Run one transaction and commit it.

        The patience is for the turn in this process and the lock on the file together.
        """
        until = time.monotonic() + self._patience_s

        def run() -> T:
            with self._writer.connect() as connection:
                connection.execution_options(lock_until=until)
                with connection.begin():
                    return act(connection)

        async with asyncio.timeout(self._patience_s):
            await self._turn.acquire()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._writing, run)
        finally:
            self._turn.release()

    async def write_single(self, act: Callable[[Connection], T]) -> T:
        """As `write`: to wait for the turn is most of it."""
        return await self.write(act)

    async def close(self) -> None:
        """Let the threads finish, then close every connection."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._reading.shutdown()
        self._writing.shutdown()
        self._reader.dispose()
        self._writer.dispose()


def _configure(
    pragmas: Sequence[str],
) -> Callable[[DBAPIConnection, ConnectionPoolEntry], None]:
    def on_connect(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(pragma)
        cursor.close()

    return on_connect


def _begin_immediate(connection: Connection) -> None:
    until: float = connection.get_execution_options()["lock_until"]
    # Rounded up, or it could give up just before the time and be tried once more.
    left_ms = max(math.ceil((until - time.monotonic()) * 1000), 0)
    connection.exec_driver_sql(f"PRAGMA busy_timeout={left_ms}")
    connection.exec_driver_sql("BEGIN IMMEDIATE")
