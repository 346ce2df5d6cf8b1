"""Who looks on: an integrator's own queue of events, and users' chain pages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import aiohttp
from aio_pika.abc import AbstractIncomingMessage

from orchestrator.broker.connection import connect
from orchestrator.broker.settling import ack
from orchestrator.ports import EVENTS_EXCHANGE
from orchestrator.proof.outage_books import Told, Viewing
from schemas.chain_page import ChainPage, PageState
from schemas.events import EndpointChanged, parse_event
from schemas.irma import SessionPointer

#: An integrator's own: durable, so that nothing is missed while the broker is away.
_QUEUE: Final = "demo.outage"
_PREFETCH: Final = 200
#: So many are acknowledged at once; the last few stay the broker's, who goes with them.
_ACK_EACH: Final = 20

#: How soon a browser comes back to a stream that ended, as the stream itself says.
_COME_BACK_S: Final = 1.0

#: The stream says something every 15 s at least.
_DATA: Final = b"data: "
_STREAM_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=60)


class NotSeen(Exception):
    """What a user or a requestor waited for did not show; the text says why."""


@dataclass(kw_only=True)
class Subscriber:
    """Takes in every event, and tells who waits for a session to be started."""

    told: list[Told] = field(default_factory=list)
    _started: dict[tuple[str, int], asyncio.Event] = field(default_factory=dict)

    async def take(self, message: AbstractIncomingMessage) -> None:
        """Note one event."""
        event = parse_event(message.body)
        if not isinstance(event, EndpointChanged):
            told = Told(
                id=event.id,
                type=event.type,
                chain_id=event.chainid,
                step=event.step,
                generation=event.generation,
                sequence=event.sequence or 0,
            )
            self.told.append(told)
            if told.type == "session.started":
                self._news(told.chain_id, told.step).set()
        if (message.delivery_tag or 0) % _ACK_EACH == 0:
            await ack(message, all_before=True)

    async def started(self, chain_id: str, step: int) -> None:
        """Wait until this session is announced."""
        await self._news(chain_id, step).wait()

    def _news(self, chain_id: str, step: int) -> asyncio.Event:
        return self._started.setdefault((chain_id, step), asyncio.Event())


@asynccontextmanager
async def subscribed(broker_url: str) -> AsyncIterator[Subscriber]:
    """An integrator's subscription to everything."""
    subscriber = Subscriber()
    async with await connect(broker_url, "outage subscriber") as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=_PREFETCH)
        queue = await channel.declare_queue(_QUEUE, durable=True)
        await queue.bind(EVENTS_EXCHANGE, "#")
        await queue.consume(subscriber.take)
        yield subscriber


@dataclass(kw_only=True)
class Page:
    """One chain page as a browser follows it.

    Attributes:
        cut: how often a stream that was open ended before the chain did.
        refused: when it could not be opened, and the status of the answer.
    """

    chain_id: str
    cut: int = 0
    refused: list[tuple[float, int]] = field(default_factory=list)
    shown: ChainPage | None = None
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def follow(self, http: aiohttp.ClientSession, url: str) -> None:
        """Look on until the chain is over, coming back as browsers do."""
        while self.shown is None or not self.shown.state.over:
            try:
                await self._stream(http, f"{url}/statusevents")
            except (aiohttp.ClientError, TimeoutError):
                self.cut += 1
            await asyncio.sleep(_COME_BACK_S)

    @property
    def viewing(self) -> Viewing:
        """What came of it."""
        return Viewing(chain_id=self.chain_id, cut=self.cut, refused=self.refused)

    async def second_pointer(self) -> SessionPointer:
        """What the page says the app is to scan next."""
        page = await self._until(
            lambda page: page.step > 1 and page.session_ptr is not None
        )
        if page.session_ptr is None:
            raise NotSeen(f"its page shows no second session, but {page.state}")
        return page.session_ptr

    async def over(self) -> None:
        """Wait until the page says that the chain is over, and well."""
        page = await self._until(lambda page: page.state.over)
        if page.state is not PageState.COMPLETED:
            raise NotSeen(f"its page ends with {page.state}")

    async def _until(self, condition: Callable[[ChainPage], bool]) -> ChainPage:
        """What the page shows once the condition holds, or the chain is over."""
        async with self._news:
            while True:
                page = self.shown
                if page is not None and (condition(page) or page.state.over):
                    return page
                await self._news.wait()

    async def _stream(self, http: aiohttp.ClientSession, url: str) -> None:
        async with http.get(url, timeout=_STREAM_TIMEOUT) as response:
            if response.status != HTTPStatus.OK:
                self.refused.append((time.time(), response.status))
                return
            async for line in response.content:
                if line.startswith(_DATA):
                    await self._show(ChainPage.model_validate_json(line[len(_DATA) :]))
        if self.shown is None or not self.shown.state.over:
            self.cut += 1

    async def _show(self, page: ChainPage) -> None:
        async with self._news:
            self.shown = page
            self._news.notify_all()


@asynccontextmanager
async def following_page(
    http: aiohttp.ClientSession, chain_id: str, url: str
) -> AsyncIterator[Page]:
    """A browser with the page open, until the context closes."""
    page = Page(chain_id=chain_id)
    following = asyncio.create_task(page.follow(http, url))
    try:
        yield page
    finally:
        following.cancel()
        await asyncio.wait({following})
