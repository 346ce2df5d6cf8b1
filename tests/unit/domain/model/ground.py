"""What runs of the plant stand on: one loop and one SQLite database for many of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import pytest
import structlog
from sqlalchemy import Connection

from orchestrator.gateway import replying
from orchestrator.store import SqlStore, open_store, sqlite
from orchestrator.store.schema import migrate
from orchestrator.store.tables import metadata
from tests.support.fakes import FakeClock
from tests.support.samples import NOW
from tests.unit.domain.model.plant import Plant

T = TypeVar("T")

Run = Callable[[Plant], Coroutine[object, object, None]]


class Now:
    """The store's clock: that of the run."""

    clock = FakeClock(NOW)

    def __call__(self) -> datetime:
        """What the time is."""
        return self.clock()


class Inline(Executor):
    """Threads are slower than SQLite, and not the same in every run."""

    def __init__(self, *_: object) -> None:
        """There is nothing to be started."""

    def submit(
        self, act: Callable[..., T], /, *args: object, **more: object
    ) -> Future[T]:
        """Do it at once."""
        done: Future[T] = Future()
        try:
            done.set_result(act(*args, **more))
        except BaseException as fault:  # noqa: BLE001 - whoever waits for it gets it
            done.set_exception(fault)
        return done


@dataclass
class Ground:
    """Where runs are played, one after the other."""

    runner: asyncio.Runner
    store: SqlStore
    now: Now

    def do(self, work: Coroutine[object, object, T]) -> T:
        """Run it on the loop."""
        return self.runner.get_loop().run_until_complete(work)

    async def plant(self) -> Plant:
        """A chain that has just begun, and nothing else."""
        self.now.clock = FakeClock(NOW)
        await self.store._database.write(_empty)
        plant = Plant(self.store, self.now.clock)
        await plant.begin()
        return plant

    async def played(self, run: Run) -> None:
        """Play a run; who still waits then is let go."""
        try:
            await run(await self.plant())
        finally:
            await cancel_all()


@contextmanager
def laid_out(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    """A database that nobody syncs, quiet logs, and no pauses."""
    pragmas = tuple(p.replace("=FULL", "=OFF") for p in sqlite._WRITER_PRAGMAS)
    monkeypatch.setattr(sqlite, "_WRITER_PRAGMAS", pragmas)
    monkeypatch.setattr(sqlite, "ThreadPoolExecutor", Inline)
    monkeypatch.setattr(replying, "RESULT_PAUSES_S", (0.0,))
    url, now = f"sqlite:///{path / 'chains.db'}", Now()
    before = structlog.get_config()
    structlog.configure(processors=[_drop])
    try:
        with asyncio.Runner() as runner:
            stack = AsyncExitStack()
            runner.run(migrate(url))
            store = runner.run(stack.enter_async_context(open_store(url, now=now)))
            yield Ground(runner, store, now)
            runner.run(stack.aclose())
    finally:
        structlog.configure(**before)


async def cancel_all() -> None:
    """Nothing of a run goes on in the next."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _drop(*_: object) -> Mapping[str, object]:
    raise structlog.DropEvent


def _empty(connection: Connection) -> None:
    for table in reversed(metadata.sorted_tables):
        connection.execute(table.delete())
