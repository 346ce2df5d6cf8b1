"""The faults of an IRMA server, switched on at a sandbox at work (irma.md §11)."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web

from orchestrator.proof.endpoints import (
    Endpoint,
    Received,
    Script,
    endpoint_at_work,
    no_content,
)
from orchestrator.sandbox import Outcome, Wallet
from orchestrator.sandbox.http import RUNNING
from orchestrator.sandbox.knobs import Fault, Faults
from schemas.irma import SessionPointer
from tests.contract.app_lab import APP, DISCLOSURE, PROOFS
from tests.contract.sandbox_lab import BOUND_S, RECORDED_NOW, Json, sandbox_at_work

ALL_OFF = {
    "slow_handler": None,
    "lost_update": None,
    "duplicate_post": None,
    "reset_after_processing": None,
    "stale_read": None,
    "repeated_timeout": None,
}


class Clock:
    """The sandbox's time, moved by hand."""

    def __init__(self) -> None:
        self.now = RECORDED_NOW

    def __call__(self) -> float:
        """The time now."""
        return self.now


@dataclass
class World:
    """A sandbox at work, what its endpoint received, and somebody who makes trouble."""

    app: web.Application
    server: str
    endpoint: Endpoint
    http: aiohttp.ClientSession
    clock: Clock
    token: str = ""

    async def call(self, method: str, path: str, **options: Json) -> tuple[int, Json]:
        """One call to the sandbox: status and JSON of the answer."""
        url = path if path.startswith("http") else f"{self.server}{path}"
        async with self.http.request(method, url, **options) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None

    async def switch(self, **faults: Json) -> None:
        """Switch on these faults and no others."""
        status, _ = await self.call("PUT", "/sandbox/faults", json=faults)
        assert status == 200

    async def start(self, **extended: Json) -> SessionPointer:
        """Start a session with a chain endpoint and a callback."""
        request = {
            "request": DISCLOSURE,
            "nextSession": {"url": f"{self.endpoint.url}/next"},
            "callbackUrl": f"{self.endpoint.url}/cb",
            **extended,
        }
        _, package = await self.call("POST", "/session", json=request)
        self.token = package["token"]
        return SessionPointer.model_validate(package["sessionPtr"])

    async def status(self) -> str:
        """What the requestor is told of the session."""
        _, status = await self.call("GET", f"/session/{self.token}/status")
        return str(status)

    async def played(self) -> Outcome:
        """A session, played until the server has nothing more to do."""
        outcome = await Wallet().run(await self.start())
        async with asyncio.timeout(BOUND_S):
            while running := self.app[RUNNING]:
                await asyncio.wait(running)
        return outcome

    async def connected(self) -> str:
        """Start a session whose app has come for the request; where it is."""
        u = (await self.start()).u
        assert (await self.call("GET", u, headers=APP))[0] == 200
        return u

    def posts(self) -> list[tuple[str, str]]:
        """What the endpoint was told, and where."""
        return [
            (one.path, json.loads(one.body)["status"]) for one in self.endpoint.received
        ]


@asynccontextmanager
async def world(script: Script = no_content, **options: Json) -> AsyncIterator[World]:
    """Everything that is needed, gone afterwards."""
    options = {"allow_unsigned_callbacks": True, **options}
    clock = Clock()
    async with (
        endpoint_at_work(script) as endpoint,
        sandbox_at_work(clock, **options) as (app, server),
        aiohttp.ClientSession() as http,
    ):
        yield World(app, server, endpoint, http, clock)


async def test_faults_are_switched_at_run_time() -> None:
    """What is put is what is on; what is not named is off again."""
    async with world() as here:
        assert await here.call("GET", "/sandbox/faults") == (200, ALL_OFF)
        on = {**ALL_OFF, "lost_update": {"times": 2}}
        wanted = {"lost_update": {"times": 2}}
        assert await here.call("PUT", "/sandbox/faults", json=wanted) == (200, on)
        assert await here.call("GET", "/sandbox/faults") == (200, on)
        assert await here.call("PUT", "/sandbox/faults", json={}) == (200, ALL_OFF)


async def test_faults_may_be_on_from_the_start() -> None:
    """The configuration says what goes wrong before anybody switches."""
    async with world(faults=Faults(stale_read=Fault(times=1))) as here:
        _, faults = await here.call("GET", "/sandbox/faults")
    assert faults == {**ALL_OFF, "stale_read": {"times": 1}}


async def test_what_is_no_fault_changes_nothing() -> None:
    """A mistake is answered with the field and the reason, and what was on stays."""
    async with world() as here:
        await here.switch(lost_update={"times": 2})
        wrong = {"lost_update": {"times": -1}, "slow": {}}
        status, answer = await here.call("PUT", "/sandbox/faults", json=wrong)
        assert (status, answer["error"]) == (400, "INVALID_REQUEST")
        assert "lost_update.times: Input should be greater" in answer["message"]
        assert "slow: Extra inputs are not permitted" in answer["message"]
        _, faults = await here.call("GET", "/sandbox/faults")
    assert faults["lost_update"] == {"times": 2}


@pytest.mark.parametrize("origin", ["http://evil.example", "null"])
async def test_pages_of_other_sites_switch_nothing(origin: str) -> None:
    """A browser that comes from elsewhere neither changes faults nor restarts."""
    headers = {"Origin": origin}
    async with world() as here:
        await here.start()
        faults = await here.call("PUT", "/sandbox/faults", json={}, headers=headers)
        restarted = await here.call("POST", "/sandbox/restart", headers=headers)
        assert (faults[0], restarted[0]) == (403, 403)
        assert await here.status() == "INITIALIZED"


async def test_slow_proofs() -> None:
    """The app is cut off and cancels; the handler goes on, announces DONE and loses."""
    async with world(handler_cut_s=0.2) as here:
        await here.switch(slow_handler={"delay_s": 1, "times": 1})
        outcome = await here.played()
        assert outcome.steps[0].http_status == 503
        assert here.posts() == [
            ("/cb/", "CANCELLED"),
            ("/next", "CONNECTED"),
            ("/cb/", "DONE"),
        ]
        assert await here.status() == "CANCELLED"
        assert (await here.played()).status == "success"


async def test_slow_commit() -> None:
    """The endpoint has answered in time, and yet the app is cut off and cancels."""
    async with world(handler_cut_s=0.2) as here:
        await here.switch(slow_handler={"delay_s": 1, "during": "commit"})
        outcome = await here.played()
        assert outcome.steps[0].http_status == 503
        assert here.posts() == [
            ("/next", "CONNECTED"),
            ("/cb/", "DONE"),
            ("/cb/", "CANCELLED"),
        ]
        assert await here.status() == "CANCELLED"


async def test_slow_within_the_cut_off() -> None:
    """A handler that is slow, but not too slow, is only waited for."""
    async with world() as here:
        await here.switch(slow_handler={"delay_s": 0.3})
        outcome = await here.played()
    assert outcome.status == "success"
    assert outcome.steps[0].ended_at_s >= 0.3


async def test_lost_update() -> None:
    """All POSTs were made, yet nothing is stored, until the app's DELETE is."""
    async with world() as here:
        await here.switch(lost_update={"times": 1})
        u = await here.connected()
        status, answer = await here.call("POST", f"{u}/proofs", json=PROOFS, headers=APP)
        assert (status, answer["error"]) == (500, "INTERNAL_ERROR")
        assert here.posts() == [("/next", "CONNECTED"), ("/cb/", "DONE")]
        assert await here.status() == "CONNECTED"
        await here.call("DELETE", u)
        assert here.posts()[2:] == [("/cb/", "CANCELLED")]
        assert await here.status() == "CANCELLED"


@pytest.mark.trap("T9")
async def test_duplicate_post() -> None:
    """The same bytes come twice, and what counts is the second answer."""

    async def script(number: int, _: Received) -> web.StreamResponse:
        return web.json_response(DISCLOSURE) if number == 0 else web.Response(status=204)

    async with world(script) as here:
        await here.switch(duplicate_post={"times": 1})
        outcome = await here.played()
        first, again, callback = here.endpoint.received
    assert (first.path, first.body) == (again.path, again.body)
    assert again.at_s - first.at_s >= 0.1
    assert callback.path == "/cb/"
    assert [step.status for step in outcome.steps] == ["success"]


async def test_every_post_is_made_twice() -> None:
    """Switched on without a number, chain POST and callback are both repeated."""
    async with world() as here:
        await here.switch(duplicate_post={})
        await here.played()
        assert [one.path for one in here.endpoint.received] == [
            *("/next", "/next"),
            *("/cb/", "/cb/"),
        ]


async def test_reset_after_processing() -> None:
    """The app gets no answer, asks again and gets the same; nothing is done twice."""
    async with world() as here:
        await here.switch(reset_after_processing={"times": 1})
        u = await here.connected()
        with pytest.raises(aiohttp.ClientConnectionError):
            await here.call("POST", f"{u}/proofs", json=PROOFS, headers=APP)
        assert await here.status() == "DONE"
        again = await here.call("POST", f"{u}/proofs", json=PROOFS, headers=APP)
        assert again == (200, {"proofStatus": "VALID"})
        assert here.posts() == [("/next", "CONNECTED"), ("/cb/", "DONE")]


async def test_wallet_survives_resets() -> None:
    """Two resets are what the app's two retries are for."""
    async with world() as here:
        await here.switch(reset_after_processing={"times": 2})
        assert (await here.played()).status == "success"
        await here.switch(reset_after_processing={"times": 3})
        lost = await here.played()
    assert (lost.status, lost.steps[0].http_status) == ("failure", 0)


async def test_restart_with_state_loss() -> None:
    """Nobody knows the session any more; new ones are started as ever."""
    async with world() as here:
        u = await here.connected()
        assert await here.call("POST", "/sandbox/restart") == (204, None)
        for path in (f"/session/{here.token}/result", f"{u}/status"):
            status, answer = await here.call("GET", path)
            assert (status, answer["error"]) == (400, "SESSION_UNKNOWN")
        assert (await here.played()).status == "success"


async def test_restart_breaks_off_what_is_going_on() -> None:
    """An app whose proofs are worked on loses its connection, and then its session."""
    asked = asyncio.Event()

    async def script(_: int, __: Received) -> web.StreamResponse:
        asked.set()
        await asyncio.Event().wait()
        return web.Response()

    async with world(script) as here:
        pointer = await here.start()
        async with asyncio.timeout(BOUND_S), asyncio.TaskGroup() as tasks:
            run = tasks.create_task(Wallet().run(pointer))
            await asked.wait()
            await here.call("POST", "/sandbox/restart")
        step = run.result().steps[0]
    assert (step.status, step.http_status) == ("failure", 400)
    assert isinstance(step.error, dict)
    assert step.error["error"] == "SESSION_UNKNOWN"


@pytest.mark.trap("T10")
async def test_stale_read() -> None:
    """A requestor who looks too early sees what was before the last change."""
    async with world() as here:
        await here.played()
        await here.switch(stale_read={"times": 1})
        result = f"/session/{here.token}/result"
        _, stale = await here.call("GET", result)
        _, fresh = await here.call("GET", result)
    assert (stale["status"], "disclosed" in stale) == ("CONNECTED", False)
    assert (fresh["status"], "disclosed" in fresh) == ("DONE", True)


async def test_nothing_is_older_than_the_start() -> None:
    """A session that never changed cannot be read too early, and that is not counted."""
    async with world() as here:
        await here.switch(stale_read={"times": 1})
        await here.start()
        assert await here.status() == "INITIALIZED"
        _, faults = await here.call("GET", "/sandbox/faults")
    assert faults["stale_read"] == {"times": 1}


@pytest.mark.trap("T9")
async def test_repeated_timeout() -> None:
    """Everybody who looks has TIMEOUT announced once more, until it is switched off."""
    async with world() as here:
        await here.switch(repeated_timeout={})
        await here.start(timeout=60)
        here.clock.now += 60.1
        assert [await here.status() for _ in range(3)] == ["TIMEOUT"] * 3
        assert here.posts() == [("/cb/", "TIMEOUT")] * 3
        await here.switch()
        assert [await here.status() for _ in range(3)] == ["TIMEOUT"] * 3
        assert here.posts() == [("/cb/", "TIMEOUT")] * 4


async def test_delete_ends_repeated_timeouts() -> None:
    """A DELETE stores the TIMEOUT; nobody hears of it any more."""
    async with world() as here:
        await here.switch(repeated_timeout={})
        await here.start(timeout=60)
        here.clock.now += 60.1
        assert (await here.call("DELETE", f"/session/{here.token}"))[0] == 200
        announced = len(here.endpoint.received)
        assert await here.status() == "TIMEOUT"
        assert len(here.endpoint.received) == announced
