"""What has to exist on the broker, as data in one place (DESIGN §5).

Work is published to its queue by name, so there is nothing of ours to bind; a binding is
what a subscriber's own stream has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import ChannelClosed, ChannelPreconditionFailed

from orchestrator.domain.errors import NotConfigured
from orchestrator.domain.parting import PARTS_MAX
from orchestrator.ports import (
    ENDPOINTS_EXCHANGE,
    EVENTS_EXCHANGE,
    LANES,
    Queues,
    history_queue,
)

Arguments = dict[str, str | int | bool]

#: Deliveries of one message before it is set aside as undeliverable. Every lost
#: connection counts against each message in hand (reference delivery.md §21).
DELIVERY_LIMIT: Final = 20

#: `dead` never gives up. Not -1, which a 3.x broker takes for 0 and a 4.x for no limit,
#: and not nothing, which a 4.x broker takes for 20 and then drops.
NO_DELIVERY_LIMIT: Final = 2_000_000_000

#: How much of the past `chain.log` keeps: whichever bound is met first.
LOG_AGE_MAX: Final = "30D"
LOG_BYTES_MAX: Final = 4_000_000_000

#: Retention drops whole segments, so they are small against the bound.
LOG_SEGMENT_BYTES: Final = 100_000_000


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A durable exchange."""

    name: str
    type: str


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A durable queue and the arguments that make it what it is."""

    name: str
    arguments: Arguments


@dataclass(frozen=True, kw_only=True)
class Binding:
    """What a queue gets from an exchange."""

    queue: str
    exchange: str
    routing_key: str


@dataclass(frozen=True, kw_only=True)
class Topology:
    """Exchanges, queues and bindings, declared in this order."""

    exchanges: tuple[Exchange, ...] = ()
    queues: tuple[Queue, ...] = ()
    bindings: tuple[Binding, ...] = ()


def work_queue(name: str, **more: str | int | bool) -> Queue:
    """A queue whose messages are never lost.

    Dead-lettering at least once needs `reject-publish`; without it the broker falls back
    to at most once and says nothing. There is no maximum length: what waits, waits.
    """
    return Queue(
        name=name,
        arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-overflow": "reject-publish",
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": Queues.DEAD,
            "x-dead-letter-strategy": "at-least-once",
            **more,
        },
    )


def dead_queue(name: str) -> Queue:
    """Where undeliverable messages stay until somebody decides."""
    return Queue(
        name=name,
        arguments={"x-queue-type": "quorum", "x-delivery-limit": NO_DELIVERY_LIMIT},
    )


def stream(
    name: str, *, age_max: str = LOG_AGE_MAX, bytes_max: int = LOG_BYTES_MAX
) -> Queue:
    """An append-only log that many can read from any point."""
    return Queue(
        name=name,
        arguments={
            "x-queue-type": "stream",
            "x-max-age": age_max,
            "x-max-length-bytes": bytes_max,
            "x-stream-max-segment-size-bytes": min(LOG_SEGMENT_BYTES, bytes_max // 10),
        },
    )


def own_log(key: str, *, age_max_s: float, bytes_max: int) -> Topology:
    """A requestor's own log: all its events, and nobody else's."""
    log = stream(f"{key}.log", age_max=f"{age_max_s:.0f}s", bytes_max=bytes_max)
    # A type has one dot: `session.completed.acme`.
    binding = Binding(queue=log.name, exchange=EVENTS_EXCHANGE, routing_key=f"*.*.{key}")
    return Topology(queues=(log,), bindings=(binding,))


def installed(history_parts: int = 1) -> Topology:
    """All of ours, with the history in so many parts."""
    history = (
        work_queue(history_queue(part), **{"x-single-active-consumer": True})
        for part in range(history_parts)
    )
    return Topology(
        exchanges=(
            Exchange(name=EVENTS_EXCHANGE, type="topic"),
            Exchange(name=ENDPOINTS_EXCHANGE, type="fanout"),
        ),
        queues=(
            dead_queue(Queues.DEAD),
            *map(work_queue, LANES.values()),
            work_queue(Queues.SESSIONS),
            *history,
            stream(Queues.LOG),
        ),
    )


TOPOLOGY: Final = installed()

#: The names that may be told in errors; any other routing key may be somebody's id.
QUEUE_NAMES: Final = frozenset(queue.name for queue in TOPOLOGY.queues)


async def declare(connection: AbstractConnection, topology: Topology = TOPOLOGY) -> None:
    """Create what is missing; what exists as described stays as it is.

    Raises:
        NotConfigured: something exists with other properties; names it and the remedy.
    """
    channel = await connection.channel()
    try:
        await _declare_all(channel, topology)
    except ChannelPreconditionFailed as error:
        raise mismatch(str(error)) from None
    finally:
        await channel.close()


async def require(channel: AbstractChannel, queue: str) -> None:
    """Make sure a queue exists before somebody consumes from it.

    Raises:
        NotConfigured: it does not; the channel is closed by that.
    """
    try:
        await channel.declare_queue(queue, passive=True)
    except ChannelClosed:
        raise NotConfigured(
            f"queue '{queue}' does not exist or may not be read;"
            " declare the topology first, with a user who may"
        ) from None


async def left_parts(connection: AbstractConnection, history_parts: int) -> list[int]:
    """Parts of the history that are no more, whose queues are still there.

    They are looked for upwards, up to the first that is missing: the broker logs each
    look for one of these as an error.
    """
    found: list[int] = []
    for part in range(history_parts, PARTS_MAX):
        try:
            await require(await connection.channel(), history_queue(part))
        except NotConfigured:
            break
        found.append(part)
    return found


async def _declare_all(channel: AbstractChannel, topology: Topology) -> None:
    for exchange in topology.exchanges:
        await channel.declare_exchange(exchange.name, exchange.type, durable=True)
    for wanted in topology.queues:
        await channel.declare_queue(
            wanted.name, durable=True, arguments=dict(wanted.arguments)
        )
    for binding in topology.bindings:
        queue = await channel.get_queue(binding.queue, ensure=False)
        await queue.bind(binding.exchange, binding.routing_key)


_INEQUIVALENT: Final = re.compile(
    r"inequivalent arg '(?P<argument>[^']+)'"
    r" for (?P<kind>queue|exchange) '(?P<name>[^']+)'"
    r".*: received (?P<wanted>.+?) but current is (?P<actual>.+)$",
    re.DOTALL,
)


def mismatch(refusal: str) -> NotConfigured:
    """What a broker's PRECONDITION_FAILED means, and what to do about it."""
    found = _INEQUIVALENT.search(refusal)
    if found is None:
        return NotConfigured(
            "the broker refuses the topology: it has something else there"
        )
    kind, name = found["kind"], found["name"]
    remedy = f"empty it, then delete it (rabbitmqctl delete_{kind} {name})"
    if kind == "exchange":
        remedy = "delete it in the broker's management"
    return NotConfigured(
        f"{kind} '{name}' exists with another '{found['argument']}':"
        f" {found['actual']} instead of {found['wanted']}; {remedy} and start again,"
        " or use another virtual host"
    )
