"""What all tests share: the broker of this run, and the order from fast to slow."""

import os
import uuid
from collections.abc import AsyncIterator

import pytest

from orchestrator.local.rabbitmq import Broker
from orchestrator.local.rabbitmq import broker as broker_of_this_run

#: The folders of tests, the fast ones first; those not named come last.
FAST_FIRST = ("unit", "contract", "broker", "e2e", "faults")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run fast folders first; within a folder the order stays as random as it was."""
    items.sort(key=_cost)


def _cost(item: pytest.Item) -> int:
    folder = item.path.relative_to(item.config.rootpath / "tests").parts[0]
    return FAST_FIRST.index(folder) if folder in FAST_FIRST else len(FAST_FIRST)


@pytest.fixture(scope="session")
async def broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Broker]:
    """The RabbitMQ at RABBITMQ_URL, else a private node; without one tests fail."""
    async with broker_of_this_run(
        tmp_path_factory.mktemp("broker"),
        os.environ.get("RABBITMQ_URL"),
        os.environ.get("RABBITMQ_MANAGEMENT_URL"),
    ) as running:
        yield running


@pytest.fixture
async def vhost_url(broker: Broker) -> AsyncIterator[str]:
    """A fresh vhost of the test's own, which is removed afterwards."""
    async with broker.vhost(f"test-{uuid.uuid4()}") as url:
        yield url
