"""Tells subscribers, and keeps what they have not confirmed until they have.

What integrators own may confirm late or never: a queue without its leader, a costly
binding. Such messages are kept, as many as fit, and told again on a new connection if
theirs is lost before the confirm; those that the same requestor is told after them are
hardly waited for. What the broker does not read from the socket is not added to.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import structlog
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, DeliveryError

from orchestrator.broker.sending import send_draining
from orchestrator.domain.errors import BrokerUnavailable
from orchestrator.ports import Message

if TYPE_CHECKING:
    from orchestrator.broker.sending import Confirm

    #: A message that was sent, and what becomes of it.
    Sent = tuple[Message, Confirm]

_log = structlog.get_logger(__name__)

#: How long subscribers' queues may take to confirm before nobody waits for them.
SUBSCRIBERS_S: Final = 2.0

#: How long that is for a requestor of whom earlier messages are late already.
BRIEFLY_S: Final = 0.05

#: Late messages that are kept: some 20 batches of the history. Of whoever has most of
#: them the oldest are kept no longer, so everybody who is late stays known as late.
LATE_MAX: Final = 10_000

#: How long the broker may leave what it was sent before unread in the socket.
READ_S: Final = 10.0

#: When to tell lost messages again after that failed.
AGAIN_S: Final = 1.0

#: At most one line about trouble in this time, naming at most so many requestors.
SAY_EVERY_S: Final = 10.0
NAMED_MAX: Final = 20


class Trouble:
    """What subscribers refused, confirmed late or may have lost: counted, and logged.

    Attributes:
        refused: how many messages a queue of theirs refused.
        late: how many were not waited for any longer.
        let_go: how many late ones were too many to be kept.
    """

    def __init__(self, say_every_s: float = SAY_EVERY_S) -> None:
        """Log the first trouble at once, then at most so often."""
        self.refused = 0
        self.late = 0
        self.let_go = 0
        self._say_every_s = say_every_s
        self._unsaid: dict[str, Counter[str]] = {}
        self._saying: asyncio.TimerHandle | None = None
        self._said_at = float("-inf")

    def refuse(self, *messages: Message) -> None:
        """Count what was refused; it is not repeated (DESIGN §5)."""
        self.refused += len(messages)
        self._note("refused", messages)

    def be_late(self, messages: Sequence[Message]) -> None:
        """Count what was not confirmed in time."""
        self.late += len(messages)
        self._note("late", messages)

    def let_go_of(self, messages: Sequence[Message]) -> None:
        """Count what will not be told again should its connection be lost now."""
        self.let_go += len(messages)
        self._note("let_go", messages)

    def say(self) -> None:
        """Log what has not been logged yet."""
        if self._saying is not None:
            self._saying.cancel()
            self._saying = None
        if self._unsaid:
            self._said_at = asyncio.get_running_loop().time()
            _log.warning(
                "subscribers.trouble",
                **{what: keys.total() for what, keys in self._unsaid.items()},
                requestors=self._named(),
            )
            self._unsaid.clear()

    def _note(self, what: str, messages: Sequence[Message]) -> None:
        if not messages:
            return
        self._unsaid.setdefault(what, Counter()).update(map(_key_of, messages))
        if self._saying is None:
            loop = asyncio.get_running_loop()
            at = max(loop.time(), self._said_at + self._say_every_s)
            self._saying = loop.call_at(at, self.say)

    def _named(self) -> list[str]:
        """The keys concerned, most often first."""
        keys = sum(self._unsaid.values(), Counter[str]())
        return [key for key, _ in keys.most_common(NAMED_MAX)]


class Telling:
    """Tells subscribers on a channel that comes back by itself."""

    def __init__(
        self, channel: AbstractChannel, connected: Callable[[], bool], trouble: Trouble
    ) -> None:
        """Use this channel while it is connected."""
        self._channel = channel
        self._connected = connected
        self._trouble = trouble
        self._sending = asyncio.Lock()
        self._late: list[Sent] = []
        self._read: Confirm | None = None
        self._seeing: asyncio.Task[None] | None = None

    async def tell(self, messages: Sequence[Message]) -> None:
        """Send these, after whatever was lost, and wait for confirms only for a while.

        Raises:
            BrokerUnavailable: these may be out or not: the connection is down or was lost
                before the confirms, or the broker does not read from it.
        """
        if not messages:
            return
        async with self._sending:
            await self._tell_again()
            late = {_key_of(message) for message, _ in self._late}
            sent = await self._send(messages)
        await _wait_for(sent, late)
        open_ = self._unsettled(sent)
        if any(confirm.done() for _, confirm in open_):
            raise BrokerUnavailable("the channel was lost before the confirm")
        if open_:
            self._keep(open_)

    async def close(self) -> None:
        """Wait once more for what is late, telling it again where it was lost."""
        if self._seeing is not None:
            await asyncio.wait([self._seeing], timeout=SUBSCRIBERS_S)
            self._seeing.cancel()
            await asyncio.gather(self._seeing, return_exceptions=True)
        self._late = self._unsettled(self._late)
        self._trouble.let_go_of([message for message, _ in self._late])
        self._trouble.say()

    async def _tell_again(self) -> None:
        """Send the late ones again whose connection was lost, in their order."""
        self._late = self._unsettled(self._late)
        lost = [message for message, confirm in self._late if confirm.done()]
        if lost:
            again = await self._send(lost)
            self._late = again + [one for one in self._late if not one[1].done()]

    async def _send(self, messages: Sequence[Message]) -> list[Sent]:
        if not self._connected():
            raise BrokerUnavailable("the connection to the broker is down")
        await self._until_read()
        try:
            confirms, self._read = await send_draining(self._channel, messages)
        except CONNECTION_EXCEPTIONS as error:
            how = type(error).__name__
            raise BrokerUnavailable(f"the channel is lost ({how})") from None
        return list(zip(messages, confirms, strict=True))

    async def _until_read(self) -> None:
        """Wait for the piece before: two of them never pile up in memory (G8)."""
        if self._read is None or self._read.done():
            return
        await asyncio.wait([self._read], timeout=READ_S)
        if not self._read.done():
            raise BrokerUnavailable(f"the broker has read nothing for {READ_S:g} s")

    def _unsettled(self, sent: Sequence[Sent]) -> list[Sent]:
        """Those without an answer of the broker; if they are done, they were lost."""
        unsettled, refused = [], []
        for one in sent:
            message, confirm = one
            if not confirm.done() or _is_lost(confirm):
                unsettled.append(one)
            elif confirm.exception() is not None:
                refused.append(message)
        self._trouble.refuse(*refused)
        return unsettled

    def _keep(self, late: Sequence[Sent]) -> None:
        self._trouble.be_late([message for message, _ in late])
        self._late, let_go = _as_fit([*self._late, *late], LATE_MAX)
        self._trouble.let_go_of([message for message, _ in let_go])
        for _, confirm in let_go:
            confirm.cancel()  # nobody is to wait for it any more
        if self._seeing is None or self._seeing.done():
            self._seeing = asyncio.create_task(self._see_to_late())

    async def _see_to_late(self) -> None:
        """Until all are confirmed; nothing new may come that would tell them again."""
        while self._late:
            await asyncio.wait([confirm for _, confirm in self._late])
            with suppress(BrokerUnavailable):
                async with self._sending:
                    await self._tell_again()
                continue
            await asyncio.sleep(AGAIN_S)


def _key_of(message: Message) -> str:
    """Whose it is: the last word of where it goes."""
    return message.routing_key.rpartition(".")[2]


async def _wait_for(sent: Sequence[Sent], late: set[str]) -> None:
    """Wait for confirms: briefly for those of requestors who are late already."""
    briefly = [confirm for message, confirm in sent if _key_of(message) in late]
    longer = [confirm for message, confirm in sent if _key_of(message) not in late]
    if longer:
        await asyncio.wait(longer, timeout=SUBSCRIBERS_S)
    if briefly:
        await asyncio.wait(briefly, timeout=BRIEFLY_S)


def _as_fit(late: Sequence[Sent], most: int) -> tuple[list[Sent], list[Sent]]:
    """The newest of each requestor's, as many as are its share, and the others."""
    if len(late) <= most:
        return list(late), []
    shares = _shares(Counter(_key_of(message) for message, _ in late), most)
    kept: list[Sent] = []
    let_go: list[Sent] = []
    for one in reversed(late):
        key = _key_of(one[0])
        (kept if shares[key] > 0 else let_go).append(one)
        shares[key] -= 1
    return kept[::-1], let_go[::-1]


def _shares(counts: Counter[str], most: int) -> dict[str, int]:
    """How many each may keep: those with few all, the others equally many."""
    shares = {}
    for sharers, (key, count) in reversed([*enumerate(counts.most_common(), start=1)]):
        shares[key] = min(count, most // sharers)
        most -= shares[key]
    return shares


def _is_lost(confirm: Confirm) -> bool:
    """Whether nobody knows what became of it; a refusal is known."""
    if confirm.cancelled():
        return True
    error = confirm.exception()
    return error is not None and not isinstance(error, DeliveryError)
