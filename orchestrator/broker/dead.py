"""The queue `dead` in an operator's hands.

Letters are taken by one consumer after another, each of which is cancelled when it has
brought its page: so a bounded number is on its way, whatever lies in the queue, and all
that was taken stays unacknowledged on one channel. When the pass ends, what was not
settled goes back in its order; when the connection is lost, the broker takes it back
itself. `dead` has no delivery limit, so looking never drops a letter (topology).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from typing import Final

from aio_pika import IncomingMessage, RobustConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aiormq.abc import AbstractChannel, DeliveredMessage
from aiormq.exceptions import ChannelLockedResource

from orchestrator.broker.connection import PATIENCE_S, connect
from orchestrator.broker.settling import own_headers
from orchestrator.broker.topology import require
from orchestrator.domain.dead import Death, dead_letter
from orchestrator.domain.errors import BrokerUnavailable
from orchestrator.ports import HeldLetter, Queues

#: Letters on their way at a time; none is over 8 MiB.
PAGE: Final = 64

#: Letters handed back at a time: of more, RabbitMQ 3.10 loses the order, as Erlang's maps
#: are sorted up to 32 keys.
_BACK: Final = 32

#: Who hears nothing for this long has everything: another operator took the rest.
SILENCE_S: Final = 2.0

#: Everything that is said to the broker has to be answered within this.
_ANSWER_S: Final = 10.0

#: Exists while an operator is at work, and belongs to that connection alone.
_MARK: Final = "dead.operator"


class DeadQueue:
    """`ports.DeadLetters` on a channel of its own."""

    def __init__(self, channel: AbstractChannel, *, total: int, others: bool) -> None:
        """Take from this channel; `open` makes it."""
        self._channel = channel
        self._arrived: asyncio.Queue[DeliveredMessage] = asyncio.Queue()
        self._total = total
        self._others = others
        #: By delivery tag, which the broker counts from 1: whether it is in hand.
        self._in_hand = bytearray(b"\0")

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, name: str, *, patience_s: float = PATIENCE_S
    ) -> AsyncIterator[DeadQueue]:
        """One pass; at its end what was not settled is in the queue again.

        Raises:
            NotConfigured: the URL is wrong, or the queue does not exist.
            BrokerUnavailable: nothing answered within `patience_s`.
        """
        async with await connect(url, name, patience_s=patience_s) as connection:
            await require(await connection.channel(), Queues.DEAD)
            others = not await _marked(connection)
            # Beneath what reconnects by itself: on another channel tags mean nothing.
            channel = await (await connection.channel()).get_underlay_channel()
            found = await channel.queue_declare(
                Queues.DEAD, passive=True, timeout=_ANSWER_S
            )
            total = (found and found.message_count) or 0
            dead = cls(channel, total=total, others=others)
            try:
                yield dead
            finally:
                await dead._hand_back()

    @property
    def total(self) -> int:
        """How many letters there were to take when the pass began."""
        return self._total

    @property
    def others(self) -> bool:
        """Whether another operator was at work when the pass began."""
        return self._others

    async def pages(self) -> AsyncIterator[Sequence[HeldLetter]]:
        """Every letter once, oldest first.

        Go to the end: what is handed back comes behind what was handed back before, so a
        pass over a part of the queue would turn it.
        """
        left, number = self._total, 0
        while left > 0:
            size = min(left, PAGE)
            # The broker returns consumer by consumer, in the order of their tags.
            messages = await self._taken(size, f"dead-{number:08}")
            if messages:
                yield [_held(message) for message in messages]
            if len(messages) < size:
                return
            left -= size
            number += 1

    async def settle(self, held: Sequence[HeldLetter]) -> None:
        """Remove letters for good."""
        with _broker():
            for letter in held:
                await self._channel.basic_ack(letter.tag)
                self._in_hand[letter.tag] = False

    async def _taken(self, size: int, tag: str) -> list[DeliveredMessage]:
        """What one consumer brings: so many, or fewer when that is all there is."""
        taken: list[DeliveredMessage] = []
        with _broker():
            await self._channel.basic_qos(prefetch_count=size, timeout=_ANSWER_S)
            await self._channel.basic_consume(
                Queues.DEAD, self._arrived.put, consumer_tag=tag, timeout=_ANSWER_S
            )
            with suppress(TimeoutError):
                while len(taken) < size:
                    async with asyncio.timeout(SILENCE_S):
                        taken.append(await self._arrived.get())
            await self._channel.basic_cancel(tag, timeout=_ANSWER_S)
        while not self._arrived.empty():
            taken.append(self._arrived.get_nowait())
        self._in_hand += bytes([True]) * len(taken)
        return taken

    async def _hand_back(self) -> None:
        """Return what is in hand; should that fail, the connection's end does it."""
        tags = [tag for tag, in_hand in enumerate(self._in_hand) if in_hand]
        with suppress(*CONNECTION_EXCEPTIONS, TimeoutError):
            async with asyncio.timeout(_ANSWER_S):
                for last in sorted({*tags[_BACK - 1 :: _BACK], *tags[-1:]}):
                    await self._channel.basic_nack(last, multiple=True)
                await self._channel.close()


async def _marked(connection: RobustConnection) -> bool:
    """Put up the mark, unless somebody else's is there."""
    channel = await (await connection.channel()).get_underlay_channel()
    try:
        await channel.queue_declare(_MARK, exclusive=True, timeout=_ANSWER_S)
    except ChannelLockedResource:
        return False
    return True


@contextmanager
def _broker() -> Iterator[None]:
    try:
        yield
    except (*CONNECTION_EXCEPTIONS, TimeoutError) as error:
        how = type(error).__name__
        raise BrokerUnavailable(
            f"the connection to the broker was lost ({how}); what was not settled is in"
            f" '{Queues.DEAD}' again"
        ) from None


def _held(delivered: DeliveredMessage) -> HeldLetter:
    message = IncomingMessage(delivered)
    letter = dead_letter(
        message.message_id or "",
        message.body,
        own_headers(message.headers),
        list(_deaths(message.headers)),
        message.content_type,
    )
    return HeldLetter(
        letter=letter,
        tag=delivered.delivery_tag or 0,
        body=message.body,
        correlation_id=message.correlation_id,
    )


def _deaths(headers: Mapping[str, object]) -> Iterator[Death]:
    """The entries of `x-death`, the newest first; what looks otherwise is left out."""
    entries = headers.get("x-death")
    for entry in entries if isinstance(entries, list) else ():
        match entry:
            case {"queue": str(queue), "reason": str(reason)}:
                count, time = entry.get("count"), entry.get("time")
                yield Death(
                    queue=queue,
                    reason=reason,
                    count=count if isinstance(count, int) else 1,
                    at=_utc(time) if isinstance(time, datetime) else None,
                )
            case _:
                continue


def _utc(time: datetime) -> datetime:
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
