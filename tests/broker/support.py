"""What broker tests share: the management API, a look into queues."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

import aiohttp
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage
from pydantic import BaseModel, TypeAdapter
from yarl import URL

from orchestrator.local.rabbitmq import Broker
from orchestrator.ports import Message

T = TypeVar("T")

#: Longer than anything here takes, shorter than a test may take.
SOON_S = 20.0

#: Between two looks at a state that the broker does not tell by itself.
LOOK_S = 0.05


async def soon(awaitable: Awaitable[T]) -> T:
    """What is awaited, or a failure after a bounded time."""
    return await asyncio.wait_for(awaitable, SOON_S)


async def eventually(look: Callable[[], Awaitable[T | None]]) -> T:
    """The first look that finds something."""
    async with asyncio.timeout(SOON_S):
        while not (found := await look()):  # noqa: ASYNC110 - the broker tells nobody
            await asyncio.sleep(LOOK_S)
    return found


def work(number: int, *, queue: str = "callbacks", body: bytes = b"{}") -> Message:
    """A message for a work queue."""
    return Message(id=f"m{number}", routing_key=queue, body=body)


async def take(connection: AbstractConnection, queue: str) -> AbstractIncomingMessage:
    """The next message of a queue, acknowledged."""
    async with connection.channel() as channel:
        source = await channel.get_queue(queue, ensure=False)
        # Not consumed: a consumer would touch the messages behind this one, too.
        message = await eventually(lambda: source.get(fail=False))
        await message.ack()
        return message


def headers_of(message: AbstractIncomingMessage) -> dict[str, object]:
    """The headers, without the broker's note about this very delivery."""
    return {
        name: value
        for name, value in message.headers.items()
        if name != "x-delivery-count"
    }


async def is_empty(connection: AbstractConnection, queue: str) -> bool:
    """Whether the queue has nothing to give; nothing is left in it."""
    async with connection.channel() as channel:
        # Purged: a queue with a single active consumer cannot be looked into.
        source = await channel.get_queue(queue, ensure=False)
        return (await source.purge()).message_count == 0


class ListedConnection(BaseModel):
    """A connection as the management API lists it."""

    name: str
    vhost: str
    user_provided_name: str = ""


class ListedQueue(BaseModel):
    """A queue as the management API lists it."""

    name: str
    durable: bool
    arguments: dict[str, str | int | bool]
    #: What policies make of it; told a little after it is declared.
    effective_policy_definition: dict[str, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Operator:
    """Somebody with the broker's management open, looking at one vhost."""

    broker: Broker
    vhost: str

    async def cut(self, name: str) -> None:
        """Close the connection of this name, as soon as the broker lists it."""

        async def close() -> bool:
            listed = [one for one in await self._connections() if _is(one, self, name)]
            for one in listed:
                await self._call("DELETE", f"/api/connections/{quote(one.name, safe='')}")
            return bool(listed)

        await eventually(close)

    async def queues(self) -> dict[str, ListedQueue]:
        """The vhost's queues by name."""
        body = await self._call("GET", f"/api/queues/{quote(self.vhost, safe='')}")
        listed = TypeAdapter(list[ListedQueue]).validate_json(body)
        return {queue.name: queue for queue in listed}

    async def _connections(self) -> list[ListedConnection]:
        body = await self._call("GET", "/api/connections")
        return TypeAdapter(list[ListedConnection]).validate_json(body)

    async def _call(self, method: str, path: str) -> bytes:
        login = aiohttp.encode_basic_auth(self.broker.user, self.broker.password)
        url = URL(self.broker.management_url + path, encoded=True)
        async with (
            aiohttp.ClientSession(headers={"Authorization": login}) as session,
            session.request(method, url) as answer,
        ):
            return await answer.read()


def _is(listed: ListedConnection, operator: Operator, name: str) -> bool:
    return listed.vhost == operator.vhost and listed.user_provided_name == name
