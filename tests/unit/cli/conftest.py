"""What tests of operators' commands share: an installation with nothing running."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.ports import Store
from orchestrator.sealing import new_key
from orchestrator.settings import IrmaServer, Sealing, Settings
from orchestrator.store import open_store
from orchestrator.store.schema import migrate


@pytest.fixture
async def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """It has a database, one requestor and, just now, no broker; terminals are wide."""
    monkeypatch.setenv("COLUMNS", "250")
    url = f"sqlite:///{tmp_path / 'chains.db'}"
    await migrate(url)
    return Settings.model_validate(
        {
            "broker_url": "amqp://127.0.0.1:1/",
            "database_url": url,
            "public_url": "https://chains.example",
            "irma_server": IrmaServer(url="https://irma.example"),
            "sealing": Sealing.model_validate({"key": new_key(), "hash_key": new_key()}),
            "requestors": {
                "Acme": {"key": "the-requestors-secret", "auth_method": "token"}
            },
        }
    )


@pytest.fixture
async def installed(settings: Settings) -> AsyncIterator[Store]:
    """Its database."""
    async with open_store(settings.database_url.get_secret_value()) as store:
        yield store
