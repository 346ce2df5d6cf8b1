"""Writes many messages to a channel as one piece.

aiormq's own `basic_publish` takes one message, in a task of its own, and waits for the
socket before the next one: five times the processor time. What it keeps for a publish is
kept here in the same way: tags in the order of the frames, under the channel's lock; a
future for each confirm, which the channel itself settles; ids by which returns are found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from aio_pika import DeliveryMode
from aio_pika.abc import AbstractChannel
from aiormq import Channel
from aiormq.abc import ChannelFrame
from pamqp import commands
from pamqp.body import ContentBody
from pamqp.frame import marshal
from pamqp.header import ContentHeader

from orchestrator.ports import Message

if TYPE_CHECKING:
    Confirm = asyncio.Future[object]


async def send(channel: AbstractChannel, messages: Sequence[Message]) -> list[Confirm]:
    """Write them in this order; what each future becomes is what a publish returns.

    Raises:
        CONNECTION_EXCEPTIONS: the channel is closed; none was sent.
    """
    return await _write(await _raw(channel), messages, None)


async def send_draining(
    channel: AbstractChannel, messages: Sequence[Message]
) -> tuple[list[Confirm], Confirm]:
    """As `send`, with one future more: done when the socket has room again, or is lost.

    The connection's writer waits for that room before it writes anything further.
    """
    raw = await _raw(channel)
    drained: Confirm = raw.create_future()
    return await _write(raw, messages, drained), drained


async def _raw(channel: AbstractChannel) -> Channel:
    raw = await channel.get_underlay_channel()
    if not isinstance(raw, Channel):
        raise TypeError(type(raw))
    return raw


async def _write(
    raw: Channel, messages: Sequence[Message], drained: Confirm | None
) -> list[Confirm]:
    piece = _piece(raw, messages, drained)
    async with raw.lock:
        with ExitStack() as unless_sent:
            unless_sent.callback(_take_back, raw, raw.delivery_tag, messages)
            confirms = [_expected(raw, message) for message in messages]
            await raw.write_queue.put(piece)
            unless_sent.pop_all()
    return confirms


def properties_of(message: Message) -> commands.Basic.Properties:
    """What goes over the wire beside the body; always persistent."""
    return commands.Basic.Properties(
        message_id=message.id,
        content_type=message.content_type,
        correlation_id=message.correlation_id,
        headers=dict(message.headers) or None,
        delivery_mode=DeliveryMode.PERSISTENT,
    )


def _piece(
    raw: Channel, messages: Sequence[Message], drained: Confirm | None
) -> ChannelFrame:
    """The frames of all of them; where they go is often the same."""
    targets: dict[tuple[str, str], bytes] = {}
    parts: list[bytes] = []
    for message in messages:
        target = (message.exchange, message.routing_key)
        if target not in targets:
            targets[target] = marshal(_publish(*target), raw.number)
        parts.append(targets[target])
        parts += (marshal(frame, raw.number) for frame in _content(raw, message))
    payload = b"".join(parts)
    return ChannelFrame(payload=payload, should_close=False, drain_future=drained)


def _publish(exchange: str, routing_key: str) -> commands.Basic.Publish:
    return commands.Basic.Publish(
        exchange=exchange, routing_key=routing_key, mandatory=not exchange
    )


def _content(raw: Channel, message: Message) -> Iterator[ContentHeader | ContentBody]:
    body = message.body
    yield ContentHeader(properties=properties_of(message), body_size=len(body))
    for begin in range(0, len(body), raw.max_content_size):
        yield ContentBody(body[begin : begin + raw.max_content_size])


def _expected(raw: Channel, message: Message) -> Confirm:
    """The future of the next message's confirm, where the channel looks for it."""
    raw.delivery_tag += 1
    tag = raw.delivery_tag
    confirm: Confirm = raw.create_future()
    raw.confirmations[tag] = confirm
    if not message.exchange:  # only what is mandatory comes back
        raw.message_id_delivery_tag[message.id] = tag
        confirm.add_done_callback(partial(_forget, raw, message.id, tag))
    return confirm


def _forget(raw: Channel, message_id: str, tag: int, _: Confirm) -> None:
    if raw.message_id_delivery_tag.get(message_id) == tag:
        del raw.message_id_delivery_tag[message_id]


def _take_back(raw: Channel, before: int, messages: Sequence[Message]) -> None:
    """The broker has seen none of these, so their tags are free again."""
    for tag in range(before + 1, before + len(messages) + 1):
        confirm = raw.confirmations.pop(tag, None)
        if confirm is not None:
            confirm.cancel()
    raw.delivery_tag = before
