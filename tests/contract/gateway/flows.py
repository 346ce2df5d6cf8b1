"""Plays recorded chains through our gateway: wallet, sandbox, workers, endpoint.

The scripted endpoint answers as recorded. Where the recording waits for time to pass, the
answer is held until what it would have interrupted is over.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from aiohttp import web

from orchestrator.domain.chain import ChainState, StepState
from orchestrator.proof.endpoints import Endpoint, Received, endpoint_at_work
from orchestrator.proof.lab import eventually
from orchestrator.sandbox.user import decline, share
from orchestrator.sandbox.wallet import Outcome, Wallet
from schemas.irma import SessionPointer
from tests.contract.gateway.differences import differences_of
from tests.contract.gateway.installations import LIVE_ATTEMPTS, Begun, Installation
from tests.contract.request_jwts import Json
from tests.contract.sandbox_lab import anonymous, localised
from tests.contract.test_sandbox import (
    FLOWS,
    app_events,
    comparable_event,
    comparable_post,
    comparable_recorded,
    wallet_of,
)

WEEK_S: Final = 604_800

#: Headers that only we send; nobody has to read them (DESIGN §7).
OURS: Final = frozenset(
    {
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "chain-id",
        "chain-step",
        "chain-reply-to",
        "traceparent",
    }
)

#: An answer that comes when the app is not waiting any more, by path.
HELD: Final = {
    "endpoint answers after 3.5 s": "/1",
    "endpoint answers after 5 s": "/1",
    "callbackUrl answers after 5 s": "/cb",
}

#: The next session is started on its own, and played when the first is over.
DETACHED: Final = frozenset(
    {"endpoint answers after 3.5 s", "endpoint answers after 5 s"}
)

#: Endpoints that promise an answer: the chain waits for it.
WAITING: Final = frozenset({"endpoint answers 202"})

#: Endpoints that fail for longer than the app waits, and are well afterwards.
RECOVERING: Final = frozenset({"endpoint answers 500", "endpoint drops the connection"})

#: How chains end, and what their reason says; those not named are completed.
ENDS: Final[dict[str, tuple[ChainState, str]]] = {
    "endpoint answers 201 with a request": (ChainState.FAILED, "status 201"),
    "endpoint answers 200 with nothing": (ChainState.FAILED, "no session request"),
    "endpoint answers an invalid request": (ChainState.FAILED, "4 or 3 parts, 2 found"),
    "endpoint redirects 307": (ChainState.FAILED, "not followed: status 307"),
    "endpoint redirects 302": (ChainState.FAILED, "not followed: status 302"),
    "next request not permitted (production)": (
        ChainState.FAILED,
        "irma-demo.RU.studentCard.university",
    ),
    "user declines": (ChainState.CANCELLED, ""),
    "cancelled by the requestor": (ChainState.CANCELLED, ""),
    "timeout 5 s with callbackUrl": (ChainState.EXPIRED, ""),
}


def configuration_of(name: str) -> str:
    """The configuration a chain is played in."""
    if name.startswith("unsigned"):
        return "U"
    return "P" if "(production)" in name else "A"


class Flow:
    """One recorded chain on its way through an installation."""

    def __init__(self, name: str, installation: Installation, endpoint: Endpoint) -> None:
        self.name = name
        self.installation = installation
        self.lab = installation.lab
        self.endpoint = endpoint
        self.recorded = localised(
            FLOWS[name],
            server=installation.irma_server_url,
            endpoint=endpoint.url,
            endpoint_host=endpoint.url.removeprefix("http://"),
        )
        self.wallet: Wallet = wallet_of(name)
        self.begun: Begun
        #: Set when nobody waits for a held answer any more.
        self.released = asyncio.Event()
        #: What the endpoint read of the session while it was asked, by request.
        self.read_inside: dict[int, Json] = {}
        #: Requests that were answered; others may still be read in.
        self._answered: set[int] = set()
        self._asked: Counter[str] = Counter()

    async def script(self, number: int, received: Received) -> web.StreamResponse | None:
        """Answer as recorded for this path, and note that it was answered."""
        answer = await self._answer(number, received)
        self._answered.add(number)
        return answer

    async def _answer(self, number: int, received: Received) -> web.StreamResponse | None:
        """The recorded answer, at the time at which this chain wants it."""
        path = _path(received.path)
        nth, recorded = self._asked[path], self._recorded_at(path)
        self._asked[path] += 1
        if self.name in RECOVERING and path == "/1" and nth > LIVE_ATTEMPTS:
            return web.Response(status=204)
        post = recorded[min(nth, len(recorded) - 1)]
        if "result_read_inside" in post:
            self.read_inside[number] = await self.installation.result(self.begun.token)
        if HELD.get(self.name) == path:
            await self.released.wait()
        if "drops the connection" in self.name:
            return None
        answered = post["answered"]
        redirected = 300 <= answered["status"] < 400
        return web.Response(
            status=answered["status"],
            body=answered.get("body", "").encode(),
            headers={"Location": "/2"} if redirected else {},
        )

    def _recorded_at(self, path: str) -> list[Json]:
        posts = self.recorded["endpoint_received"]
        return [post for post in posts if _path(post["path"]) == path]

    async def start(self) -> SessionPointer:
        """Start the recorded session at our gateway."""
        self.begun = await self.installation.start(self.recorded["request"])
        return self.begun.pointer

    async def play(self, pointer: SessionPointer) -> list[Outcome]:
        """Everything the user's app does; nothing where it is not asked."""
        if self.name == "cancelled by the requestor":
            url = f"{self.installation.gateway_url}/session/{self.begun.token}"
            assert await self.installation.call("DELETE", url) is None
            return []
        if self.name.startswith("timeout"):
            return []
        decide = decline if self.name == "user declines" else share
        outcomes = [await self.wallet.run(pointer, decide)]
        self.released.set()
        if self.name in DETACHED:
            outcomes.append(await self.wallet.run(await self.detached_pointer(2)))
        return outcomes

    async def detached_pointer(self, step: int) -> SessionPointer:
        """The pointer of a step that was started on its own."""
        row = await self.lab.row(self.begun.chain_id, step, StepState.LIVE)
        package = self.lab.rows.package(row)
        assert package is not None
        return package.session_ptr

    async def happened(self, outcomes: list[Outcome], expected: Json) -> Json:
        """All that happened, once the chain has ended as it should, or waits."""
        if self.name in WAITING:
            await self._waits()
        else:
            await self._ends()
        await self.posted(expected["posts"])
        events = [app_events(outcome, "") for outcome in outcomes]
        return {
            "started": self.begun.package,
            "app": [event for one in events for event in one],
            "posts": self.posts(),
            "results": await self.installation.results(self.begun.token),
            "frontend": await self.installation.frontend(self.begun),
        }

    async def _ends(self) -> None:
        chain = await self.lab.ended(self.begun.chain_id)
        state, reason = ENDS.get(self.name, (ChainState.COMPLETED, ""))
        assert chain.state is state, chain.reason
        assert reason in (chain.reason or "")

    async def _waits(self) -> None:
        """The chain goes on when the endpoint answers; until then a row says so."""

        async def look() -> bool | None:
            waiting = self.lab.store.waiting(chain_id=self.begun.chain_id, limit=10)
            return "deadline" in {row.kind for row in await waiting} or None

        await eventually(look)
        await self.lab.row(self.begun.chain_id, 1, StepState.FINISHED)
        chain = await self.lab.store.chain(self.begun.chain_id)
        assert chain is not None
        assert chain.state is ChainState.RUNNING

    async def posted(self, posts: Json) -> None:
        """Wait until the endpoint was asked for as many things as it should be."""

        async def look() -> bool | None:
            got = self.posts()
            return all(len(got[kind]) >= len(posts[kind]) for kind in posts) or None

        await eventually(look)

    def posts(self) -> Json:
        """What the endpoint has answered; all of it says whose chain it belongs to.

        By step: what each session's own `callbackUrl` is told is a delivery of its own.
        """
        received = []
        for number in sorted(self._answered, key=self._place):
            one = self.endpoint.received[number]
            names = {name.lower() for name in one.headers}
            assert {"webhook-id", "webhook-timestamp"} <= names
            assert one.headers["Chain-Id"] == self.begun.chain_id
            received.append(
                _with_reading(comparable_post(_plain(one)), self.read_inside.get(number))
            )
        return _by_kind(received)

    def _place(self, number: int) -> tuple[int, int]:
        return int(self.endpoint.received[number].headers["Chain-Step"]), number


@asynccontextmanager
async def flow_at_work(name: str, installation: Installation) -> AsyncIterator[Flow]:
    """A recorded chain and its endpoint."""
    flows: list[Flow] = []

    async def script(number: int, received: Received) -> web.StreamResponse | None:
        return await flows[0].script(number, received)

    async with endpoint_at_work(script) as endpoint:
        flow = Flow(name, installation, endpoint)
        flows.append(flow)
        try:
            yield flow
        finally:
            flow.released.set()


def recorded_expectation(flow: Flow) -> Json:
    """What the recording says, in a shape to compare."""
    recorded = flow.recorded
    posts = [
        _with_reading(comparable_recorded(post), post.get("result_read_inside"))
        for post in recorded["endpoint_received"]
    ]
    expected = {
        "started": recorded["started"],
        "app": [comparable_event(event, "") for event in recorded.get("app", [])],
        "posts": _by_kind(posts),
        "results": recorded["results_afterwards"],
        "frontend": recorded["frontend_status_afterwards"],
    }
    if flow.name.startswith("three steps"):
        return _issued_this_week(expected)
    return expected


def expectation(flow: Flow) -> Json:
    """What the recording says, with every difference that is named for it."""
    expected = recorded_expectation(flow)
    for difference in differences_of(flow.name):
        expected = difference.changed(expected)
    return expected


def _issued_this_week(expected: Json) -> Json:
    """A credential issued on the way is as old as this week, not the recorded one."""
    week = int(time.time()) // WEEK_S * WEEK_S
    return json.loads(json.dumps(expected).replace("1795046400", str(week)))


def _path(path: str) -> str:
    """A path by which a post is known, with or without the IRMA server's slash."""
    return path.partition("?")[0].removesuffix("/")


def _plain(received: Received) -> Received:
    """The POST without the headers that only we send."""
    headers = {
        name: value
        for name, value in received.headers.items()
        if name.lower() not in OURS
    }
    return replace(received, headers=headers)


def _with_reading(post: Json, reading: Json) -> Json:
    return post if reading is None else {**post, "result_read_inside": reading}


def _by_kind(posts: Iterable[Json]) -> Json:
    """Both kinds apart, each in its order: a callbackUrl is called beside the chain."""
    kinds: dict[str, list[Json]] = {"next": [], "callback": []}
    for post in posts:
        kind = "callback" if _path(post["path"]) == "/cb" else "next"
        known = kinds[kind]
        if known and {**known[-1], "attempts": "one"} == {**post, "attempts": "one"}:
            known[-1] = {**post, "attempts": "several"}
        else:
            known.append({**post, "attempts": "one"})
    return kinds


def comparable(document: Json) -> Json:
    """The same document with its tokens numbered, in an order that does not vary."""
    return anonymous(json.loads(json.dumps(document, sort_keys=True)))
