"""Looking up names so that silent name servers hold up as little as can be (G5).

The system's look-up blocks a thread and cannot be called off; where no server answers it
takes half a minute. So each has a thread of its own, and there is one at a time for a
name, however many wait for it, a few for the names of one domain, more for those of one
requestor, and some in all. A requestor that has none under way gets one in any case, so
others, however many of their names are silent, can make its look-ups slower to come by
but not stop them.

What this does not hold up: a requestor's own callbacks, once three domains of its are
silent; and where several want the same name, they share one look-up and what becomes of
it. Who finds no room within a share of the time to connect is told `NoRoom`. That is a
fault of ours: it is tried again and says nothing of the endpoint.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

#: Look-ups at a time in a process, besides one for each requestor that has no other.
LOOKUPS_MAX: Final = 32

#: Of these, for one requestor: it may make up domains as well as names.
LOOKUPS_OF_REQUESTOR_MAX: Final = 12

#: Of these, for names of one domain: who owns it may make up names and never answer. So
#: few that a requestor's silent domain leaves room for its others.
LOOKUPS_OF_DOMAIN_MAX: Final = 4

#: How much of its time a look-up may wait for room. Enough for others that are answered
#: to be over; what is left for its own is enough to tell a silent server by.
ROOM_SHARE: Final = 0.125

_NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV

_Infos = Sequence[aiohttp.AddrInfoType]
_Question = tuple[str, socket.AddressFamily]

#: The connector that asks the resolver cannot say for whom; its task's context can.
_REQUESTOR: Final = ContextVar("_REQUESTOR", default="")


class NoRoom(Exception):
    """No look-up is free for this requestor and name."""


@contextmanager
def looking_up_for(requestor: str) -> Iterator[None]:
    """Whatever is looked up within, and in tasks begun within, is this requestor's."""
    before = _REQUESTOR.set(requestor)
    try:
        yield
    finally:
        _REQUESTOR.reset(before)


def ask_system(host: str, family: socket.AddressFamily) -> _Infos:
    """What the system's own look-up says; it blocks."""
    kind, flags = socket.SOCK_STREAM, socket.AI_ADDRCONFIG
    return socket.getaddrinfo(host, None, family=family, type=kind, flags=flags)


@dataclass(frozen=True, kw_only=True)
class _LookUp:
    """One that is under way, and for whom it was begun."""

    answer: asyncio.Future[_Infos]
    requestor: str
    domain: str


class SystemResolver(AbstractResolver):
    """Asks the system, in threads that a process does not wait for when it ends.

    A look-up that nobody waits for any more still counts until its thread is free.
    """

    def __init__(
        self,
        timeout_s: float,
        ask: Callable[[str, socket.AddressFamily], _Infos] = ask_system,
    ) -> None:
        self._timeout_s = timeout_s
        self._ask = ask
        self._running: dict[_Question, _LookUp] = {}
        self._ended = asyncio.Event()

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,
    ) -> list[ResolveResult]:
        """The addresses of a name.

        Raises:
            NoRoom: too many others are under way.
            OSError: it has none, or to find out takes too long.
        """
        answer = await self._with_room((host, family))
        try:
            async with asyncio.timeout((1 - ROOM_SHARE) * self._timeout_s):
                infos = await asyncio.shield(answer)  # others may wait for the same one
        except TimeoutError:
            why = "the look-up takes too long"
            raise socket.gaierror(socket.EAI_AGAIN, why) from None
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=found,
                proto=protocol,
                flags=_NUMERIC,
            )
            for found, _, protocol, _, address in infos
        ]

    async def close(self) -> None:
        """Let go of what is still looked up; its threads end by themselves."""
        for running in self._running.values():
            running.answer.cancel()

    async def _with_room(self, question: _Question) -> asyncio.Future[_Infos]:
        try:
            async with asyncio.timeout(ROOM_SHARE * self._timeout_s):
                return await self._look_up(question, _REQUESTOR.get())
        except TimeoutError:
            raise NoRoom("no look-up is free") from None

    async def _look_up(
        self, question: _Question, requestor: str
    ) -> asyncio.Future[_Infos]:
        """The look-up that is under way, or a new one as soon as there is room."""
        domain = _domain(question[0])
        while (running := self._running.get(question)) is None:
            if self._has_room(requestor, domain):
                answer = self._begin(question)
                self._running[question] = _LookUp(
                    answer=answer, requestor=requestor, domain=domain
                )
                return answer
            await self._ended.wait()
        return running.answer

    def _has_room(self, requestor: str, domain: str) -> bool:
        running = self._running.values()
        of_requestor = sum(one.requestor == requestor for one in running)
        of_domain = sum(one.domain == domain for one in running)
        return not of_requestor or (
            len(running) < LOOKUPS_MAX
            and of_requestor < LOOKUPS_OF_REQUESTOR_MAX
            and of_domain < LOOKUPS_OF_DOMAIN_MAX
        )

    def _begin(self, question: _Question) -> asyncio.Future[_Infos]:
        def end(answer: asyncio.Future[_Infos]) -> None:
            del self._running[question]
            self._ended.set()
            self._ended = asyncio.Event()
            if not answer.cancelled():
                answer.exception()  # perhaps nobody else wants to know any more

        answer = asyncio.wrap_future(_in_thread(lambda: self._ask(*question)))
        answer.add_done_callback(end)
        return answer


def _in_thread(ask: Callable[[], _Infos]) -> Future[_Infos]:
    """Ask in a thread that does not keep the process from ending, as a pool's would."""
    answer: Future[_Infos] = Future()
    answer.set_running_or_notify_cancel()

    def run() -> None:
        try:
            infos = ask()
        except (OSError, ValueError) as error:  # UnicodeError is one
            answer.set_exception(error)
        else:
            answer.set_result(infos)

    threading.Thread(target=run, name="look-up", daemon=True).start()
    return answer


def _domain(host: str) -> str:
    """What a name is in: all but its first part; a bare domain is in none but itself.

    The last two parts would be one domain for all of co.uk, or of a cluster's services.
    Whoever makes up domains of more parts is bounded as a requestor.
    """
    name = host.rstrip(".").lower()
    _, _, parent = name.partition(".")
    return parent if "." in parent else name
