"""Looking up names so that a silent name server holds up nobody else's callbacks.

The system's look-up blocks a thread and cannot be called off; where no server answers it
takes half a minute. So each has a thread of its own, and there is one at a time for a
name, however many wait for it, a few for the names of one domain, and some in all.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

#: Look-ups at a time in a process.
LOOKUPS_MAX: Final = 32

#: Of these, for names of one domain: who owns it may make up names and never answer.
LOOKUPS_OF_DOMAIN_MAX: Final = 8

_NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV

_Infos = Sequence[aiohttp.AddrInfoType]
_Question = tuple[str, socket.AddressFamily]


def ask_system(host: str, family: socket.AddressFamily) -> _Infos:
    """What the system's own look-up says; it blocks."""
    kind, flags = socket.SOCK_STREAM, socket.AI_ADDRCONFIG
    return socket.getaddrinfo(host, None, family=family, type=kind, flags=flags)


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
        self._running: dict[_Question, asyncio.Future[_Infos]] = {}
        self._ended = asyncio.Event()

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,
    ) -> list[ResolveResult]:
        """The addresses of a name.

        Raises:
            OSError: it has none, or to find out takes too long.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                # Others may wait for the same one.
                infos = await asyncio.shield(await self._look_up((host, family)))
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
            running.cancel()

    async def _look_up(self, question: _Question) -> asyncio.Future[_Infos]:
        """The look-up that is under way, or a new one as soon as there is room."""
        while (running := self._running.get(question)) is None:
            if self._has_room(_domain(question[0])):
                return self._begin(question)
            await self._ended.wait()
        return running

    def _has_room(self, domain: str) -> bool:
        domains = [_domain(host) for host, _ in self._running]
        of_domain = domains.count(domain)
        return len(domains) < LOOKUPS_MAX and of_domain < LOOKUPS_OF_DOMAIN_MAX

    def _begin(self, question: _Question) -> asyncio.Future[_Infos]:
        def end(running: asyncio.Future[_Infos]) -> None:
            del self._running[question]
            self._ended.set()
            self._ended = asyncio.Event()
            if not running.cancelled():
                running.exception()  # perhaps nobody else wants to know any more

        running = asyncio.wrap_future(_in_thread(lambda: self._ask(*question)))
        running.add_done_callback(end)
        self._running[question] = running
        return running


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
    """A name's last two parts."""
    return ".".join(host.rstrip(".").split(".")[-2:])
