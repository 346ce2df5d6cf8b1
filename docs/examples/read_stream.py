"""Reads a requestor's own stream, KEY.log, with aio-pika, and goes on from where it was.

AMQP_URL=amqps://... python read_stream.py acme                     # all that it has
AMQP_URL=amqps://... python read_stream.py acme 2026-11-23T09:00Z   # from a point in time
AMQP_URL=amqps://... python read_stream.py acme 4711                # from an offset

A time without a zone is that of this machine.
The offset of what was read last is kept in acme.offset, which goes before the argument.
"""

import asyncio
import json
import os
import sys
from datetime import datetime
from pathlib import Path

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ChannelNotFoundEntity

#: The group is what an iterator with messages in hand says of a connection that is lost.
LOST = (*CONNECTION_EXCEPTIONS, ExceptionGroup)

#: Lost connections are tried again after this long.
PAUSE_S = 1.0
#: A stream has to have one. Events are handled one after the other, in their order.
PREFETCH = 100

#: Asking again would not make one.
NO_STREAM = (
    "there is no stream {0}.log: the operator makes one with"
    " `chainctl requestors grant {0} --stream`"
)

#: Nor would this be one the next time.
NO_PLACE = (
    "{0!r} is no place in a stream: say first, last, next, an offset as 4711,"
    " or a time as 2026-11-23T09:00Z"
)

#: Yours is a table with a unique column, written in the transaction of what you do.
seen: set[str] = set()

Position = str | int | datetime


def position(text: str, kept: Path) -> Position:
    """Where to begin: after what was read last, else where we are told to."""
    if kept.exists():
        return int(kept.read_text()) + 1
    if text.isdecimal():
        return int(text)
    if text in {"first", "last", "next"}:
        return text
    try:
        begin = datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        sys.exit(NO_PLACE.format(text))
    if begin.timestamp() < 0:  # AMQP counts seconds from 1970
        sys.exit(NO_PLACE.format(text))
    return begin


def keep(kept: Path, message: AbstractIncomingMessage) -> None:
    """Note how far we are; where this is lost, some events come again.

    Moved into place as a whole: whoever dies meanwhile leaves the old one.
    """
    new = kept.with_suffix(".new")
    new.write_text(str(message.headers["x-stream-offset"]))
    new.replace(kept)


async def handle(event: dict[str, object]) -> None:
    """What is to be done about an event."""
    print(json.dumps(event), flush=True)


async def read(url: str, key: str, begin: Position, kept: Path) -> None:
    """Read until the connection is lost."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=PREFETCH)
        log = await channel.get_queue(f"{key}.log", ensure=False)
        async with log.iterator(arguments={"x-stream-offset": begin}) as messages:
            print("subscribed", file=sys.stderr, flush=True)
            async for message in messages:
                event = json.loads(message.body)
                # The broker begins at a chunk: some events before a point in time come.
                early = isinstance(begin, datetime) and happened(event) < begin
                if not early and event["id"] not in seen:
                    await handle(event)
                    seen.add(event["id"])
                keep(kept, message)
                await message.ack()  # gives the broker leave to send more


def happened(event: dict[str, str]) -> datetime:
    """When it happened; in the stream it is a little later."""
    return datetime.fromisoformat(event["time"])


async def main(url: str, key: str, begin: str) -> None:
    """Read for ever."""
    kept = Path(f"{key}.offset")
    while True:
        try:
            await read(url, key, position(begin, kept), kept)
        except LOST as error:
            if isinstance(error, ChannelNotFoundEntity) and "no queue" in str(error):
                sys.exit(NO_STREAM.format(key))  # not one whose node is down
            print(f"away: {type(error).__name__}", file=sys.stderr, flush=True)
        await asyncio.sleep(PAUSE_S)


if __name__ == "__main__":
    asyncio.run(main(os.environ["AMQP_URL"], *[*sys.argv[1:], "first"][:2]))
