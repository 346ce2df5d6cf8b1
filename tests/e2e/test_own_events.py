"""A requestor follows its own sessions: by server-sent events, and at its own URL."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from orchestrator.domain.refusals import IN_A_ROW_MAX
from orchestrator.local.ports import free_ports
from orchestrator.local.stack import Plan
from orchestrator.proof.endpoints import Endpoint, Received, endpoint_at_work
from orchestrator.proof.lab import (
    BOUND_S,
    Json,
    Lab,
    disclosure,
    eventually,
    issuance,
    lab_at_work,
)
from orchestrator.sandbox.wallet import Wallet
from schemas.events import Event, dump_event, parse_event
from schemas.messages import Lane

pytestmark = pytest.mark.e2e

SECRET = b"s" * 32

ROOT = Path(__file__).parents[2]

#: Chains of one test, two steps each.
CHAINS = 6


@asynccontextmanager
async def at_work(run_dir: Path, broker_url: str, events_url: str) -> AsyncIterator[Lab]:
    """An installation whose requestor has a URL for its events."""
    demo: Json = {
        "events_url": events_url,
        "webhook_secrets": [f"whsec_{base64.b64encode(SECRET).decode()}"],
        "retry": {"background_delays_s": [0.1] * 5, "jitter": 0},
    }
    plan = Plan(
        lanes=(Lane.EVENTS,), endpoint=False, overrides={"requestors": {"demo": demo}}
    )
    async with lab_at_work(run_dir, broker_url, plan) as lab:
        yield lab


async def run_chains(lab: Lab, count: int = CHAINS) -> list[str]:
    """Chains that were played to their end; their ids."""
    ids = []

    async def two_steps(n: int, _: Received) -> web.StreamResponse:
        request = issuance(f"{endpoint.url}/MARKER")
        return web.json_response(request) if n % 2 == 0 else web.Response(status=204)

    async with endpoint_at_work(two_steps) as endpoint:
        for _ in range(count):
            started = await lab.start(disclosure(f"{endpoint.url}/MARKER"))
            await Wallet().run(started.pointer)
            await lab.ended(started.id)
            await lab.watch.until(started.id, "session.finished", 2)
            ids.append(started.id)
    return ids


async def history(lab: Lab, chain_ids: list[str]) -> list[Event]:
    """What the history has of them."""
    return [event for one in chain_ids for event in await lab.store.events(one)]


def verify(received: Received) -> Event:
    """The event of a POST, whose signature holds."""
    headers = {name.lower(): text for name, text in received.headers.items()}
    assert headers["content-type"] == "application/cloudevents+json"
    event = parse_event(received.body.encode())
    assert headers["webhook-id"] == event.id
    signed = f"{event.id}.{headers['webhook-timestamp']}.{received.body}".encode()
    digest = hmac.new(SECRET, signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    return event


async def all_told(endpoint: Endpoint, wanted: list[Event]) -> list[Event]:
    """The events that a URL has got, once it has all of them."""

    async def look() -> list[Event] | None:
        got = [verify(received) for received in list(endpoint.received)]
        return got if {one.id for one in got} >= {one.id for one in wanted} else None

    return await eventually(look)


async def test_a_url_gets_every_event_though_it_fails(
    tmp_path: Path, vhost_url: str
) -> None:
    """Signed, with the event's id, again until it is taken; chains do not wait for it."""

    async def failing(n: int, _: Received) -> web.StreamResponse | None:
        if n % 5 == 0:  # of any ten fewer than open a breaker
            return web.Response(status=503)
        return None if n == 1 else web.Response(status=200)

    async with (
        endpoint_at_work(failing) as own,
        at_work(tmp_path, vhost_url, f"{own.url}/MARKER") as lab,
    ):
        chain_ids = await run_chains(lab)
        wanted = await history(lab, chain_ids)
        got = await all_told(own, wanted)
    assert {one.id: one for one in got} == {one.id: one for one in wanted}
    assert {received.path for received in own.received} == {"/MARKER"}
    assert len(got) > len(wanted)
    assert not any("MARKER" in received.body for received in own.received)


async def chainctl(lab: Lab, *words: str) -> str:
    """Run a command as an operator does; what it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "orchestrator.cli.main", *words),
        *("--config", str(lab.stack.config_file)),
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await asyncio.wait_for(process.communicate(), BOUND_S)
    assert process.returncode == 0, words
    return printed.decode()


async def test_a_url_that_takes_nothing_is_paused_until_it_is_resumed(
    tmp_path: Path, vhost_url: str
) -> None:
    """Few of its events are dead, and they can be sent again; the others have waited."""
    mended = False

    async def refusing(_: int, __: Received) -> web.StreamResponse:
        return web.Response(status=204 if mended else 404)

    async with (
        endpoint_at_work(refusing) as own,
        at_work(tmp_path, vhost_url, own.url) as lab,
    ):
        wanted = await history(lab, await run_chains(lab))

        async def settled() -> int | None:
            """How many are dead, once all are there or wait."""
            listed = json.loads(await chainctl(lab, "dead", "list", "--json"))
            dead = sum(listed["counts"].values())
            waiting = await lab.store.waiting(limit=1_000)
            parked = sum(row.endpoint == "events+demo" for row in waiting)
            return dead if dead + parked >= len(wanted) else None

        dead = await eventually(settled)
        assert 0 < dead < IN_A_ROW_MAX < len(wanted)
        (shown,) = json.loads(await chainctl(lab, "endpoints", "list", "--json"))
        assert (shown["endpoint"], shown["paused"]) == ("events+demo", True)
        assert shown["note"].endswith("the last one: unexpected status 404")
        mended = True
        own.received.clear()
        await chainctl(lab, "endpoints", "resume", "events+demo")
        await chainctl(lab, "dead", "requeue", "--all")
        await all_told(own, wanted)


async def test_what_a_killed_worker_had_in_hand_is_told(
    tmp_path: Path, vhost_url: str
) -> None:
    """The message comes again, with the same id."""
    asked = asyncio.Event()
    free = asyncio.Event()

    async def hanging(_: int, __: Received) -> web.StreamResponse:
        asked.set()
        await free.wait()
        return web.Response(status=204)

    async with (
        endpoint_at_work(hanging) as own,
        at_work(tmp_path, vhost_url, own.url) as lab,
    ):
        running = asyncio.create_task(run_chains(lab, 1))
        async with asyncio.timeout(BOUND_S):
            await asked.wait()
        await lab.stack.processes.kill(f"callback-{Lane.EVENTS}")
        free.set()
        await lab.stack.start_worker("callback", lane=Lane.EVENTS)
        wanted = await history(lab, await running)
        got = await all_told(own, wanted)
    assert {one.id: one for one in got} == {one.id: one for one in wanted}


@dataclass
class Follower:
    """Follows all events of the requestor, and is cut off again and again."""

    lab: Lab
    chance: random.Random
    last_id: str = "start"
    got: list[Event] = field(default_factory=list)

    async def until(self, running: asyncio.Task[list[str]]) -> list[Event]:
        """Go on until it has as much as the history of these chains; that history."""
        while True:
            await self._listen(self.chance.randint(1, 9), self.chance.random())
            if running.done():
                wanted = await history(self.lab, running.result())
                if len(self.got) >= len(wanted):
                    return wanted

    async def _listen(self, events_max: int, within_s: float) -> None:
        headers = {
            "Authorization": self.lab.stack.requestor_key,
            "Last-Event-ID": self.last_id,
        }
        url = f"{self.lab.stack.gateway_url}/events"
        with suppress(TimeoutError):
            async with (
                asyncio.timeout(within_s),
                aiohttp.ClientSession() as http,
                http.get(url, headers=headers) as response,
            ):
                assert response.status == 200
                await self._read(response, len(self.got) + events_max)

    async def _read(self, response: aiohttp.ClientResponse, until: int) -> None:
        event_id = self.last_id
        async for line in response.content:
            name, _, text = line.decode().rstrip("\n").partition(": ")
            if name == "id":
                event_id = text
            elif name == "data":
                self.got.append(parse_event(text.encode()))
                self.last_id = event_id
                if len(self.got) == until:
                    return


async def test_a_stream_that_is_cut_off_again_and_again_is_complete(
    tmp_path: Path, vhost_url: str
) -> None:
    """Nothing is missing, comes twice or out of order."""
    async with (
        endpoint_at_work() as own,
        at_work(tmp_path, vhost_url, own.url) as lab,
    ):
        follower = Follower(lab, random.Random(7))
        running = asyncio.create_task(run_chains(lab))
        async with asyncio.timeout(5 * BOUND_S):
            wanted = await follower.until(running)
    got = follower.got
    assert len({event.id for event in got}) == len(got)
    assert {event.id: event for event in got} == {event.id: event for event in wanted}
    for chain_id in running.result():
        sequences = [event.sequence for event in got if event.subject == chain_id]
        assert sequences == list(range(1, len(sequences) + 1))


@asynccontextmanager
async def example(name: str, *args: str, **environment: str) -> AsyncIterator[list[Json]]:
    """A program of the docs at work, and the events that it prints."""
    program = ROOT / "docs" / "examples" / name
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(program),
        *args,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    printed: list[Json] = []

    async def read() -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            printed.append(json.loads(line))

    reading = asyncio.create_task(read())
    try:
        yield printed
    finally:
        process.kill()
        await process.wait()
        await reading


async def as_long_as(printed: list[Json], count: int) -> None:
    """Wait until so many events were printed."""

    async def look() -> bool | None:
        return len(printed) >= count or None

    await eventually(look)


async def test_the_examples_of_the_docs_get_everything(
    tmp_path: Path, vhost_url: str
) -> None:
    """The receiver in order and once, the follower also after it was killed."""
    (port,) = free_ports(1, random.SystemRandom())
    secret = f"whsec_{base64.b64encode(SECRET).decode()}"
    async with (
        example("receive_events.py", str(port), WEBHOOK_SECRET=secret) as received,
        at_work(tmp_path, vhost_url, f"http://127.0.0.1:{port}/x") as lab,
    ):
        followed: list[Json] = []
        wanted: list[Event] = []
        for _ in range(2):
            async with example(
                "follow_events.py",
                str(tmp_path / "last-id"),
                EVENTS_URL=f"{lab.stack.gateway_url}/events",
                TOKEN=lab.stack.requestor_key,
            ) as part:
                wanted += await history(lab, await run_chains(lab, 1))
                await as_long_as(part, len(wanted) - len(followed))
            followed += part
        await as_long_as(received, len(wanted))
    told = [json.loads(dump_event(event)) for event in wanted]
    assert followed == told
    for chain_id in {event.subject for event in wanted}:
        of_one = [one for one in received if one["subject"] == chain_id]
        assert of_one == [one for one in told if one["subject"] == chain_id]
