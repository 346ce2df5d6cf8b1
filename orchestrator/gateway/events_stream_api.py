"""Events by server-sent events, for the requestors whose they are (docs/events.md).

    GET /events                     of all its chains
    GET /chains/{chain_id}/events   of one of them, from its beginning to its end

Each frame holds one event as everybody is told it; its id is the event's, and who comes
back with it in `Last-Event-ID` gets what follows it, without a gap or a repeat. Events of
types that were not asked for leave only the id of the last of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from orchestrator.domain.errors import NotConfigured
from orchestrator.domain.telling import Wanted
from orchestrator.gateway.callers import caller
from orchestrator.gateway.desk import Desk
from orchestrator.gateway.events_end import Story, all_told, ends
from orchestrator.gateway.events_stream import EventsWatch, Whose
from orchestrator.gateway.faults import Overloaded
from orchestrator.gateway.problems import Problem
from orchestrator.gateway.sse import HEADERS, EventStream
from orchestrator.ports import Recorded, Store

#: In an event id's place: before the first event. No event has it, as theirs are longer.
START: Final = "start"

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,200}")
_HEADERS: Final = {**HEADERS, "Cache-Control": "no-store"}
_RETRY: Final = {"Retry-After": "5"}

#: How long a listener who lost the stream waits before it comes back.
_COME_BACK: Final = b"retry: 1000\n\n"
_SIGN_OF_LIFE: Final = b":\n\n"

_NO_CONTENT: Final = 204
_BAD_REQUEST: Final = 400
_NOT_FOUND: Final = 404
_UNAVAILABLE: Final = 503

_Type = Annotated[
    str | None,
    Query(alias="type", description="Only these: `session.*,chain.failed`."),
]
_After = Annotated[
    str | None,
    Query(description="As Last-Event-ID, which goes before it; `start` for all."),
]


@dataclass(frozen=True, kw_only=True)
class Begin:
    """Where a stream begins: behind this number, and what a listener remembers of it."""

    number: int
    id: str


_START: Final = Begin(number=0, id=START)


def events_stream_routes(desk: Desk, watch: EventsWatch | None = None) -> APIRouter:
    """The streams of events."""
    router = APIRouter()
    watch = watch or EventsWatch(desk)

    @router.get("/events")
    async def events(
        request: Request, types: _Type = None, after: _After = None
    ) -> Response:
        """All events of the caller's chains, from now on or from behind one of them."""
        whose = Whose(requestor=_caller(desk, request))
        wanted = _wanted(request, types)
        place = _named(request, after)
        begin = await _begin(desk.store, whose, place)
        frames = _frames(watch, whose, begin, wanted)
        return _stream(desk, watch, whose, frames)

    @router.get("/chains/{chain_id}/events")
    async def chain_events(
        chain_id: str, request: Request, types: _Type = None, after: _After = None
    ) -> Response:
        """A chain's events, from its first one; that of somebody else does not exist."""
        whose = Whose(requestor=_caller(desk, request), chain_id=chain_id)
        wanted = _wanted(request, types)
        chain = await desk.store.chain(chain_id)
        if chain is None or chain.requestor != whose.requestor:
            raise Problem(_NOT_FOUND, "there is no such chain of yours")
        place = _named(request, after)
        begin = await _begin(desk.store, whose, place or START)
        if place and chain.ended_at and await all_told(desk, whose, begin.number):
            # That is how an EventSource is told not to come back.
            return Response(status_code=_NO_CONTENT, headers=_HEADERS)
        frames = _frames_of_chain(desk, watch, whose, begin, wanted)
        return _stream(desk, watch, whose, frames)

    return router


def _caller(desk: Desk, request: Request) -> str:
    return caller(desk.authenticator, request.headers, desk.clock())


def _wanted(request: Request, types: str | None) -> Wanted:
    """What is asked for; of a parameter that is given twice, both count."""
    if types is not None:
        types = ",".join(request.query_params.getlist("type"))
    try:
        return Wanted.read(types)
    except NotConfigured as error:
        raise Problem(_BAD_REQUEST, f"type: {error}") from None


def _named(request: Request, after: str | None) -> str | None:
    """The event that the listener has had last; who comes back says it by the header."""
    return request.headers.get("last-event-id") or after


async def _begin(store: Store, whose: Whose, named: str | None) -> Begin:
    """Where to begin; without a place, behind the newest event there is.

    Raises:
        Problem: 400, what is named is no event of these, so nobody knows what follows.
    """
    if named is None:
        last = await store.recorded_last(whose.requestor)
        return Begin(number=last.number, id=last.id) if last else _START
    if named == START:
        return _START
    number = None
    if _ID.fullmatch(named):
        number = await store.recorded_as(named, whose.requestor, chain_id=whose.chain_id)
    if number is None:
        raise Problem(
            _BAD_REQUEST,
            "Last-Event-ID: there is no such event of yours here; begin again without"
            f" it, or with {START}",
        )
    return Begin(number=number, id=named)


def _stream(
    desk: Desk, watch: EventsWatch, whose: Whose, frames: AsyncGenerator[bytes, None]
) -> EventStream:
    try:
        place = watch.admit(whose.requestor)
    except Overloaded:
        message = "too many listen already; close some streams, or come back later"
        raise Problem(_UNAVAILABLE, message, _RETRY) from None
    return EventStream(frames, desk.streams, place, _HEADERS)


async def _frames(
    watch: EventsWatch, whose: Whose, begin: Begin, wanted: Wanted
) -> AsyncGenerator[bytes, None]:
    """What follows, without end.

    The first frame has an id and no data: who is cut off before the first event comes
    back to the same place.
    """
    yield _COME_BACK + f"id: {begin.id}\n\n".encode()
    async with aclosing(watch.pages(whose, begin.number)) as pages:
        async for page in pages:
            told = [one for one in page if wanted.all or wanted.takes(_type_of(one))]
            yield _told(told, page)


async def _frames_of_chain(
    desk: Desk, watch: EventsWatch, whose: Whose, begin: Begin, wanted: Wanted
) -> AsyncGenerator[bytes, None]:
    """What follows, until the chain is over and nothing more is to come.

    It is read from its beginning, to know whether it is over.
    """
    yield _COME_BACK + f"id: {begin.id}\n\n".encode()
    story = Story()
    async with aclosing(watch.pages(whose, 0)) as pages:
        async for page in pages:
            if not page and await ends(desk, whose, story):
                return
            story.take(page)
            new = [one for one in page if one.number > begin.number]
            yield _told([one for one in new if wanted.takes(_type_of(one))], new)


def _type_of(event: Recorded) -> str:
    found: str = json.loads(event.body)["type"]
    return found


def _told(told: list[Recorded], page: list[Recorded]) -> bytes:
    """As frames, the last of which leaves the page's last id; none is a sign of life.

    Without that id, who wants rare types would come back to a place long past, and who
    has a chain's last event left out would never hear that this was all.
    """
    frames = [f"id: {one.id}\ndata: {one.body}\n\n" for one in told]
    if page and page[-1:] != told[-1:]:
        frames.append(f"id: {page[-1].id}\n\n")
    return "".join(frames).encode() or _SIGN_OF_LIFE
