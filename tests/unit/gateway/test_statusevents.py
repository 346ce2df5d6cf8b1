"""Sessions followed by server-sent events (irma.md §1.3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI

from orchestrator.gateway import Desk, Options, faults
from orchestrator.gateway.cors import Cors
from orchestrator.gateway.events_api import events_routes
from orchestrator.gateway.following import Following
from orchestrator.gateway.paths import Paths
from orchestrator.gateway.sse import EventStream, Places, Streams
from tests.support.asgi import Answer, call
from tests.support.samples import PUBLIC_URL, TARGET, disclosure, issuance, result_of
from tests.support.streaming import Stream, streaming
from tests.support.workshop import Begun, Workshop

SSE = Options(public_url=PUBLIC_URL, sse=True)
UNKNOWN = (501, "UNSUPPORTED")


class Followed:
    """A gateway that polls often, and who listens at it."""

    def __init__(self, workshop: Workshop, *, listeners_max: int = 10) -> None:
        self.desk: Desk = workshop.desk(options=SSE)
        self.following = Following(poll_s=0.001, open_s=60.0, listeners_max=listeners_max)
        self.app = FastAPI(redirect_slashes=False)
        faults.install(self.app)
        self.app.add_middleware(Paths)
        self.app.add_middleware(Cors)
        self.app.include_router(events_routes(self.desk, self.following))

    @asynccontextmanager
    async def listening(self, token: str, **headers: str) -> AsyncIterator[Stream]:
        """Somebody follows a session, and is known to."""
        before = self.following.listeners
        path = f"/session/{token}/statusevents"
        async with streaming(self.app, path, headers) as stream:
            async with asyncio.timeout(5.0):
                while self.following.listeners == before:  # noqa: ASYNC110 - some turns
                    await asyncio.sleep(0)
            yield stream

    async def refused(self, token: str) -> Answer:
        """What is answered where nothing can be followed."""
        return await call(self.app, "GET", f"/session/{token}/statusevents")


def stands(workshop: Workshop, begun: Begun, status: str) -> None:
    """What the backend has stored of a session from now on."""
    proof = "VALID" if status == "DONE" else None
    workshop.backend.results[begun.token] = result_of(begun.token, status, proof)


async def test_changes_are_told_in_frames(workshop: Workshop) -> None:
    """JSON strings, each change once, until the session is over."""
    begun = await workshop.begin(disclosure())
    stands(workshop, begun, "INITIALIZED")
    async with Followed(workshop).listening(begun.token) as stream:
        stands(workshop, begun, "CONNECTED")
        assert await stream.part() == b'data: "CONNECTED"\n\n'
        stands(workshop, begun, "DONE")
        assert await stream.rest() == [b'data: "DONE"\n\n']


async def test_a_stream_has_the_headers_of_the_irma_server(workshop: Workshop) -> None:
    """Nothing on the way keeps or gathers events; any page may read them."""
    begun = await workshop.begin(disclosure())
    stands(workshop, begun, "INITIALIZED")
    followed = Followed(workshop)
    async with followed.listening(begun.token, origin="https://shop.example") as stream:
        assert stream.status == 200
        assert stream.headers == {
            "content-type": "text/event-stream",
            "cache-control": "no-cache",
            "connection": "keep-alive",
            "x-accel-buffering": "no",
            "access-control-allow-origin": "*",
            "access-control-allow-methods": "GET, OPTIONS",
            "access-control-allow-headers": (
                "Keep-Alive,X-Requested-With,Cache-Control,Content-Type,Last-Event-ID"
            ),
            "vary": "Origin",
        }


async def test_what_is_known_here_is_told_though_the_backend_forgot(
    workshop: Workshop,
) -> None:
    """The final state came by callback; nothing is stored at the IRMA server."""
    begun = await workshop.begin(disclosure())
    stands(workshop, begun, "CONNECTED")
    async with Followed(workshop).listening(begun.token) as stream:
        del workshop.backend.results[begun.token]
        await workshop.report(begun.slot, result_of(begun.token, "DONE"))
        assert await stream.rest() == [b'data: "DONE"\n\n']


async def test_a_lost_update_is_not_told(workshop: Workshop) -> None:
    """A result that was taken in stays, so its session is DONE whatever is stored."""
    begun = await workshop.begin()
    stands(workshop, begun, "CONNECTED")
    async with Followed(workshop).listening(begun.token) as stream:
        await workshop.carry_on(workshop.callback(begun.slot, begun.token), issuance())
        stands(workshop, begun, "CANCELLED")
        lost = result_of(begun.token, "CANCELLED", None)
        await workshop.report(begun.slot, lost, "poll")
        assert await stream.rest() == [b'data: "DONE"\n\n']


async def test_the_poller_asks_for_no_more_than_the_status(workshop: Workshop) -> None:
    """Attributes are not fetched over and over."""
    begun = await workshop.begin(disclosure())
    stands(workshop, begun, "INITIALIZED")
    async with Followed(workshop).listening(begun.token):
        looked = workshop.backend.looking = _Count()
        asked = len(workshop.backend.asked)
        async with asyncio.timeout(5.0):
            while len(workshop.backend.asked) < asked + 3:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert looked.count == 0


class _Count:
    """Counts the results that are looked up."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self) -> None:
        self.count += 1


async def test_without_the_option_nothing_is_followed(workshop: Workshop) -> None:
    """500 SSE_DISABLED as the IRMA server's, of every session there is."""
    begun = await workshop.begin(disclosure())
    for token, said in ((begun.token, (500, "SSE_DISABLED")), ("A" * 20, UNKNOWN)):
        path = f"/session/{token}/statusevents"
        answer = await call(workshop.gateway, "GET", path)
        assert (answer.status, answer.fields["error"]) == said


async def test_a_finished_session_is_not_followed(workshop: Workshop) -> None:
    """403: nothing will happen to it."""
    begun = await workshop.begin(disclosure())
    await workshop.report(begun.slot, result_of(begun.token, "DONE"))
    answer = await Followed(workshop).refused(begun.token)
    assert (answer.status, answer.fields["error"]) == (403, "UNEXPECTED_REQUEST")
    assert answer.fields["message"] == (
        "Can't subscribe to server sent events of finished session"
    )


async def test_an_unknown_session_is_unsupported_here(workshop: Workshop) -> None:
    """501 on this route alone, also where the backend has forgotten a live session."""
    begun = await workshop.begin(disclosure())
    for token in ("A" * 20, begun.token):
        answer = await Followed(workshop).refused(token)
        assert (answer.status, answer.fields["error"]) == UNKNOWN


async def test_what_is_no_token_is_not_followed(workshop: Workshop) -> None:
    """As on every route, whether events are configured or not."""
    for app in (Followed(workshop).app, workshop.gateway):
        answer = await call(app, "GET", "/session/short/statusevents")
        assert (answer.status, answer.fields["error"]) == (400, "INVALID_REQUEST")


async def test_a_backend_that_is_away_cannot_be_followed(workshop: Workshop) -> None:
    """503: what would the changes be to?"""
    begun = await workshop.begin(disclosure())
    workshop.backend.unreachable = True
    assert (await Followed(workshop).refused(begun.token)).status == 503


async def test_too_many_listeners_are_sent_away(workshop: Workshop) -> None:
    """503 with a time to come back; one who leaves makes room."""
    begun = await workshop.begin(disclosure())
    stands(workshop, begun, "INITIALIZED")
    followed = Followed(workshop, listeners_max=1)
    async with followed.listening(begun.token):
        answer = await followed.refused(begun.token)
        assert (answer.status, answer.fields["status"]) == (503, 503)
        assert answer.headers["retry-after"] == "5"
    assert followed.following.listeners == 0
    async with followed.listening(begun.token) as stream:
        assert stream.status == 200


async def test_streams_end_with_the_server(workshop: Workshop) -> None:
    """No listener keeps a process from stopping; who comes late ends at once (G9)."""
    begun = await workshop.begin(disclosure(TARGET))
    stands(workshop, begun, "INITIALIZED")
    followed = Followed(workshop)
    async with followed.listening(begun.token) as stream:
        followed.desk.streams.close()
        assert await stream.rest() == []
    path = f"/session/{begun.token}/statusevents"
    async with streaming(followed.app, path) as late:
        assert await late.rest() == []
    assert followed.following.listeners == 0


async def failing() -> AsyncGenerator[bytes, None]:
    """One frame, then a fault."""
    yield b"one"
    raise ZeroDivisionError


async def test_a_stream_that_fails_is_a_defect() -> None:
    """The server gets to see it; the client had what came before."""
    places = Places(places_max=1, each_max=1)
    answer = EventStream(failing(), Streams(), places.take("s"))
    with pytest.raises(ZeroDivisionError):
        async with streaming(answer, "/") as stream:
            assert await stream.part() == b"one"
    places.take("s")  # freed by the stream that failed
