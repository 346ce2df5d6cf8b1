"""One installation with two callback workers, shared by all tests of whole chains."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest

from orchestrator.local.rabbitmq import Broker
from orchestrator.local.stack import Plan
from orchestrator.proof.lab import Lab, lab_at_work


@pytest.fixture(scope="session")
async def lab(
    broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Lab]:
    """The installation, without the example endpoint: tests bring their own."""
    plan = Plan(callbacks=2, endpoint=False, sandbox={"sweep_s": 0.5})
    run_dir = tmp_path_factory.mktemp("e2e")
    async with (
        broker.vhost(f"e2e-{secrets.token_hex(6)}") as url,
        lab_at_work(run_dir, url, plan) as running,
    ):
        yield running
