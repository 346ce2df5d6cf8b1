"""An installation of its own for each test, as each breaks it; all on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import JsonValue

from orchestrator.local.stack import Plan
from orchestrator.proof.lab import Lab, lab_at_work


@pytest.fixture
async def lab(vhost_url: str, postgresql_url: str, tmp_path: Path) -> AsyncIterator[Lab]:
    """The installation with two callback workers."""
    # The check at start would be among the sessions that are counted here.
    overrides: dict[str, JsonValue] = {
        "irma_server": {"check_attribute": ""},
        "logs": {"level": "debug"},  # tells which worker is at a chain
    }
    plan = Plan(
        callbacks=2, endpoint=False, database_url=postgresql_url, overrides=overrides
    )
    async with lab_at_work(tmp_path, vhost_url, plan) as running:
        yield running
