"""The one way out to the broker: confirmed, or an error; never a hang.

Messages of one call leave in the order of the arguments and their confirms are awaited
together (`sending`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from aio_pika import RobustConnection
from aio_pika.abc import AbstractRobustChannel
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, DeliveryError, PublishError

from orchestrator.broker.connection import PATIENCE_S, connect
from orchestrator.broker.sending import send
from orchestrator.broker.subscribers import Telling, Trouble
from orchestrator.broker.topology import QUEUE_NAMES
from orchestrator.domain.errors import BrokerUnavailable, Refused, Unroutable
from orchestrator.domain.parting import part_of
from orchestrator.ports import HISTORY_QUEUES, Message, Queues, history_queue

#: A broker that has not confirmed a publish for so long takes no more for the time being:
#: with an alarm of its own it stops reading, and the connection stays. It is more than a
#: process waits that runs only when no other one wants to.
STALLED_S: Final = 3.0

#: More than anybody begins at a time.
AMPLE: Final = 1_000

#: No message is longer than this (DESIGN §5).
BODY_BYTES_MAX: Final = 8 * 1024 * 1024


class BrokerPublisher:
    """`ports.Publisher` and `ports.Subscribers` on a connection and a channel of its own.

    Messages for a queue are mandatory. Those for an exchange are not: it is no fault when
    nobody has subscribed, and a subscriber's full queue, which nacks, is only counted.

    Attributes:
        trouble: how much subscribers refused or confirmed late.
    """

    def __init__(
        self,
        connection: RobustConnection,
        channel: AbstractRobustChannel,
        history_parts: int = 1,
    ) -> None:
        """Publish on this channel; `open` makes one that is fit for it."""
        self._connection = connection
        self._channel = channel
        self._history_parts = history_parts
        self._in_flight: dict[str, asyncio.Future[None]] = {}
        self._begun: dict[asyncio.Future[None], float] = {}
        self._in_doubt = False
        self.trouble = Trouble()
        self._telling = Telling(channel, lambda: self.connected, self.trouble)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        name: str,
        *,
        patience_s: float = PATIENCE_S,
        history_parts: int = 1,
    ) -> AsyncIterator[BrokerPublisher]:
        """A publisher that is connected, until the context closes.

        With a history in parts, each event goes to that of its chain.

        Raises:
            NotConfigured: the URL, the credentials or the virtual host are wrong.
            BrokerUnavailable: nothing answered within `patience_s`.
        """
        async with await connect(url, name, patience_s=patience_s) as connection:
            channel = await connection.channel(on_return_raises=True)
            publisher = cls(connection, channel, history_parts)
            try:
                yield publisher
            finally:
                await publisher._telling.close()

    @property
    def connected(self) -> bool:
        """Whether a publish has a chance right now."""
        return self._connection.connected.is_set() and not self._channel.is_closed

    @property
    def room(self) -> int:
        """How many more publishes may be begun, for one who would rather wait.

        None while a confirm is overdue; a single one at a time after a publish that was
        not taken, until one is.
        """
        since = next(iter(self._begun.values()), None)
        overdue = since is not None and _monotonic_s() - since > STALLED_S
        if overdue or not self.connected:
            return 0
        if self._in_doubt:
            return 0 if self._begun else 1
        return AMPLE

    async def publish(self, *messages: Message, timeout_s: float = 10.0) -> None:
        """Publish in this order and return when every message is confirmed.

        Raises:
            Unroutable: a message came back; the others may have been taken.
            BrokerUnavailable: a message was not confirmed in time, or refused, or the
                connection is down; it may be in the broker all the same.
            Refused: a message is too long; none was sent.
        """
        _refuse_too_long(messages)
        if self._history_parts > 1:
            messages = tuple(map(self._parted, messages))
        ids = _returnable_ids(messages)
        try:
            # One clock for all: were each to run out by itself, a later message could
            # still be written after an earlier one was given up.
            async with asyncio.timeout(timeout_s):
                async with self._alone_with(ids):
                    results = await self._send_all(messages)
            self._judge(messages, results)
        except TimeoutError:
            self._in_doubt = True
            raise BrokerUnavailable(f"no confirm within {timeout_s:g} s") from None
        except (BrokerUnavailable, Unroutable):
            self._in_doubt = True
            raise
        self._in_doubt = False

    async def tell(self, *messages: Message) -> None:
        """Publish to subscribers, and wait for what they own only for a while.

        A queue without its leader or a costly binding of theirs confirms late; that is
        counted, as a nack is, and does not hold the next call. What is late is told again
        should the connection be lost before the confirm (`subscribers`).

        Raises:
            BrokerUnavailable: the connection is down or was lost meanwhile, or the broker
                has stopped reading from it.
            Refused: a message is too long; none was sent.
        """
        _refuse_too_long(messages)
        await self._telling.tell(messages)

    async def _send_all(self, messages: Sequence[Message]) -> list[object]:
        if not self.connected:
            raise BrokerUnavailable("the connection to the broker is down")
        try:
            confirms = await send(self._channel, messages)
        except CONNECTION_EXCEPTIONS as error:
            raise _lost(error) from None
        return await asyncio.gather(*confirms, return_exceptions=True)

    def _parted(self, message: Message) -> Message:
        """An event for the history, on its way to its chain's part."""
        if message.routing_key != Queues.HISTORY or message.exchange:
            return message
        part = part_of(message.id, self._history_parts)
        return replace(message, routing_key=history_queue(part))

    @asynccontextmanager
    async def _alone_with(self, ids: set[str]) -> AsyncIterator[None]:
        """Let no two messages of one id be in flight: returns are matched by it."""
        while busy := [self._in_flight[id_] for id_ in ids if id_ in self._in_flight]:
            await asyncio.wait(busy)
        done = asyncio.get_running_loop().create_future()
        self._in_flight |= dict.fromkeys(ids, done)
        self._begun[done] = _monotonic_s()
        try:
            yield
        finally:
            del self._begun[done]
            for id_ in ids:
                del self._in_flight[id_]
            done.set_result(None)

    def _judge(self, messages: Sequence[Message], results: Sequence[object]) -> None:
        """Raise the worst that happened: a defect, else no confirm, else a return."""
        faults = [
            fault
            for message, result in zip(messages, results, strict=True)
            if (fault := self._fault(message, result)) is not None
        ]
        if faults:
            raise min(faults, key=_gravity)

    def _fault(self, message: Message, result: object) -> BaseException | None:
        if isinstance(result, PublishError):
            return Unroutable(f"nothing takes messages for {_public_name(message)}")
        if isinstance(result, DeliveryError):
            if message.exchange:
                self.trouble.refuse(message)
                return None
            return BrokerUnavailable(f"refused: a message for {_public_name(message)}")
        if not isinstance(result, BaseException):
            return None
        return _lost(result) if _is_lost(result) else result


def _refuse_too_long(messages: Sequence[Message]) -> None:
    for message in messages:
        if len(message.body) > BODY_BYTES_MAX:
            raise Refused(
                f"a message of {len(message.body)} bytes is over the limit of"
                f" {BODY_BYTES_MAX}"
            )


def _returnable_ids(messages: Sequence[Message]) -> set[str]:
    """The ids by which a return could be matched, each of one message only."""
    ids = [message.id for message in messages if not message.exchange]
    if len(set(ids)) < len(ids):
        raise ValueError("two messages for queues have the same id in one publish")
    return set(ids)


def _monotonic_s() -> float:
    return asyncio.get_running_loop().time()


def _public_name(message: Message) -> str:
    """A name that may be told: a reply queue's would name its gateway."""
    known = message.routing_key in QUEUE_NAMES | HISTORY_QUEUES
    return f"queue '{message.routing_key}'" if known else "a queue that is gone"


def _lost(error: BaseException) -> BrokerUnavailable:
    how = type(error).__name__
    return BrokerUnavailable(f"the channel was lost before the confirm ({how})")


def _is_lost(result: BaseException) -> bool:
    """Whether the channel or connection went away under a publish.

    A closing aiormq rejects its futures with whatever closed it, be it a cancellation or
    nothing at all, which becomes a bare `Exception`.
    """
    return (
        isinstance(result, (*CONNECTION_EXCEPTIONS, asyncio.CancelledError))
        or type(result) is Exception
    )


def _gravity(fault: BaseException) -> int:
    if isinstance(fault, Unroutable):
        return 2
    return 1 if isinstance(fault, BrokerUnavailable) else 0
