"""Server-sent events over ASGI: one answer that is told bit by bit.

Streams end with the client, with what they tell of, or with the server, whichever is
first; none of them keeps a process from stopping (G9).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Final

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from orchestrator.gateway.faults import Overloaded

#: As the IRMA server's library sends them (reference irma.md §1.3).
HEADERS: Final[Mapping[str, str]] = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "Connection": "keep-alive",
    "X-Accel-Buffering": "no",
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, OPTIONS",
    "Access-Control-Allow-Headers": (
        "Keep-Alive,X-Requested-With,Cache-Control,Content-Type,Last-Event-ID"
    ),
}


class Streams:
    """The streams that this process is telling."""

    def __init__(self) -> None:
        self._telling: set[asyncio.Future[None]] = set()
        self._closed = False

    def close(self) -> None:
        """End all of them; those that come now end at once."""
        self._closed = True
        for telling in self._telling:
            telling.cancel()

    async def run(
        self, telling: asyncio.Future[None], leaving: asyncio.Future[None]
    ) -> None:
        """Let a stream be told until its end, its client's or ours."""
        if not self._closed:
            self._telling.add(telling)
            try:
                await asyncio.wait(
                    {telling, leaving}, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                self._telling.discard(telling)


class Places:
    """How many streams a process may tell at a time, and how many about one thing (G8).

    So nobody who knows one token or page keeps all the others out.
    """

    def __init__(self, *, places_max: int, each_max: int) -> None:
        self._places_max = places_max
        self._each_max = each_max
        self._taken: Counter[str] = Counter()

    def take(self, key: str) -> Place:
        """A place for one more stream about this, until it is freed.

        Raises:
            Overloaded: there are too many already.
        """
        if self._taken[key] >= self._each_max:
            raise Overloaded("too many follow this one; poll its status instead")
        if self._taken.total() >= self._places_max:
            raise Overloaded("too many follow something here; poll the status instead")
        self._taken[key] += 1
        return Place(lambda: self._free(key))

    def _free(self, key: str) -> None:
        self._taken[key] -= 1
        if not self._taken[key]:
            del self._taken[key]


class Place:
    """A place that was taken; freeing it again does nothing."""

    def __init__(self, free: Callable[[], None]) -> None:
        self._free: Callable[[], None] | None = free

    def free(self) -> None:
        """Let somebody else have it."""
        free, self._free = self._free, None
        if free is not None:
            free()


class EventStream(Response):
    """An answer whose frames come as they happen; its place is freed at its end."""

    def __init__(
        self,
        frames: AsyncGenerator[bytes, None],
        streams: Streams,
        place: Place,
        headers: Mapping[str, str] = HEADERS,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers(headers)
        self._frames = frames
        self._streams = streams
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell until the frames end or the client has gone."""
        del scope
        try:
            await self._answer(receive, send)
        finally:
            self._place.free()

    async def _answer(self, receive: Receive, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        telling = asyncio.ensure_future(self._tell(send))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await self._streams.run(telling, leaving)
            left = leaving.done()
        finally:
            telling.cancel()
            leaving.cancel()
            await asyncio.gather(telling, leaving, return_exceptions=True)
        if not telling.cancelled():
            telling.result()
        if not left:
            await send(_part(b"", more=False))

    async def _tell(self, send: Send) -> None:
        async with aclosing(self._frames) as frames:
            async for frame in frames:
                await send(_part(frame, more=True))


async def _left(receive: Receive) -> None:
    """Wait until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _part(body: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}
