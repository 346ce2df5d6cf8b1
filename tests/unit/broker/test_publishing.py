"""What is refused before anything is sent, and how a message looks on the wire."""

from __future__ import annotations

from unittest.mock import create_autospec

import pytest
from aio_pika import RobustConnection
from aio_pika.abc import AbstractRobustChannel

from orchestrator.broker.publishing import BODY_BYTES_MAX, BrokerPublisher
from orchestrator.domain.errors import Refused
from orchestrator.ports import Message


async def test_a_message_that_is_too_long_is_refused_before_any_is_sent() -> None:
    """Nothing of the call is sent, and the error is final, not held."""
    channel = create_autospec(AbstractRobustChannel, instance=True)
    publisher = BrokerPublisher(create_autospec(RobustConnection, instance=True), channel)
    long = Message(id="b", routing_key="sessions", body=bytes(BODY_BYTES_MAX + 1))

    with pytest.raises(Refused, match="8388609 bytes is over the limit of 8388608"):
        await publisher.publish(Message(id="a", routing_key="history", body=b""), long)

    assert not channel.mock_calls
