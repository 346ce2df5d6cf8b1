"""Databases that every test here runs on; a further one joins as a parameter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.store import SqlStore, open_store
from orchestrator.store.schema import migrate
from tests.contract.store.samples import NOW


@pytest.fixture(params=["sqlite"])
async def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without a schema."""
    del request
    return f"sqlite:///{tmp_path / 'chains.db'}"


@pytest.fixture
async def url(empty_url: str) -> str:
    """A database with the newest schema."""
    await migrate(empty_url)
    return empty_url


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
