"""Follows sessions as requestors do: by server-sent events (reference irma.md §1.3).

An IRMA server knows when a session changes; we have to ask. One poller per session and
process asks for all who listen, and stops with the last of them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import structlog

from orchestrator.gateway.sse import Place, Places
from schemas.irma import Status

_log = structlog.get_logger(__name__)

#: How often a session is asked for; the stock frontend polls as often.
POLL_S: Final = 0.5

#: How long after somebody subscribed all listeners of a session get `event: open`.
OPEN_S: Final = 0.2

#: Listeners per process: each session among them is a call to the backend per `POLL_S`.
LISTENERS_MAX: Final = 500
LISTENERS_EACH_MAX: Final = 20

#: What a listener may have to be told yet: a session changes four times at most, the rest
#: is `event: open`.
_UNTOLD_MAX: Final = 8

_OPEN: Final = b"event: open\n\n"

#: What a session's status is, or None when that is not known just now.
Look = Callable[[], Awaitable[Status | None]]


class Listener:
    """Somebody who is to be told of a session's changes."""

    def __init__(self, told: Status) -> None:
        """Begin with the status that the listener knows already."""
        self.told = told
        self._abandoned = False
        self._news: asyncio.Queue[Status | None] = asyncio.Queue()

    def tell(self, news: Status | None) -> None:
        """Put news in; None stands for `event: open`, which may get lost."""
        if news is not None or self._news.qsize() < _UNTOLD_MAX:
            self._news.put_nowait(news)

    def abandon(self) -> None:
        """End the frames: nobody looks any more; whoever listens may come back."""
        self._abandoned = True
        self._news.put_nowait(None)

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """The changes as frames, up to the final status; nothing is repeated."""
        while not self.told.final:
            news = await self._news.get()
            if self._abandoned:
                return
            if news is None:
                yield _OPEN
            elif news is not self.told:
                self.told = news
                yield f"data: {json.dumps(news)}\n\n".encode()


class _Session:
    """One session that is followed, by whom, and what was last seen of it."""

    def __init__(self) -> None:
        self.listeners: set[Listener] = set()
        self.seen: Status | None = None
        self.poller: asyncio.Task[None] | None = None

    def tell(self, news: Status | None) -> None:
        for listener in self.listeners:
            listener.tell(news)


class Following:
    """Who follows which sessions in this process."""

    def __init__(
        self,
        *,
        poll_s: float = POLL_S,
        open_s: float = OPEN_S,
        listeners_max: int = LISTENERS_MAX,
        each_max: int = LISTENERS_EACH_MAX,
    ) -> None:
        self._poll_s = poll_s
        self._open_s = open_s
        self._places = Places(places_max=listeners_max, each_max=each_max)
        self._sessions: dict[str, _Session] = {}

    @property
    def listeners(self) -> int:
        """How many listen."""
        return sum(len(session.listeners) for session in self._sessions.values())

    def admit(self, key: str) -> Place:
        """A place for one more listener to this session.

        Raises:
            Overloaded: too many listen already (G8).
        """
        return self._places.take(key)

    async def frames(
        self, key: str, told: Status, look: Look
    ) -> AsyncGenerator[bytes, None]:
        """What happens to a session from now on.

        Args:
            key: what names the session in this process.
            told: its status as it was looked up a moment ago.
            look: looks at it again; only the first listener's is used.
        """
        with self._listening(key, told, look) as listener:
            async for frame in listener.frames():
                yield frame

    @contextmanager
    def _listening(self, key: str, told: Status, look: Look) -> Iterator[Listener]:
        session = self._sessions.setdefault(key, _Session())
        listener = Listener(told)
        if session.seen is not None:  # it may have changed since the listener looked
            listener.tell(session.seen)
        session.listeners.add(listener)
        if session.poller is None:
            session.poller = asyncio.create_task(self._poll(session, look))
            session.poller.add_done_callback(partial(_ended, session))
        loop = asyncio.get_running_loop()
        loop.call_later(self._open_s, session.tell, None)
        try:
            yield listener
        finally:
            session.listeners.discard(listener)
            if not session.listeners:
                session.poller.cancel()
                self._sessions.pop(key, None)

    async def _poll(self, session: _Session, look: Look) -> None:
        """Tell of every change until the session is over or nobody listens."""
        while session.seen is None or not session.seen.final:
            await asyncio.sleep(self._poll_s)
            status = await look()
            if status is not None and status is not session.seen:
                session.seen = status
                session.tell(status)


def _ended(session: _Session, poller: asyncio.Task[None]) -> None:
    """A defect is logged, and nobody is left waiting for what will not come."""
    if not poller.cancelled() and (error := poller.exception()) is not None:
        _log.error("following.failed", error=type(error).__name__)
        for listener in session.listeners:
            listener.abandon()
