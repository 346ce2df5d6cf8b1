"""The pretend IRMA server to a browser: pairing, and status changes as they happen."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from orchestrator.proof.endpoints import Received
from tests.contract.app_lab import APP, DISCLOSURE, PROOFS, Lab, lab
from tests.contract.sandbox_lab import BOUND_S, Json, sandbox_at_work

OPTIONS: Json = {"@context": "https://irma.app/ld/request/frontendoptions/v1"}
PIN: Json = {**OPTIONS, "pairingMethod": "pin"}


class Frontend:
    """A browser that follows a session."""

    def __init__(self, lab: Lab, package: Json) -> None:
        self.lab = lab
        self.u: str = package["sessionPtr"]["u"]
        self.headers = {"Authorization": package["frontendRequest"]["authorization"]}

    async def ask(self, method: str, path: str, **options: Json) -> tuple[int, Json]:
        """Make a request with the frontend token."""
        url = f"{self.u}/frontend/{path}"
        return await self.lab.ask(method, url, headers=self.headers, **options)


async def asks_for_more(_: int, __: Received) -> web.StreamResponse:
    """An endpoint that asks for another session."""
    return web.json_response(DISCLOSURE)


async def test_pairing() -> None:
    """With pairing on, the app gets the code first and the request when it was typed."""
    async with lab() as here:
        frontend = Frontend(here, await here.start())
        _, options = await frontend.ask("POST", "options", json=PIN)
        _, connected = await here.ask("GET", frontend.u)
        waiting = await frontend.ask("GET", "status")
        early = await here.ask("GET", f"{frontend.u}/request")
        proofs = await here.ask("POST", f"{frontend.u}/proofs", json=PROOFS)
        completed = await frontend.ask("POST", "pairingcompleted")
        _, request = await here.ask("GET", f"{frontend.u}/request")
        answer = await here.ask("POST", f"{frontend.u}/proofs", json=PROOFS)
    assert options["pairingMethod"] == "pin"
    assert len(options["pairingCode"]) == 4
    assert connected["options"] == options
    assert "request" not in connected
    assert waiting == (200, {"status": "PAIRING"})
    assert (early[0], early[1]["error"]) == (403, "PAIRING_REQUIRED")
    assert (proofs[0], proofs[1]["error"]) == (403, "PAIRING_REQUIRED")
    assert completed == (204, None)
    assert request.items() >= DISCLOSURE.items()
    assert answer == (200, {"proofStatus": "VALID"})


async def test_pairing_off_again() -> None:
    """Options can be read and taken back; then the app gets the request at once."""
    async with lab() as here:
        frontend = Frontend(here, await here.start())
        _, on = await frontend.ask("POST", "options", json=PIN)
        read = await frontend.ask(
            "POST", "options", json={**OPTIONS, "pairingMethod": ""}
        )
        off = await frontend.ask(
            "POST", "options", json={**OPTIONS, "pairingMethod": "none"}
        )
        _, connected = await here.ask("GET", frontend.u)
    plain = {"@context": "https://irma.app/ld/options/v1", "pairingMethod": "none"}
    assert read == (200, on)
    assert off == (200, plain)
    assert connected["options"] == plain
    assert "request" in connected


@pytest.mark.parametrize(
    "body", [{}, {**OPTIONS, "pairingMethod": "smell"}, {**OPTIONS, "@context": "x"}, []]
)
async def test_options_that_cannot_be_read(body: Json) -> None:
    """Options of another shape are malformed input."""
    async with lab() as here:
        frontend = Frontend(here, await here.start())
        status, answer = await frontend.ask("POST", "options", json=body)
    assert (status, answer["error"]) == (400, "MALFORMED_INPUT")


async def test_options_come_too_late() -> None:
    """Once the app is there, options are not changed."""
    async with lab() as here:
        frontend = Frontend(here, await here.connected())
        status, answer = await frontend.ask("POST", "options", json=PIN)
    assert (status, answer["error"]) == (403, "UNEXPECTED_REQUEST")


@pytest.mark.parametrize(
    "method, path",
    [
        ("GET", "status"),
        ("GET", "statusevents"),
        ("POST", "options"),
        ("POST", "pairingcompleted"),
    ],
)
async def test_frontend_needs_its_token(method: str, path: str) -> None:
    """All of the frontend's routes are for who holds the frontend token."""
    async with lab(sse=True) as here:
        u = await here.pointer()
        status, answer = await here.ask(method, f"{u}/frontend/{path}", json=PIN)
    assert (status, answer["error"]) == (403, "UNAUTHORIZED")
    assert answer["description"] == "You are not authorized to access the session"


@asynccontextmanager
async def listening(
    here: Lab, url: str, headers: Json = None
) -> AsyncIterator[aiohttp.StreamReader]:
    """A stream of events, from when it is open; nothing was said before."""
    timeout = aiohttp.ClientTimeout(total=BOUND_S)
    async with here.http.get(url, headers=headers, timeout=timeout) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.headers["X-Accel-Buffering"] == "no"
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert await response.content.readuntil(b"\n\n") == b"event: open\n\n"
        yield response.content


async def test_events() -> None:
    """Everybody hears of each change once, until the session is over."""
    async with lab(sse=True) as here:
        package = await here.start()
        frontend = Frontend(here, package)
        requestor_url = f"{here.server}/session/{package['token']}/statusevents"
        async with (
            listening(here, requestor_url) as requestor,
            listening(here, f"{frontend.u}/statusevents") as app,
            listening(
                here, f"{frontend.u}/frontend/statusevents", frontend.headers
            ) as browser,
        ):
            await here.ask("GET", frontend.u)
            await here.ask("POST", f"{frontend.u}/proofs", json=PROOFS)
            told = [await one.read() for one in (requestor, app, browser)]
    # The streams that were there first are told that others came.
    for stream in told[:2]:
        quiet = stream.replace(b"event: open\n\n", b"")
        assert quiet == b'data: "CONNECTED"\n\ndata: "DONE"\n\n'
    assert told[2] == b'data: {"status":"CONNECTED"}\n\ndata: {"status":"DONE"}\n\n'


async def test_event_names_the_next_session() -> None:
    """The browser hears of DONE together with the pointer of what follows."""
    async with lab(asks_for_more, sse=True) as here:
        package = await here.connected(chained=True)
        frontend = Frontend(here, package)
        url = f"{frontend.u}/frontend/statusevents"
        async with listening(here, url, frontend.headers) as browser:
            await here.ask("POST", f"{frontend.u}/proofs", json=PROOFS)
            told = await browser.read()
        _, status = await frontend.ask("GET", "status")
    assert status["nextSession"]["irmaqr"] == "disclosing"
    u = status["nextSession"]["u"]
    expected = f'{{"status":"DONE","nextSession":{{"u":"{u}","irmaqr":"disclosing"}}}}'
    assert told == f"data: {expected}\n\n".encode()


async def test_timeout_is_told() -> None:
    """A session that times out says so by itself, and that was all."""
    async with lab(sse=True, max_session_lifetime_s=1, clock=time.time) as here:
        u = await here.pointer()
        async with listening(here, f"{u}/statusevents") as app:
            assert await app.read() == b'data: "TIMEOUT"\n\n'


async def test_forgotten_session() -> None:
    """The stream of a session that the server forgot ends when its time has come."""
    async with lab(sse=True, max_session_lifetime_s=1, clock=time.time) as here:
        u = await here.pointer()
        async with listening(here, f"{u}/statusevents") as app:
            await here.ask("POST", f"{here.server}/sandbox/restart")
            assert await app.read() == b""


async def test_events_of_a_session_that_is_over() -> None:
    """There is nothing more to hear of a finished session."""
    async with lab(sse=True) as here:
        package = await here.start()
        u = package["sessionPtr"]["u"]
        await here.ask("DELETE", u)
        for url in (f"{u}/statusevents", f"{here.server}/session/{package['token']}"):
            path = url if url.endswith("events") else f"{url}/statusevents"
            status, answer = await here.ask("GET", path)
            assert (status, answer["error"]) == (403, "UNEXPECTED_REQUEST")


async def test_events_of_no_session() -> None:
    """An app's unknown session is unknown, a requestor's is not supported."""
    async with lab(sse=True) as here:
        unknown = "A" * 20
        app = await here.ask("GET", f"{here.server}/irma/session/{unknown}/statusevents")
        requestor = await here.ask("GET", f"{here.server}/session/{unknown}/statusevents")
        nonsense = await here.ask("GET", f"{here.server}/session/abc/statusevents")
    assert (app[0], app[1]["error"]) == (400, "SESSION_UNKNOWN")
    assert (requestor[0], requestor[1]["error"]) == (501, "UNSUPPORTED")
    assert (nonsense[0], nonsense[1]["error"]) == (400, "INVALID_REQUEST")


async def test_events_are_off() -> None:
    """Unless switched on, there are no events for anybody."""
    async with lab() as here:
        package = await here.start()
        u = package["sessionPtr"]["u"]
        app = await here.ask("GET", f"{u}/statusevents", headers=APP)
        browser = await Frontend(here, package).ask("GET", "statusevents")
    assert (app[0], app[1]["error"]) == (500, "SSE_DISABLED")
    assert (browser[0], browser[1]["error"]) == (500, "SSE_DISABLED")


async def test_server_stops_while_somebody_listens() -> None:
    """An open stream ends, in good order, when the server does."""
    async with aiohttp.ClientSession() as http:
        async with sandbox_at_work(sse=True) as (_, server):
            async with http.post(f"{server}/session", json=DISCLOSURE) as started:
                u = (await started.json())["sessionPtr"]["u"]
            stream = await http.get(f"{u}/statusevents")
            assert await stream.content.readuntil(b"\n\n") == b"event: open\n\n"
        async with asyncio.timeout(BOUND_S):
            assert await stream.read() == b""
