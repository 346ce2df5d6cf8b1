"""How many entries `chain.log` has, and how many of them are different.

A stream's offsets do not tell it: each new segment takes one for itself.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from aio_pika.abc import AbstractChannel
from aiormq.abc import AbstractChannel as Underlay
from aiormq.abc import DeliveredMessage

from orchestrator.ports import Queues

#: More than a chunk of a stream holds; of that, so many are acknowledged at a time.
_CREDIT: Final = 20_000
_ACK_EACH: Final = 1_000
#: After how long there is no more to come.
_QUIET_S: Final = 5.0


@dataclass
class Entries:
    """What is in the stream; ids by their hashes, as there may be millions."""

    count: int = 0
    _ids: set[int] = field(default_factory=set)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def different(self) -> int:
        """How many different messages there are."""
        return len(self._ids)

    def note(self, message_id: str | None) -> None:
        """One more."""
        self.count += 1
        self._ids.add(hash(message_id))
        self._news.set()

    async def quiet(self, quiet_s: float) -> None:
        """Wait until nothing has come for so long."""
        while True:
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), quiet_s)
            except TimeoutError:
                return


async def entries_of_log(channel: AbstractChannel) -> Entries:
    """Read the whole stream."""
    underlay: Underlay = await channel.get_underlay_channel()
    entries = Entries()

    async def take(message: DeliveredMessage) -> None:
        entries.note(message.header.properties.message_id)
        tag = message.delivery_tag
        if tag is not None and not tag % _ACK_EACH:
            await underlay.basic_ack(tag, multiple=True)

    await underlay.basic_qos(prefetch_count=_CREDIT)
    await underlay.basic_consume(Queues.LOG, take, arguments={"x-stream-offset": "first"})
    await entries.quiet(_QUIET_S)
    return entries
