"""Requestors and their users: so many chains, some of them at a time.

Each chain is real: started by `POST /session`, played by the sandbox's wallet. Users do
not think, so the pace is what the machine can do.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from uuid import uuid4

import aiohttp

from orchestrator.proof.events_books import Played
from orchestrator.proof.events_endpoint import Journal
from orchestrator.proof.events_pace import Places, Progress
from orchestrator.proof.events_scripts import SCRIPTS
from orchestrator.sandbox.wallet import Step, StepStatus, Wallet
from schemas.chains import ChainView
from schemas.irma import JsonObject, SessionPointer, parse_session_package

_REQUEST_TIMEOUT: Final = aiohttp.ClientTimeout(total=20)

#: How long a chain may keep its user waiting.
_PATIENCE_S: Final = 90.0

#: Between two looks of a requestor whose user has to go on with a pointer of its own.
_LOOK_S: Final = 0.3


#: Where there was no answer, or a 503, the same is asked again: it has its key.
_TRIES: Final = 10
_COME_BACK: Final = frozenset({0, HTTPStatus.SERVICE_UNAVAILABLE})
_COME_BACK_S: Final = 0.5

#: What the app gets where its chain has failed (reference irma.md §7.7).
_REFUSED: Final = "NEXT_SESSION"


class NotStarted(Exception):
    """`POST /session` was refused; the text says how."""


@dataclass(frozen=True, kw_only=True)
class Requestor:
    """Who starts chains: its key, and the token of its session requests."""

    key: str
    token: str = field(repr=False)


@dataclass(kw_only=True)
class Crowd:
    """All requestors' users, and their journals."""

    gateway_url: str
    http: aiohttp.ClientSession
    requestors: Sequence[Requestor]
    journal: Journal
    played: list[Played] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    progress: Progress = field(default_factory=Progress)

    async def play(self, chains: int, *, at_once: int, rate: float | None) -> None:
        """Play so many chains: so many at a time, at most so many started a second."""
        loop, places = asyncio.get_running_loop(), Places(most=at_once)
        begin_s = loop.time()
        async with asyncio.TaskGroup() as users:
            for n in range(chains):
                if rate is not None:
                    await asyncio.sleep(begin_s + n / rate - loop.time())
                await places.take()
                users.create_task(self._in_place(n, places))

    async def _in_place(self, n: int, places: Places) -> None:
        waited_s = await self._user(n)
        await places.leave(waited_s)
        await self.progress.one_more()

    async def _user(self, n: int) -> float:
        """How long its app waited; all have chains of every script, by turns."""
        turn, whose = divmod(n, len(self.requestors))
        script, requestor = turn % len(SCRIPTS), self.requestors[whose]
        try:
            chain_id, pointer = await self._start(script, requestor)
        except (aiohttp.ClientError, TimeoutError, NotStarted) as error:
            self.refused.append(f"POST /session: {type(error).__name__} {error}")
            return 0.0
        played = Played(
            chain_id=chain_id, requestor=requestor.key, script=SCRIPTS[script]
        )
        self.played.append(played)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await self._sessions(played, requestor, pointer)
        except TimeoutError:
            played.troubles.append(f"its user was still waiting after {_PATIENCE_S:g} s")
        except aiohttp.ClientError as error:
            played.troubles.append(f"GET /chains/ID: {type(error).__name__}")
        return 0.0

    async def _start(
        self, script: int, requestor: Requestor
    ) -> tuple[str, SessionPointer]:
        headers = {"Authorization": requestor.token, "Idempotency-Key": str(uuid4())}
        request = self.journal.first_request(script)
        url = f"{self.gateway_url}/session"
        status = 0
        for _ in range(_TRIES):
            with suppress(aiohttp.ClientConnectionError):
                async with self.http.post(url, json=request, headers=headers) as answer:
                    body, status = await answer.read(), answer.status
                    if status == HTTPStatus.OK:
                        package = parse_session_package(body)
                        return answer.headers["Chain-Id"], package.session_ptr
            if status not in _COME_BACK:
                break
            await asyncio.sleep(_COME_BACK_S)
        raise NotStarted(str(status))

    async def _sessions(
        self, played: Played, requestor: Requestor, pointer: SessionPointer
    ) -> float:
        """As far as the app is forwarded; from there on with the requestor's pointer."""
        wallet, decides, waited_s = Wallet(), itertools.count(1), 0.0

        async def decide(_: JsonObject) -> bool:
            return next(decides) != played.script.declines

        ends = played.script.ends
        while True:
            outcome = await wallet.run(pointer, decide)
            played.sessions += [step.status for step in outcome.steps]
            played.cut_off = any(map(_cut_off, outcome.steps))
            waits_s = [step.ended_at_s - step.at_s for step in outcome.steps]
            waited_s = max(waited_s, *waits_s)
            over = len(played.sessions) >= len(ends)
            if over or outcome.status is not StepStatus.SUCCESS:
                return waited_s
            pointer = await self._pointer(played, requestor)

    async def _pointer(self, played: Played, requestor: Requestor) -> SessionPointer:
        """That of the next session, which the app was not forwarded to."""
        url = f"{self.gateway_url}/chains/{played.chain_id}"
        headers = {"Authorization": requestor.token}
        while True:
            async with self.http.get(url, headers=headers) as response:
                response.raise_for_status()
                view = ChainView.model_validate_json(await response.read())
            for session in view.sessions:
                ahead = session.step > len(played.sessions)
                if ahead and session.session_ptr is not None:
                    return session.session_ptr
            await asyncio.sleep(_LOOK_S)


def _cut_off(step: Step) -> bool:
    """Whether the app got an error that is not its chain's."""
    told = step.error.get("error") if isinstance(step.error, dict) else None
    return step.status is StepStatus.FAILURE and told != _REFUSED


@asynccontextmanager
async def crowd(
    gateway_url: str, requestors: Sequence[Requestor], journal: Journal
) -> AsyncIterator[Crowd]:
    """The users of a run."""
    async with aiohttp.ClientSession(
        timeout=_REQUEST_TIMEOUT, connector=aiohttp.TCPConnector(limit=0)
    ) as http:
        yield Crowd(
            gateway_url=gateway_url, http=http, requestors=requestors, journal=journal
        )
