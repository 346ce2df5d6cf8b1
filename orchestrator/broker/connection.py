"""Connections to the broker that come back by themselves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog
from aio_pika import RobustConnection
from aio_pika.exceptions import (
    CONNECTION_EXCEPTIONS,
    AuthenticationError,
    InvalidFrameError,
    ProbableAuthenticationError,
)
from aiormq.exceptions import ConnectionInternalError
from yarl import URL

from orchestrator.domain.errors import BrokerUnavailable, NotConfigured

_log = structlog.get_logger(__name__)

T = TypeVar("T")

#: Whoever hears nothing for about two of these gives the connection up for dead.
HEARTBEAT_S: Final = 10

#: A lost connection is tried again this often; the first try is made at once.
RECONNECT_S: Final = 1.0

#: One attempt to connect, from the first packet to the open virtual host.
ATTEMPT_S: Final = 5.0

#: How long a process that starts waits for its broker: longer than one needs to boot.
PATIENCE_S: Final = 30.0

#: Delays between attempts at start; the last one is repeated.
_START_DELAYS_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)

_SCHEMES: Final = frozenset({"amqp", "amqps"})
_SHAPE: Final = "amqp://USER:PASSWORD@HOST:5672/VHOST (or amqps://)"


def broker_url(url: str, name: str) -> URL:
    """The URL with our client name and heartbeat; what it says itself goes before.

    Raises:
        NotConfigured: it is no AMQP URL; the text does not repeat it.
    """
    try:
        parsed = URL(url)
        complete = parsed.scheme in _SCHEMES and parsed.host and parsed.port != 0
    except ValueError:
        parsed, complete = URL(), False
    if not complete:
        raise NotConfigured(f"the broker's URL must look like {_SHAPE}")
    return parsed.with_query({"name": name, "heartbeat": HEARTBEAT_S, **parsed.query})


async def connect(
    url: str, name: str, *, patience_s: float = PATIENCE_S
) -> RobustConnection:
    """Connect, waiting for a broker that is still starting.

    The connection shows up as `name` in the broker's management and comes back by itself
    when it is lost. Close it, or use it as an async context manager.

    Raises:
        NotConfigured: the URL, the credentials or the virtual host are wrong.
        BrokerUnavailable: nothing answered within `patience_s`.
    """
    target = broker_url(url, name)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_s
    attempt = 0
    while True:
        try:
            return _telling(await _attempt(target), name)
        except (*CONNECTION_EXCEPTIONS, TimeoutError) as error:
            _refuse_misconfigured(error, target)
        delay_s = _START_DELAYS_S[min(attempt, len(_START_DELAYS_S) - 1)]
        attempt += 1
        if loop.time() + delay_s > deadline:
            raise BrokerUnavailable(
                f"no broker answered at {_origin(target)} within {patience_s:g} s;"
                " start it, or correct the broker's URL"
            )
        await asyncio.sleep(delay_s)


async def _attempt(target: URL) -> RobustConnection:
    connection = RobustConnection(target, reconnect_interval=RECONNECT_S)
    async with contextlib.AsyncExitStack() as unless_connected:
        # Cancelled as well: one left to the garbage collector is closed at any moment.
        unless_connected.push_async_callback(connection.close)
        await connection.connect(timeout=ATTEMPT_S)
        unless_connected.pop_all()
    return connection


async def until_led(consume: Callable[[], Awaitable[T]]) -> T:
    """Begin to consume, again while the queue has no leader yet.

    Others see a quorum queue that is just being declared before it has one; to consume
    from it then makes the broker close the connection with an internal error (3.10.8).
    """
    for delay_s in _START_DELAYS_S:
        try:
            return await consume()
        except ConnectionInternalError:
            _log.warning("broker.queue_not_led", again_in_s=delay_s)
            await asyncio.sleep(delay_s)
    return await consume()


def _telling(connection: RobustConnection, name: str) -> RobustConnection:
    """Have it logged when the connection is lost and when it is back."""

    def lost(_: object, error: object) -> None:
        if connection.transport is not None:  # gone already when we close it ourselves
            _log.warning("broker.lost", connection=name, error=type(error).__name__)

    def back(_: object) -> None:
        _log.info("broker.back", connection=name)

    connection.close_callbacks.add(lost)
    connection.reconnect_callbacks.add(back)
    return connection


def _refuse_misconfigured(error: BaseException, target: URL) -> None:
    if isinstance(error, AuthenticationError | ProbableAuthenticationError):
        raise NotConfigured(
            f"the broker at {_origin(target)} refused the user or the password"
            " of the broker's URL"
        ) from None
    # aiormq reports the broker's `connection.close` at this stage as a wrong frame.
    if isinstance(error, InvalidFrameError):
        raise NotConfigured(
            f"the broker at {_origin(target)} has no such virtual host as the URL names,"
            " or this user may not enter it"
        ) from None


def _origin(target: URL) -> str:
    return str(target.origin())
