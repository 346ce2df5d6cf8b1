"""Follows a requestor's events on a queue of its own, with plain aio-pika.

AMQP_URL=amqps://... python subscribe_aio_pika.py acme
"""

import asyncio
import json
import os
import sys

import aio_pika
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

#: The group is what an iterator with messages in hand says of a connection that is lost.
LOST = (*CONNECTION_EXCEPTIONS, ExceptionGroup)

#: Lost connections are tried again after this long.
PAUSE_S = 1.0
#: Events in hand. They are handled one after the other, so their order stays.
PREFETCH = 50

#: Yours is a table with a unique column, written in the transaction of what you do.
seen: set[str] = set()


async def handle(event: dict[str, object]) -> None:
    """What is to be done about an event; if it fails, the event comes again."""
    print(json.dumps(event), flush=True)


async def follow(url: str, key: str) -> None:
    """Take events until the connection is lost; those not acknowledged come again."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=PREFETCH)
        queue = await channel.declare_queue(f"{key}.aio-pika", durable=True)
        # A type has one dot, as session.completed; "session.*.acme" takes fewer.
        await queue.bind("chain.events", f"*.*.{key}")
        print("subscribed", file=sys.stderr, flush=True)
        async with queue.iterator() as messages:
            async for message in messages:
                event = json.loads(message.body)
                if event["id"] not in seen:
                    await handle(event)
                    seen.add(event["id"])
                await message.ack()


async def main(url: str, key: str) -> None:
    """Follow for ever."""
    while True:
        try:
            await follow(url, key)
        except LOST as error:
            print(f"away: {type(error).__name__}", file=sys.stderr, flush=True)
        await asyncio.sleep(PAUSE_S)


if __name__ == "__main__":
    asyncio.run(main(os.environ["AMQP_URL"], sys.argv[1]))
