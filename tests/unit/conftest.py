"""What unit tests of gateway and workers share: stand-ins around a real SQLite store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Protocol

import pytest
from sqlalchemy import Connection

from orchestrator.background import Background
from orchestrator.domain.errors import StoreUnavailable
from orchestrator.sealing import Sealer
from orchestrator.store import SqlStore, open_store
from orchestrator.store.schema import migrate
from orchestrator.store.tables import metadata
from tests.support.fakes import (
    FakeBackend,
    FakeClock,
    FakePublisher,
    FakeReplies,
    FakeSigner,
)
from tests.support.parts import SharedGateway
from tests.support.samples import NOW
from tests.support.workshop import Workshop


@pytest.fixture
def clock() -> FakeClock:
    """The time of gateway, workers and store."""
    return FakeClock(NOW)


@pytest.fixture
def sealer() -> Sealer:
    """Keys that nobody else has."""
    return Sealer(b"\x01" * 32, "k1", b"\x02" * 32)


class _Now:
    """The clock of a store that is opened once: that of the test that runs."""

    clock = FakeClock(NOW)

    def __call__(self) -> datetime:
        return self.clock()


@pytest.fixture(scope="session")
async def opened_once(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[SqlStore, _Now]]:
    """A database with the schema; one for each test would take most of the time."""
    url = f"sqlite:///{tmp_path_factory.mktemp('store') / 'chains.db'}"
    await migrate(url)
    now = _Now()
    async with open_store(url, now=now) as opened:
        yield opened, now


@pytest.fixture
async def store(opened_once: tuple[SqlStore, _Now], clock: FakeClock) -> SqlStore:
    """A store with nothing in it."""
    opened, now = opened_once
    now.clock = clock
    await opened._database.write(_empty)
    return opened


def _empty(connection: Connection) -> None:
    for table in reversed(metadata.sorted_tables):
        connection.execute(table.delete())


@pytest.fixture(scope="session")
def shared() -> SharedGateway:
    """The gateway's routes, made once."""
    return SharedGateway()


@pytest.fixture
async def workshop(
    store: SqlStore, clock: FakeClock, sealer: Sealer, shared: SharedGateway
) -> AsyncIterator[Workshop]:
    """Everything that gateway and workers are made of."""
    background = Background()
    yield Workshop(
        store=store,
        clock=clock,
        publisher=FakePublisher(),
        replies=FakeReplies(clock),
        backend=FakeBackend(),
        signer=FakeSigner(),
        sealer=sealer,
        background=background,
        shared=shared,
    )
    await background.drain(5.0)


class LoseStore(Protocol):
    """Makes the database go away."""

    def __call__(self, *methods: str) -> None:
        """Let these methods fail, or all of them when none is named."""


@pytest.fixture
def lose_store(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> LoseStore:
    """Lets methods of the store fail as if the database were away."""

    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("the database is away")

    def lose(*methods: str) -> None:
        for name in methods or [name for name in vars(SqlStore) if name[0] != "_"]:
            monkeypatch.setattr(store, name, away)

    return lose
