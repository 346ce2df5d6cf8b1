"""Fixtures of the broker's room: a vhost with our topology, and ways into it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aio_pika import RobustConnection
from yarl import URL

from orchestrator.broker.connection import connect
from orchestrator.broker.grants import Grants, vhost_of
from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.broker.topology import declare
from orchestrator.local.rabbitmq import Broker
from orchestrator.local.wire import Wire
from tests.broker.integrators import Integrators
from tests.broker.support import Operator


@pytest.fixture
async def connection(vhost_url: str) -> AsyncIterator[RobustConnection]:
    """A connection to a vhost of this test's own, with the topology declared."""
    async with await connect(vhost_url, "test") as opened:
        await declare(opened)
        yield opened


@pytest.fixture
async def publisher(
    vhost_url: str, connection: RobustConnection
) -> AsyncIterator[BrokerPublisher]:
    """A publisher into that vhost."""
    async with BrokerPublisher.open(vhost_url, "test publisher") as opened:
        yield opened


@pytest.fixture
async def wire(vhost_url: str, connection: RobustConnection) -> AsyncIterator[Wire]:
    """A way to that vhost that can be cut."""
    async with Wire.open(vhost_url) as opened:
        yield opened


@pytest.fixture
async def integrators(
    broker: Broker, vhost_url: str, connection: RobustConnection
) -> AsyncIterator[Integrators]:
    """The vhost as requestors come to it; whoever was let in is put out again."""
    grants = Grants(management=broker.management, vhost=vhost_of(vhost_url))
    yield Integrators(grants=grants, broker_url=vhost_url)
    for standing in await grants.standings([]):
        await grants.take(standing.key)


@pytest.fixture
def operator(broker: Broker, vhost_url: str) -> Operator:
    """The management of that vhost."""
    return Operator(broker=broker, vhost=URL(vhost_url).path.removeprefix("/"))
