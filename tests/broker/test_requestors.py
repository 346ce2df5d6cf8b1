"""What a requestor's own credentials allow on the broker, and what they do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial

import pytest
from aio_pika import RobustConnection
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import (
    CONNECTION_EXCEPTIONS,
    AMQPError,
    ProbableAuthenticationError,
)

from orchestrator.broker.grants import TAG, user_of
from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.broker.topology import declare, own_log
from orchestrator.domain.errors import NotDone
from orchestrator.local.rabbitmq import Broker, amqp_connection
from orchestrator.ports import ENDPOINTS_EXCHANGE, EVENTS_EXCHANGE, Message, Queues
from tests.broker import integrators as try_to
from tests.broker.integrators import BOUNDS, Integrators, event_of, refused
from tests.broker.support import Operator, eventually, soon, take, work

pytestmark = pytest.mark.broker


@pytest.fixture
async def globex(
    integrators: Integrators, connection: RobustConnection
) -> AsyncIterator[AbstractConnection]:
    """A second integrator, beside acme, which has a queue and a stream."""
    await declare(connection, own_log("acme", age_max_s=3_600, bytes_max=10_000_000))
    async with integrators.admitted("acme") as acme:
        await try_to.declare_queue("acme.orders")(await acme.channel())
        await try_to.bind("acme.orders", "*.*.acme")(await acme.channel())
    async with integrators.admitted("globex") as connected:
        channel = await connected.channel()
        await try_to.declare_queue("globex.own")(channel)
        await try_to.declare_exchange("globex.exchange")(channel)
        yield connected


#: All that is not globex's own.
FOREIGN = (
    "acme.orders",
    "acme.log",
    Queues.LOG,
    Queues.CALLBACKS,
    Queues.SESSIONS,
    Queues.HISTORY,
    Queues.DEAD,
)


async def test_an_integrator_gets_its_own_events_and_no_others(
    integrators: Integrators, publisher: BrokerPublisher
) -> None:
    """Each has a queue with all that it may bind; each event is in one of them."""
    keys = ("acme", "globex")
    for key in keys:
        async with integrators.admitted(key) as connected, connected.channel() as channel:
            await try_to.declare_queue(f"{key}.own")(channel)
            for pattern in (f"#.{key}", f"session.*.{key}", f"*.*.{key}"):
                await try_to.bind(f"{key}.own", pattern)(channel)

    for key in keys:
        await event_of(publisher, key, f"of {key}")

    for key in keys:
        password = await integrators.grants.renew(key, BOUNDS)
        async with amqp_connection(integrators.url(key, password)) as connected:
            assert (await take(connected, f"{key}.own")).message_id == f"of {key}"
            assert await try_to.get(f"{key}.own")(await connected.channel()) is None


#: Each could match an event of somebody else, or is none of its own.
WIDE = (
    "#",
    "*.*.*",
    "session.#",
    "session.*.acme",
    "#.acme",
    "session.completed.not-globex",
    "endpoint.*._operator",
    "#.globex.#",
    "globex",
)

#: Match only own events, but the broker tries each way to share a key's words among the
#: `#`, for the events of everybody: 60 of them take it 10 s for one event.
COSTLY = ("#.#.globex", f"{'#.' * 60}globex", "#.*.#.globex", "*.*.*.globex")

#: Ways into what others read, some of them round a corner.
DETOURS = (
    try_to.publish("", Queues.CALLBACKS),
    try_to.publish("", "globex.own"),
    try_to.publish(EVENTS_EXCHANGE, "session.completed.globex"),
    try_to.publish(ENDPOINTS_EXCHANGE, ""),
    try_to.publish("amq.topic", "globex"),
    try_to.declare_queue(
        "globex.detour",
        **{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "history"},
    ),
    try_to.declare_queue("globex.detour", **{"x-dead-letter-exchange": EVENTS_EXCHANGE}),
    try_to.declare_exchange("globex.detour", **{"alternate-exchange": EVENTS_EXCHANGE}),
    try_to.declare_exchange("chain.mine"),
    try_to.declare_queue("globexes"),
    try_to.declare_queue(""),
    try_to.bind("globex.own", "#", ENDPOINTS_EXCHANGE),
    try_to.bind("globex.own", "#", "amq.topic"),
)


async def test_no_pattern_that_could_match_others_is_bound(
    globex: AbstractConnection,
) -> None:
    """Neither to a queue nor to an exchange of its own."""
    for pattern in WIDE:
        await refused(globex, try_to.bind("globex.own", pattern))
        await refused(globex, try_to.bind_exchange("globex.exchange", pattern))


async def test_no_pattern_that_slows_the_events_of_all_is_bound(
    globex: AbstractConnection,
) -> None:
    """What has more words than a type, or more than one `#`, is refused."""
    for pattern in COSTLY:
        await refused(globex, try_to.bind("globex.own", pattern))
        await refused(globex, try_to.bind_exchange("globex.exchange", pattern))
    for pattern in ("session.#.globex", "#.failed.globex", "chain.*.globex"):
        await soon(try_to.bind("globex.own", pattern)(await globex.channel()))


async def test_nothing_of_others_is_read_or_changed(globex: AbstractConnection) -> None:
    """A name is no secret, so it is no key either."""
    for queue in FOREIGN:
        await refused(globex, try_to.get(queue))
        await refused(globex, try_to.consume(queue))
        await refused(globex, try_to.purge(queue))
        await refused(globex, try_to.delete(queue))
        await refused(globex, try_to.declare_queue(queue))
        await refused(globex, try_to.bind(queue, "*.*.globex"))
        await refused(globex, try_to.unbind(queue, "*.*.acme"))


async def test_nothing_is_put_where_others_read(globex: AbstractConnection) -> None:
    """No way leads into a work queue or an exchange of ours."""
    for detour in DETOURS:
        await refused(globex, detour)


async def test_its_own_log_is_for_reading_only(
    integrators: Integrators, connection: RobustConnection
) -> None:
    """It can be neither deleted, nor filled, nor taken off the events by its reader."""
    await declare(connection, own_log("acme", age_max_s=3_600, bytes_max=10_000_000))
    async with integrators.admitted("acme") as acme:
        await soon(try_to.consume("acme.log")(await acme.channel()))
        for attempt in (
            try_to.delete("acme.log"),
            try_to.declare_queue("acme.log"),
            try_to.bind("acme.log", "session.*.acme"),
            try_to.unbind("acme.log", "*.*.acme"),
        ):
            await refused(acme, attempt)


async def test_a_log_is_read_from_an_offset_and_from_a_time(
    integrators: Integrators, publisher: BrokerPublisher, connection: RobustConnection
) -> None:
    """It has its requestor's events only, each with its place."""
    log = own_log("acme", age_max_s=3_600, bytes_max=10_000_000)
    await declare(connection, log)
    await declare(connection, log)
    before = datetime.now(UTC)
    for number, key in enumerate(["acme", "globex", "acme"]):
        await event_of(publisher, key, f"e{number}")

    async with integrators.admitted("acme") as acme:
        assert await _read(acme, 0, 2) == [(0, "e0"), (1, "e2")]
        assert await _read(acme, 1, 1) == [(1, "e2")]
        assert await _read(acme, before, 2) == [(0, "e0"), (1, "e2")]


async def _read(
    connection: AbstractConnection, begin: int | datetime, count: int
) -> list[tuple[object, str | None]]:
    async with connection.channel() as channel:
        await channel.set_qos(prefetch_count=10)
        log = await channel.get_queue("acme.log", ensure=False)
        async with log.iterator(arguments={"x-stream-offset": begin}) as messages:
            read = [await soon(anext(messages)) for _ in range(count)]
            return [(one.headers["x-stream-offset"], one.message_id) for one in read]


async def test_a_full_queue_of_theirs_holds_up_nothing_of_ours(
    integrators: Integrators, publisher: BrokerPublisher, connection: RobustConnection
) -> None:
    """It refuses every event; that is counted, and what was published beside it is in."""
    full: dict[str, str | int] = {"x-max-length": 0, "x-overflow": "reject-publish"}
    async with integrators.admitted("globex") as globex, globex.channel() as channel:
        await try_to.declare_queue("globex.full", **full)(channel)
        await try_to.bind("globex.full", "#.globex")(channel)

    await soon(
        publisher.publish(
            *(
                Message(
                    id=f"e{number}",
                    exchange=EVENTS_EXCHANGE,
                    routing_key="session.completed.globex",
                    body=b"{}",
                )
                for number in range(100)
            ),
            work(1),
        )
    )

    assert publisher.trouble.refused == 100
    assert (await take(connection, Queues.CALLBACKS)).message_id == "m1"


async def test_a_queue_that_nobody_empties_keeps_the_newest(
    integrators: Integrators, publisher: BrokerPublisher, operator: Operator
) -> None:
    """Whatever its arguments ask for, it takes no more room than it was granted."""
    async with (
        integrators.admitted("globex", queue_bytes_max=100_000) as globex,
        globex.channel() as channel,
    ):
        await try_to.declare_queue("globex.own", **{"x-max-length-bytes": 10**9})(channel)
        await try_to.bind("globex.own", "#.globex")(channel)
        await eventually(lambda: _limited(operator, "globex.own"))
        await publisher.publish(
            *(
                Message(
                    id=f"e{number}",
                    exchange=EVENTS_EXCHANGE,
                    routing_key="session.completed.globex",
                    body=bytes(10_000),
                )
                for number in range(30)
            )
        )

        assert (await take(globex, "globex.own")).message_id == "e20"


async def _limited(operator: Operator, queue: str) -> dict[str, int] | None:
    """What holds for a queue, as soon as something does."""
    return (await operator.queues())[queue].effective_policy_definition


async def test_every_kind_of_queue_is_bounded(
    integrators: Integrators, operator: Operator
) -> None:
    """A stream knows no expiry, and is bounded by its size all the same."""
    kinds = ("classic", "quorum", "stream")
    async with integrators.admitted("globex") as globex, globex.channel() as channel:
        for kind in kinds:
            queue = try_to.declare_queue(f"globex.{kind}", **{"x-queue-type": kind})
            await queue(channel)

    size = {"max-length-bytes": 1_000_000}
    times = {"expires": 3_600_000, "message-ttl": 3_600_000}
    assert [
        await eventually(partial(_limited, operator, f"globex.{kind}")) for kind in kinds
    ] == [size | times, size | times, size]


async def test_connections_and_channels_are_limited(integrators: Integrators) -> None:
    """Who opens more than it was granted is refused, and others are not."""
    url = await integrators.admit("globex", connections_max=1, channels_max=2)
    async with amqp_connection(url) as globex:
        with pytest.raises(CONNECTION_EXCEPTIONS):
            async with amqp_connection(url):
                pass
        async with globex.channel(), globex.channel():
            with pytest.raises(AMQPError, match="maximum allowed user limit"):
                await globex.channel().initialize()
    async with integrators.admitted("acme") as acme, acme.channel():
        pass


async def test_rotating_ends_what_the_old_password_opened(
    integrators: Integrators,
) -> None:
    """The connection is closed, the old password refused, and the new one works."""
    url = await integrators.admit("acme")
    async with amqp_connection(url) as acme:
        await try_to.declare_queue("acme.own")(await acme.channel())
        closed = _closed(acme)
        password = await integrators.grants.renew("acme", BOUNDS)
        await soon(closed.wait())
    with pytest.raises(ProbableAuthenticationError):
        async with amqp_connection(url):
            pass
    async with amqp_connection(integrators.url("acme", password)) as again:
        assert await try_to.get("acme.own")(await again.channel()) is None


async def test_revoking_ends_everything_but_the_queues(
    integrators: Integrators, operator: Operator
) -> None:
    """They and their limits go only when that is asked for; twice is as good as once."""
    grants = integrators.grants
    url = await integrators.admit("acme")
    async with amqp_connection(url) as acme:
        channel = await acme.channel()
        await try_to.declare_queue("acme.own")(channel)
        await try_to.declare_exchange("acme.exchange")(channel)
        closed = _closed(acme)
        assert await grants.take("acme")
        await soon(closed.wait())
    with pytest.raises(ProbableAuthenticationError):
        async with amqp_connection(url):
            pass
    assert not await grants.take("acme")
    assert "acme.own" in await operator.queues()

    assert [queue.name for queue in await grants.clear("acme")] == ["acme.own"]
    assert await grants.clear("acme") == []
    assert "acme.own" not in await operator.queues()


def _closed(connection: AbstractConnection) -> asyncio.Event:
    closed = asyncio.Event()
    connection.close_callbacks.add(lambda *_: closed.set())
    return closed


async def test_a_user_that_we_did_not_make_is_left_alone(
    integrators: Integrators, broker: Broker
) -> None:
    """An operator's user may have the name of a requestor's; it keeps its password."""
    grants = integrators.grants
    name = user_of("acme", grants.vhost)
    theirs = {"password_hash": "", "tags": f"{TAG},monitoring"}
    await broker.management.put("users", name, content={**theirs})
    try:
        for attempt in (
            grants.give("acme", BOUNDS),
            grants.renew("acme", BOUNDS),
            grants.take("acme"),
        ):
            with pytest.raises(NotDone, match="which was not made here"):
                await attempt
        assert (await grants.standing("acme")).user is None
    finally:
        await broker.management.delete("users", name)


async def test_granting_again_keeps_the_password(integrators: Integrators) -> None:
    """Limits are brought up to date; who is connected stays."""
    url = await integrators.admit("acme", connections_max=1)
    async with amqp_connection(url):
        assert await integrators.grants.give("acme", BOUNDS) is None
        async with amqp_connection(url):
            pass


async def test_a_grant_that_was_cut_short_is_finished(
    integrators: Integrators, broker: Broker
) -> None:
    """Nobody came in without limits, and the password that nobody saw was none."""
    name = user_of("acme", integrators.grants.vhost)
    made = {"password_hash": "", "tags": TAG}
    await broker.management.put("users", name, content={**made})
    async with integrators.admitted("acme") as acme, acme.channel():
        pass


async def test_rotating_without_a_user_says_what_to_do(integrators: Integrators) -> None:
    """There is nothing to change yet."""
    with pytest.raises(NotDone, match="chainctl requestors grant acme"):
        await integrators.grants.renew("acme", BOUNDS)


async def test_what_each_has_is_told(integrators: Integrators) -> None:
    """Also of one that nobody asked about, and nothing of another virtual host."""
    async with integrators.admitted("acme") as acme:
        await try_to.declare_queue("acme.own")(await acme.channel())
        await integrators.admit("globex")
        grants = integrators.grants
        acmes, nobodys, globexes = await grants.standings(["acme", "nobody"])

        assert acmes.user == user_of("acme", grants.vhost)
        assert [(queue.name, queue.messages) for queue in acmes.queues] == [
            ("acme.own", 0)
        ]
        assert not acmes.has_log
        assert (nobodys.user, nobodys.queues, nobodys.connections) == (None, (), 0)
        assert globexes.key == "globex"

        async def connected() -> bool:
            return (await grants.standing("acme")).connections == 1

        await eventually(connected)
