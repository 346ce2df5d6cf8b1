"""Messages of one call are written as one piece; what is not sent leaves no trace."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock, create_autospec

import pytest
from aio_pika.abc import AbstractChannel
from aiormq import Channel
from aiormq.abc import ChannelFrame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.frame import unmarshal
from pamqp.header import ContentHeader

from orchestrator.broker.sending import properties_of, send, send_draining
from orchestrator.ports import Message

TAG = 4
CONTENT_BYTES_MAX = 100


@pytest.fixture
async def raw() -> Channel:
    """A channel on which four messages were published; its writer takes one piece."""
    raw: Mock = create_autospec(Channel, instance=True)
    raw.number = 1
    raw.delivery_tag = TAG
    raw.confirmations = {}
    raw.message_id_delivery_tag = {}
    raw.max_content_size = CONTENT_BYTES_MAX
    raw.lock = asyncio.Lock()
    raw.write_queue = asyncio.Queue(maxsize=1)
    raw.create_future = asyncio.get_running_loop().create_future
    return raw


@pytest.fixture
def channel(raw: Channel) -> AbstractChannel:
    """The channel as aio-pika has it."""
    channel: Mock = create_autospec(AbstractChannel, instance=True)
    channel.get_underlay_channel.return_value = raw
    return channel


def frames_of(piece: ChannelFrame) -> list[object]:
    """What was written, frame by frame."""
    payload, frames = piece.payload, list[object]()
    while payload:
        length, _, frame = unmarshal(payload)
        frames.append(frame)
        payload = payload[length:]
    return frames


WORK = Message(id="w", routing_key="sessions", body=b"work")
TOLD = Message(id="e", exchange="chain.events", routing_key="a.b.c", body=b"told")


async def test_messages_are_written_in_order_as_one_piece(
    raw: Channel, channel: AbstractChannel
) -> None:
    """Each as its target, its properties and its body; work must find a queue."""
    await send(channel, [WORK, TOLD])

    frames = frames_of(raw.write_queue.get_nowait())
    first, header, body, second, *_ = frames
    assert len(frames) == 6
    assert isinstance(first, Basic.Publish)
    assert isinstance(second, Basic.Publish)
    assert (first.exchange, first.routing_key, first.mandatory) == ("", "sessions", True)
    assert (second.exchange, second.mandatory) == ("chain.events", False)
    assert isinstance(header, ContentHeader)
    assert (header.body_size, header.properties.message_id) == (4, "w")
    assert isinstance(body, ContentBody)
    assert body.value == b"work"


async def test_a_long_body_is_split_and_an_empty_one_has_no_frame(
    raw: Channel, channel: AbstractChannel
) -> None:
    """No frame is longer than the broker takes."""
    long = Message(id="l", routing_key="x", body=b"x" * (2 * CONTENT_BYTES_MAX + 1))
    await send(channel, [long, Message(id="n", routing_key="x", body=b"")])

    bodies = [
        frame.value
        for frame in frames_of(raw.write_queue.get_nowait())
        if isinstance(frame, ContentBody)
    ]
    assert [len(body) for body in bodies] == [CONTENT_BYTES_MAX, CONTENT_BYTES_MAX, 1]


async def test_each_message_waits_for_the_confirm_of_its_own_tag(
    raw: Channel, channel: AbstractChannel
) -> None:
    """And a message that may come back is found by its id until it is confirmed."""
    work, told = await send(channel, [WORK, TOLD])

    assert raw.confirmations == {TAG + 1: work, TAG + 2: told}
    assert raw.delivery_tag == TAG + 2
    assert raw.message_id_delivery_tag == {"w": TAG + 1}
    work.set_result(None)
    await asyncio.wait([work])
    await asyncio.sleep(0)
    assert raw.message_id_delivery_tag == {}


async def test_who_wants_it_is_told_when_the_socket_has_room_again(
    raw: Channel, channel: AbstractChannel
) -> None:
    """The writer waits for that room before it writes anything further."""
    _, drained = await send_draining(channel, [TOLD])

    piece = raw.write_queue.get_nowait()
    assert piece.should_drain
    assert not drained.done()
    piece.drain()
    assert drained.done()
    await send(channel, [TOLD])
    assert not raw.write_queue.get_nowait().should_drain


async def test_what_was_not_written_takes_no_tag(
    raw: Channel, channel: AbstractChannel
) -> None:
    """The broker counts what it sees; a tag too many would confirm another's message."""
    raw.write_queue.put_nowait(None)
    sending = asyncio.create_task(send(channel, [WORK, TOLD]))
    await asyncio.sleep(0)
    assert raw.delivery_tag == TAG + 2
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending

    assert (raw.delivery_tag, raw.confirmations) == (TAG, {})
    await asyncio.sleep(0)
    assert raw.message_id_delivery_tag == {}
    async with raw.lock:
        assert raw.write_queue.full()


async def test_what_cannot_be_written_at_all_is_told_before_anything_is(
    raw: Channel, channel: AbstractChannel
) -> None:
    """A routing key has 255 bytes at most."""
    with pytest.raises(TypeError, match="255"):
        await send(channel, [WORK, Message(id="k", routing_key="k" * 256, body=b"")])
    assert (raw.delivery_tag, raw.write_queue.qsize()) == (TAG, 0)


def test_every_message_is_persistent_and_named() -> None:
    """Whatever it is for; returns are matched by its id."""
    message = Message(id="e1:work", routing_key="x", body=b"", headers={"a": "b", "n": 3})
    properties = properties_of(message)
    assert properties.delivery_mode == 2
    assert properties.message_id == "e1:work"
    assert properties.content_type == "application/json"
    assert properties.headers == {"a": "b", "n": 3}
