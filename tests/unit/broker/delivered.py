"""Messages as a broker delivers them, without one."""

from __future__ import annotations

from unittest.mock import AsyncMock, create_autospec

from aio_pika import IncomingMessage
from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.commands import Basic
from pamqp.common import FieldTable
from pamqp.header import ContentHeader


def delivered(
    body: bytes,
    *,
    message_id: str | None = "m1",
    correlation_id: str | None = None,
    content_type: str | None = None,
    headers: FieldTable | None = None,
) -> IncomingMessage:
    """A delivery on a channel that takes every settlement."""
    channel = create_autospec(AbstractChannel, instance=True, is_closed=False)
    channel.basic_ack = AsyncMock()
    properties = Basic.Properties(
        message_id=message_id,
        correlation_id=correlation_id,
        content_type=content_type,
        headers=headers,
    )
    return IncomingMessage(
        DeliveredMessage(
            delivery=Basic.Deliver(consumer_tag="c", delivery_tag=1),
            header=ContentHeader(body_size=len(body), properties=properties),
            body=body,
            channel=channel,
        )
    )
