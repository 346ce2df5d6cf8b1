"""What all tests share: broker and database of this run, the order from fast to slow."""

import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import hypothesis
import pytest

from orchestrator.local.postgresql import Postgresql, private_postgresql
from orchestrator.local.postgresql import postgresql as postgresql_of_this_run
from orchestrator.local.rabbitmq import Broker
from orchestrator.local.rabbitmq import broker as broker_of_this_run

#: The folders of tests, the fast ones first; those not named come last.
FAST_FIRST = ("unit", "contract", "broker", "e2e", "faults")


def pytest_configure() -> None:
    """Let examples take their time: how long they take is the machine's affair."""
    slow = [hypothesis.HealthCheck.too_slow]
    hypothesis.settings.register_profile(
        "unhurried", deadline=None, suppress_health_check=slow
    )
    hypothesis.settings.load_profile("unhurried")


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


@pytest.fixture(scope="session")
async def postgresql(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Postgresql]:
    """The PostgreSQL at POSTGRESQL_URL, else a private one; without one tests fail."""
    run_dir = tmp_path_factory.mktemp("postgresql")
    url = os.environ.get("POSTGRESQL_URL")
    async with postgresql_of_this_run(run_dir, url) as running:
        yield running


@pytest.fixture
async def postgresql_url(postgresql: Postgresql) -> AsyncIterator[str]:
    """A fresh database of the test's own, without a schema; removed afterwards."""
    async with postgresql.database(f"test-{uuid.uuid4()}") as url:
        yield url


@pytest.fixture
async def stoppable(postgresql: Postgresql, tmp_path: Path) -> AsyncIterator[Postgresql]:
    """One whose server a test may stop, kill and start; afterwards it runs again."""
    if postgresql.server is not None:
        yield postgresql
        await postgresql.server.start()
        return
    async with private_postgresql(tmp_path, durable=False) as private:
        yield private
