"""What happens to a message in hand at the end.

A message whose channel is gone needs nothing: the broker delivers it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Final

import structlog
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

from orchestrator.domain.dead import (
    DELIVERIES,
    DIED_AT,
    FIRST_DIED_AT,
    QUEUE,
    REASON,
    told_time,
)
from orchestrator.ports import Delivery, Message, Publisher, Queues

_log = structlog.get_logger(__name__)

#: A reason is for people; a longer one only makes the message bigger.
REASON_CHARS_MAX: Final = 500


def delivery_of(message: AbstractIncomingMessage) -> Delivery:
    """The message as workers see it: the body untouched, whatever its content type."""
    return Delivery(
        body=message.body,
        message_id=message.message_id or "",
        headers=message.headers,
        redelivered=bool(message.redelivered),
    )


async def ack(message: AbstractIncomingMessage, *, all_before: bool = False) -> None:
    """Done; `all_before` settles every earlier delivery of the channel with it."""
    with suppress(*CONNECTION_EXCEPTIONS):
        await message.ack(multiple=all_before)


async def reject(message: AbstractIncomingMessage) -> None:
    """Let the broker dead-letter it."""
    with suppress(*CONNECTION_EXCEPTIONS):
        await message.reject(requeue=False)


async def hand_back(message: AbstractIncomingMessage) -> None:
    """Let somebody else take it."""
    with suppress(*CONNECTION_EXCEPTIONS):
        await message.nack(requeue=True)


async def bury(
    publisher: Publisher,
    message: AbstractIncomingMessage,
    *,
    queue: str,
    reason: str,
    now: datetime,
) -> None:
    """Put a copy into `dead` with its reason and return when that is confirmed."""
    await publisher.publish(dead_message(message, queue=queue, reason=reason, now=now))
    _log.warning(
        "worker.buried", queue=queue, message_id=message.message_id, reason=reason
    )


def dead_message(
    message: AbstractIncomingMessage, *, queue: str, reason: str, now: datetime
) -> Message:
    """The message for `dead`: same body and id, told why, from where and when it died."""
    died_at = told_time(now)
    kept = own_headers(message.headers)
    return Message(
        id=message.message_id or "",
        routing_key=Queues.DEAD,
        body=message.body,
        content_type=message.content_type or "application/octet-stream",
        correlation_id=message.correlation_id,
        headers={
            FIRST_DIED_AT: died_at,
            **kept,
            REASON: reason[:REASON_CHARS_MAX],
            QUEUE: queue,
            DIED_AT: died_at,
            DELIVERIES: _deliveries(message.headers),
        },
    )


def _deliveries(headers: Mapping[str, object]) -> int:
    """How often it was delivered, this time included; the broker counts the others."""
    before = headers.get("x-delivery-count")
    return before + 1 if isinstance(before, int) else 1


def own_headers(headers: Mapping[str, object]) -> dict[str, str | int]:
    """The headers that a fresh copy may carry.

    Never `x-*`: a broker that finds an old `x-death` takes the copy for one that goes
    round in circles and drops it (reference delivery.md §21).
    """
    return {
        name: value
        for name, value in headers.items()
        if isinstance(value, str | int) and not name.lower().startswith("x-")
    }
