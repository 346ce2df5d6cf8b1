"""A whole installation under proof: real processes, and eyes on what they do."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import aiohttp
from pydantic import JsonValue

from orchestrator.app.tools import make_sealer
from orchestrator.broker.connection import connect
from orchestrator.broker.subscribe import subscribe
from orchestrator.domain.chain import Chain, ChainState, Step, StepState
from orchestrator.domain.endpoint import origin_of
from orchestrator.local.endpoint import FULLNAME, MEMBERSHIP
from orchestrator.local.stack import Plan, Stack, sandbox_and_endpoint
from orchestrator.ports import Store
from orchestrator.rows import RowSecrets
from orchestrator.settings import load_settings
from orchestrator.store import open_store
from schemas.events import ChainEvent, EndpointChanged, Event, parse_event
from schemas.irma import SessionPointer, parse_session_package

#: How long anything that has to happen may take on a busy machine.
BOUND_S = 20.0

#: Between two looks at what nobody announces (a row, a log).
LOOK_S = 0.02

Json = dict[str, JsonValue]
T = TypeVar("T")
E = TypeVar("E", bound=Event)


class NotStartedError(Exception):
    """The gateway refused to start a chain: the status and body of its answer."""


@dataclass
class Watch:
    """The events of an installation, as a subscriber gets them."""

    events: list[Event] = field(default_factory=list)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def follow(self, bodies: AsyncIterator[bytes]) -> None:
        """Take in events for ever."""
        async for body in bodies:
            async with self._news:
                self.events.append(parse_event(body))
                self._news.notify_all()

    def of(self, chain_id: str) -> list[ChainEvent]:
        """The events of one chain so far."""
        return [
            event
            for event in self.events
            if not isinstance(event, EndpointChanged) and event.chainid == chain_id
        ]

    def types(self, chain_id: str) -> list[tuple[int, str]]:
        """Step and type of a chain's events so far."""
        return [(event.step, event.type) for event in self.of(chain_id)]

    async def until(
        self, chain_id: str, event_type: str, step: int | None = None
    ) -> ChainEvent:
        """The event of this type and step, as soon as it is published."""

        def found() -> ChainEvent | None:
            for event in self.of(chain_id):
                if event.type == event_type and step in {None, event.step}:
                    return event
            return None

        return await self._news_of(found)

    async def until_endpoint(self, url: str, event_type: str) -> EndpointChanged:
        """The event of an endpoint, as soon as it is published."""

        def found() -> EndpointChanged | None:
            for event in self.events:
                if not isinstance(event, EndpointChanged):
                    continue
                if event.type == event_type and event.subject == origin_of(url):
                    return event
            return None

        return await self._news_of(found)

    async def _news_of(self, find: Callable[[], E | None]) -> E:
        async with asyncio.timeout(BOUND_S), self._news:
            while (found := find()) is None:
                await self._news.wait()
            return found


@dataclass(frozen=True, kw_only=True)
class Started:
    """A chain that was started."""

    id: str
    token: str
    pointer: SessionPointer


@dataclass(frozen=True, kw_only=True)
class Lab:
    """The installation and what looks at it."""

    stack: Stack
    store: Store
    rows: RowSecrets
    watch: Watch
    http: aiohttp.ClientSession

    async def start(self, request: Json) -> Started:
        """Start a chain as the requestor."""
        async with self.post_session(json.dumps(request).encode()) as response:
            body = await response.read()
            if response.status != HTTPStatus.OK:
                raise NotStartedError(response.status, body)
            package = parse_session_package(body)
            return Started(
                id=response.headers["Chain-Id"],
                token=package.token,
                pointer=package.session_ptr,
            )

    @asynccontextmanager
    async def post_session(
        self, body: bytes, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """POST anything to `/session` with the requestor's credentials."""
        given = {
            "Authorization": self.stack.requestor_key,
            "Content-Type": "application/json",
            **(headers or {}),
        }
        url = f"{self.stack.gateway_url}/session"
        data = io.BytesIO(body)  # aiohttp warns of large bodies in one piece
        async with self.http.post(url, data=data, headers=given) as response:
            yield response

    async def get(self, path: str) -> tuple[int, str]:
        """GET from the gateway: status and text."""
        async with self.http.get(f"{self.stack.gateway_url}{path}") as response:
            return response.status, await response.text()

    async def ended(self, chain_id: str) -> Chain:
        """The chain's row once it has ended and subscribers were told so."""

        async def look() -> Chain | None:
            chain = await self.store.chain(chain_id)
            over = chain is not None and chain.state is not ChainState.RUNNING
            return chain if over else None

        chain = await eventually(look)
        await self.watch.until(chain_id, f"chain.{chain.state}")
        return chain

    async def row(self, chain_id: str, number: int, *states: StepState) -> Step:
        """The row of a step once it is in one of these states."""

        async def look() -> Step | None:
            for row in await self.store.steps(chain_id):
                if row.slot.step == number and row.state in states:
                    return row
            return None

        return await eventually(look)


async def eventually(look: Callable[[], Awaitable[T | None]]) -> T:
    """What a look finds, as soon as it finds something."""
    async with asyncio.timeout(BOUND_S):
        while (found := await look()) is None:  # noqa: ASYNC110 - rows make no noise
            await asyncio.sleep(LOOK_S)
        return found


@asynccontextmanager
async def lab_at_work(run_dir: Path, vhost_url: str, plan: Plan) -> AsyncIterator[Lab]:
    """A whole installation in a folder and vhost of its own, stopped afterwards."""
    async with (
        sandbox_and_endpoint(run_dir, plan) as around,
        around.started(vhost_url) as stack,
        open_store(stack.database_url) as store,
        await connect(vhost_url, "watch") as connection,
        subscribe(connection) as bodies,
        aiohttp.ClientSession() as http,
    ):
        watch = Watch()
        following = asyncio.create_task(watch.follow(bodies))
        settings = load_settings(stack.config_file, {})
        rows = RowSecrets(sealer=make_sealer(settings))
        try:
            yield Lab(stack=stack, store=store, rows=rows, watch=watch, http=http)
        finally:
            following.cancel()


def disclosure(next_url: str | None = None, **extended: JsonValue) -> Json:
    """A request for the user's full name, chained if there is a URL."""
    request: Json = {
        "request": {
            "@context": "https://irma.app/ld/request/disclosure/v2",
            "disclose": [[[FULLNAME]]],
        },
        **extended,
    }
    if next_url is not None:
        request["nextSession"] = {"url": next_url}
    return request


def issuance(next_url: str | None = None) -> Json:
    """The issuance of a membership, chained if there is a URL."""
    request: Json = {
        "request": {
            "@context": "https://irma.app/ld/request/issuance/v2",
            "credentials": [
                {
                    "credential": MEMBERSHIP,
                    "attributes": {"fullname": "J", "type": "premium", "id": "1"},
                }
            ],
        }
    }
    if next_url is not None:
        request["nextSession"] = {"url": next_url}
    return request
