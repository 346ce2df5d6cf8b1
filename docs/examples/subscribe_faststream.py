"""Follows a requestor's events on a queue of its own, with FastStream.

AMQP_URL=amqps://... python subscribe_faststream.py acme
"""

import asyncio
import json
import os
import sys

from faststream import AckPolicy, FastStream
from faststream.rabbit import (
    Channel,
    ExchangeType,
    RabbitBroker,
    RabbitExchange,
    RabbitMessage,
    RabbitQueue,
)

key = sys.argv[1]

# One event in hand keeps their order; more are handled at the same time.
broker = RabbitBroker(os.environ["AMQP_URL"], default_channel=Channel(prefetch_count=1))
app = FastStream(broker)

# The exchange is not ours to declare.
events = RabbitExchange("chain.events", type=ExchangeType.TOPIC, declare=False)
# A type has one dot, as session.completed; "session.*.acme" takes fewer.
queue = RabbitQueue(f"{key}.faststream", durable=True, routing_key=f"*.*.{key}")

#: Yours is a table with a unique column, written in the transaction of what you do.
seen: set[str] = set()


@broker.subscriber(queue, events, ack_policy=AckPolicy.NACK_ON_ERROR)
async def on_event(message: RabbitMessage) -> None:
    """What is to be done about an event; if it fails, the event comes again."""
    event = json.loads(message.body)
    if event["id"] in seen:
        return
    print(json.dumps(event), flush=True)
    seen.add(event["id"])


@app.after_startup
async def started() -> None:
    """Say that nothing is missed from now on."""
    print("subscribed", file=sys.stderr, flush=True)


if __name__ == "__main__":
    asyncio.run(app.run())
