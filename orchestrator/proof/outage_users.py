"""Users with wallets, at a steady pace, who take their time before they share.

Each is real: the requestor starts a chain, the wallet plays it, and where the app was let
go the user goes on with the pointer of the chain page, or with the requestor's.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import aiohttp
import jwt
from aiohttp import web

from orchestrator.local.stack import Stack
from orchestrator.proof.endpoints import Endpoint, Received, endpoint_at_work
from orchestrator.proof.lab import disclosure, issuance
from orchestrator.proof.outage_books import Posted, Refusal, Sitting, User
from orchestrator.proof.outage_watching import NotSeen, Page, Subscriber, following_page
from orchestrator.sandbox.wallet import Outcome, StepStatus, Wallet
from schemas.chains import ChainView
from schemas.irma import JsonObject, SessionPointer, parse_session_package

#: No answer of the gateway takes longer; a requestor would have given up as well.
_REQUEST_TIMEOUT: Final = aiohttp.ClientTimeout(total=15)

#: A requestor who is asked to come back does so this soon.
_RETRY_S: Final = 1.0

#: What a JWT says of the moment and not of the result (reference irma.md §6.1).
_TIME_STAMPS: Final = frozenset({"iat", "exp", "nbf"})

#: One chain in so many has a second session.
MORE_EACH: Final = 8

#: So many users of so many have the chain page open all the time: one with each kind.
_PAGES: Final = 2
PAGES_EACH: Final = 64


@dataclass(frozen=True, kw_only=True)
class Load:
    """How many chains a second, how long users think at most, and how long in all."""

    rate: float
    think_s: float
    patience_s: float


@dataclass(kw_only=True)
class Crowd:
    """All users of one run and their journals."""

    stack: Stack
    http: aiohttp.ClientSession
    subscriber: Subscriber
    endpoint: Endpoint
    load: Load
    random: random.Random
    users: list[User] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    offered: float = 0.0
    pages: list[Page] = field(default_factory=list)

    @asynccontextmanager
    async def coming(self) -> AsyncIterator[None]:
        """They come while the context is open, and all have gone when it closes."""
        over = asyncio.Event()
        async with asyncio.TaskGroup() as users:
            users.create_task(self._come(users, over))
            try:
                yield
            finally:
                over.set()

    async def _come(self, users: asyncio.TaskGroup, over: asyncio.Event) -> None:
        """One after the other at the pace of the load."""
        loop, rate = asyncio.get_running_loop(), self.load.rate
        begin, n = loop.time(), 0
        while not over.is_set():
            users.create_task(self._user(n))
            n += 1
            await asyncio.sleep(begin + n / rate - loop.time())
        self.offered = n / (loop.time() - begin)

    async def _user(self, n: int) -> None:
        """Some are asked for one more session."""
        wants_more = n % MORE_EACH == 0
        begun_s = time.time()
        answer = await self._begin("next" if wants_more else "end")
        if isinstance(answer, Refusal):
            self.refusals.append(answer)
            return
        user = User(
            chain_id=answer.chain_id, begun_s=begun_s, sessions=1 + int(wants_more)
        )
        self.users.append(user)
        try:
            async with asyncio.timeout(self.load.patience_s):
                await self._play(user, answer, looks=n % PAGES_EACH < _PAGES)
        except TimeoutError:
            user.troubles.append(f"not over after {self.load.patience_s:g} s")
        except NotSeen as error:
            user.troubles.append(str(error))

    async def _begin(self, path: str) -> _Begun | Refusal:
        request = disclosure(f"{self.endpoint.url}/{path}")
        url, headers = f"{self.stack.gateway_url}/session", self._credentials()
        try:
            async with self.http.post(url, json=request, headers=headers) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError):
            return Refusal(at_s=time.time(), status=0, clear=False)
        if response.status != HTTPStatus.OK:
            return _refusal(response, body)
        return _Begun(
            chain_id=response.headers["Chain-Id"],
            page=response.headers["Chain-Page"],
            pointer=parse_session_package(body).session_ptr,
        )

    async def _play(self, user: User, begun: _Begun, *, looks: bool) -> None:
        """Until nothing more is asked of the user, and an open page says so."""
        if not looks:
            await self._sessions(user, begun, lambda: self._asked_for(user))
            return
        async with following_page(self.http, user.chain_id, begun.page) as page:
            self.pages.append(page)
            await self._sessions(user, begun, page.second_pointer)
            if not user.troubles:
                await page.over()

    async def _sessions(
        self,
        user: User,
        begun: _Begun,
        pointer_of_next: Callable[[], Awaitable[SessionPointer]],
    ) -> None:
        wallet = Wallet()
        await self._scan(wallet, user, begun.pointer)
        if len(user.sittings) < user.sessions and not user.troubles:
            await self._scan(wallet, user, await pointer_of_next())

    async def _scan(self, wallet: Wallet, user: User, pointer: SessionPointer) -> None:
        """Play what the pointer leads to, as far as the app is forwarded."""
        began_s, agreed = time.time(), list[float]()

        async def think(_: JsonObject) -> bool:
            await asyncio.sleep(self.random.uniform(0, self.load.think_s))
            agreed.append(time.time())
            return True

        outcome = await wallet.run(pointer, think)
        _note(user, outcome, began_s, agreed)

    async def _asked_for(self, user: User) -> SessionPointer:
        """As the requestor gets it: told by an event, it asks for the chain."""
        await self.subscriber.started(user.chain_id, 2)
        url = f"{self.stack.gateway_url}/chains/{user.chain_id}"
        while True:
            try:
                async with self.http.get(url, headers=self._credentials()) as response:
                    body = await response.read()
            except aiohttp.ClientError:  # a GET is asked again by every client
                await asyncio.sleep(_RETRY_S)
                continue
            if response.status == HTTPStatus.OK:
                view = ChainView.model_validate_json(body)
                for session in view.sessions:
                    if session.step > 1 and session.session_ptr is not None:
                        return session.session_ptr
            elif response.status != HTTPStatus.SERVICE_UNAVAILABLE:
                raise NotSeen(f"GET /chains/ID answered {response.status}")
            await asyncio.sleep(_RETRY_S)

    def _credentials(self) -> dict[str, str]:
        return {"Authorization": self.stack.requestor_key}


@dataclass(frozen=True, kw_only=True)
class _Begun:
    chain_id: str
    page: str
    pointer: SessionPointer


@asynccontextmanager
async def crowd(stack: Stack, subscriber: Subscriber, load: Load) -> AsyncIterator[Crowd]:
    """The users of a run and the endpoint of their requestor."""
    async with (
        endpoint_at_work(_script) as endpoint,
        aiohttp.ClientSession(
            timeout=_REQUEST_TIMEOUT, connector=aiohttp.TCPConnector(limit=0)
        ) as http,
    ):
        yield Crowd(
            stack=stack,
            http=http,
            subscriber=subscriber,
            endpoint=endpoint,
            load=load,
            random=random.Random(5),  # noqa: S311 - so that runs are alike
        )


async def _script(_: int, received: Received) -> web.StreamResponse:
    """One more session for `/next`, else no more."""
    if received.path == "/next":
        return web.json_response(issuance())
    return web.Response(status=HTTPStatus.NO_CONTENT)


def _note(user: User, outcome: Outcome, began_s: float, agreed: list[float]) -> None:
    """The sessions of one scan; the first of it is detached unless it is the chain's."""
    for n, step in enumerate(outcome.steps):
        ended_well = step.status is StepStatus.SUCCESS
        if not ended_well:
            user.troubles.append(f"{step.status} ({step.http_status}: {step.error})")
        if n >= len(agreed):
            continue
        shared_s = agreed[n]
        sitting = Sitting(
            step=len(user.sittings) + 1,
            shared_s=shared_s,
            waited_s=began_s + step.ended_at_s - shared_s,
            ended_well=ended_well,
            detached=n == 0 and bool(user.sittings),
        )
        user.sittings.append(sitting)


def _refusal(response: aiohttp.ClientResponse, body: bytes) -> Refusal:
    """Clear is what says in words that it is away, and when to come back."""
    clear = False
    if response.content_type == "application/json":
        error = json.loads(body)
        clear = "away" in str(error.get("message")) and "Retry-After" in response.headers
    return Refusal(at_s=time.time(), status=response.status, clear=clear)


def posted(endpoint: Endpoint, epoch_s: float) -> list[Posted]:
    """The endpoint's journal; `epoch_s` is what its clock's zero is by everybody's."""
    return [_posted(received, epoch_s) for received in endpoint.received]


def _posted(received: Received, epoch_s: float) -> Posted:
    claims = jwt.decode(received.body, options={"verify_signature": False})
    result = {name: claims[name] for name in sorted(claims) if name not in _TIME_STAMPS}
    return Posted(
        chain_id=received.headers["Chain-Id"],
        step=int(received.headers["Chain-Step"]),
        webhook_id=received.headers["webhook-id"],
        result=hashlib.sha256(json.dumps(result).encode()).hexdigest(),
        at_s=epoch_s + received.at_s,
    )
