"""Connecting: patience with a broker that starts, none with a wrong configuration."""

from __future__ import annotations

import asyncio

import pytest
from aio_pika import RobustConnection
from structlog.testing import capture_logs
from yarl import URL

from orchestrator.broker.connection import connect
from orchestrator.domain.errors import BrokerUnavailable, NotConfigured
from orchestrator.local.wire import Wire
from tests.broker.support import Operator, soon

pytestmark = pytest.mark.broker


async def test_a_wrong_password_is_told_without_telling_it(vhost_url: str) -> None:
    """A refused login stops the start at once."""
    wrong = str(URL(vhost_url).with_password("hunter2"))

    with pytest.raises(NotConfigured, match="refused the user or the password") as caught:
        await soon(connect(wrong, "test"))

    assert "hunter2" not in str(caught.value)


async def test_a_missing_virtual_host_is_told(vhost_url: str) -> None:
    """So does a virtual host that is not there."""
    missing = str(URL(vhost_url).with_path("/nowhere"))

    with pytest.raises(NotConfigured, match="no such virtual host"):
        await soon(connect(missing, "test"))


async def test_a_broker_that_does_not_come_is_unavailable_with_the_remedy(
    wire: Wire,
) -> None:
    """After its patience a process says where nobody answered and what to do."""
    wire.cut()

    with pytest.raises(BrokerUnavailable) as caught:
        await connect(wire.url, "test", patience_s=0.3)

    origin = str(URL(wire.url).origin())
    assert str(caught.value) == (
        f"no broker answered at {origin} within 0.3 s;"
        " start it, or correct the broker's URL"
    )


async def test_a_broker_that_comes_later_is_waited_for(wire: Wire) -> None:
    """Processes and broker may be started in any order."""
    wire.cut()
    connecting = asyncio.create_task(connect(wire.url, "test"))
    await soon(wire.refused.wait())

    wire.mend()

    async with await soon(connecting) as connection:
        assert connection.connected.is_set()


async def test_a_connection_is_named_for_operators_and_comes_back(
    connection: RobustConnection, operator: Operator
) -> None:
    """The management lists it by our name; closed from there, it reconnects by itself."""
    back = asyncio.Event()
    connection.reconnect_callbacks.add(lambda _: back.set())

    await operator.cut("test")

    await soon(back.wait())


async def test_a_connection_that_is_lost_and_comes_back_is_logged(wire: Wire) -> None:
    """Operators read it in each process' log; an ordered close is no news."""
    back = asyncio.Event()
    with capture_logs() as logs:
        async with await connect(wire.url, "test") as connection:
            connection.reconnect_callbacks.add(lambda _: back.set())
            wire.cut()
            await soon(wire.refused.wait())
            wire.mend()
            await soon(back.wait())

    told = [(entry["event"], entry["connection"]) for entry in logs]
    assert told == [("broker.lost", "test"), ("broker.back", "test")]
