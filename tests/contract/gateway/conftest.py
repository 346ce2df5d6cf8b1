"""The installations of the recorded configurations, started one after the other."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.local.rabbitmq import Broker
from tests.contract.gateway.installations import Backend, Installation, Installations
from tests.contract.request_jwts import Keys
from tests.support.traps import BACKEND, BROKER

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each configuration is started once: its tests run together, in random order."""
    places = [n for n, item in enumerate(items) if HERE in item.path.parents]
    ours = sorted((items[place] for place in places), key=_configuration)
    for place, item in zip(places, ours, strict=True):
        items[place] = item


def _configuration(item: pytest.Item) -> str:
    """The configuration a test asks for; most ask for A."""
    parameters = (
        item.callspec.params
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
        else {}
    )
    return str(parameters.get("configuration", "A"))


@pytest.fixture(scope="session")
def backend() -> Backend:
    """The IRMA server named in the environment, else the sandbox."""
    return Backend(
        url=os.environ.get("IRMA_SERVER_URL") or None,
        token=os.environ.get("IRMA_SERVER_TOKEN") or None,
    )


@pytest.fixture(scope="session")
def keys() -> Keys:
    """The keys of request JWTs, made for this run."""
    return Keys()


@pytest.fixture(scope="session")
async def installations(
    broker: Broker,
    backend: Backend,
    keys: Keys,
    tmp_path_factory: pytest.TempPathFactory,
    pytestconfig: pytest.Config,
) -> AsyncIterator[Installations]:
    """All installations, one at a time; a report names what they ran with."""
    pytestconfig.stash[BROKER] = broker.version
    pytestconfig.stash[BACKEND] = backend.name
    folder = tmp_path_factory.mktemp("contract")
    running = Installations(broker, folder, keys, backend)
    try:
        yield running
    finally:
        await running.close()


@pytest.fixture
def configuration() -> str:
    """The configuration of a test that does not care."""
    return "A"


@pytest.fixture
async def installation(installations: Installations, configuration: str) -> Installation:
    """The installation a test asks for by its parameter `configuration`."""
    return await installations.of(configuration)


@pytest.fixture
def wallet_server(installation: Installation, backend: Backend) -> Installation:
    """The installation, if the sandbox's wallet can be used with it."""
    if backend.url is not None:
        pytest.skip("a real IRMA server does not take the sandbox's wallet")
    return installation
