"""The requestors' endpoint: it answers by script, and notes what it got and said."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from aiohttp import web

from orchestrator.proof.endpoints import listening, serving
from orchestrator.proof.events_books import Posted
from orchestrator.proof.events_scripts import SCRIPTS, Said
from orchestrator.proof.lab import Json, disclosure, issuance
from schemas.events import Purpose


@dataclass
class Journal:
    """What came to the endpoint and what it said, by chain."""

    url: str
    posted: dict[str, list[Posted]] = field(default_factory=lambda: defaultdict(list))

    def first_request(self, script: int) -> Json:
        """What a requestor starts a chain of this script with."""
        chosen = SCRIPTS[script]
        request = disclosure(self._next_url(script) if chosen.chained else None)
        if chosen.notified:
            request["callbackUrl"] = f"{self.url}/notify"
        return request

    async def next(self, request: web.Request) -> web.StreamResponse:
        """A result, and what to do next."""
        await request.read()
        number = int(request.match_info["script"])
        chain_id, step = _place(request)
        attempt = sum(
            one.step == step and one.purpose is Purpose.NEXT
            for one in self.posted[chain_id]
        )
        said = SCRIPTS[number].answer(step, attempt)
        self.posted[chain_id].append(Posted(step, Purpose.NEXT, said))
        return self._answer(number, step, said)

    async def notify(self, request: web.Request) -> web.StreamResponse:
        """A result for a `callbackUrl`."""
        await request.read()
        chain_id, step = _place(request)
        self.posted[chain_id].append(Posted(step, Purpose.NOTIFY, Said.END))
        return web.Response(status=HTTPStatus.NO_CONTENT)

    def _answer(self, script: int, step: int, said: Said) -> web.Response:
        match said:
            case Said.NEXT:
                return web.json_response(_session(step + 1, self._next_url(script)))
            case Said.LAST:
                return web.json_response(_session(step + 1, None))
            case Said.NONSENSE:
                return web.json_response({"request": "none"})
            case Said.END | Said.AGAIN | Said.LATER | Said.REFUSED:
                return web.Response(status=_STATUS[said], headers=_HEADERS.get(said))

    def _next_url(self, script: int) -> str:
        return f"{self.url}/next/{script}"


_STATUS: Final = {
    Said.END: HTTPStatus.NO_CONTENT,
    Said.AGAIN: HTTPStatus.SERVICE_UNAVAILABLE,
    Said.LATER: HTTPStatus.SERVICE_UNAVAILABLE,
    Said.REFUSED: HTTPStatus.GONE,
}

#: What asks to come later leaves the app's flow, however soon later is.
_HEADERS: Final = {Said.LATER: {"Retry-After": "1"}}


def _session(step: int, next_url: str | None) -> Json:
    """Memberships are issued at even steps, names disclosed at odd ones."""
    return disclosure(next_url) if step % 2 else issuance(next_url)


def _place(request: web.Request) -> tuple[str, int]:
    return request.headers["Chain-Id"], int(request.headers["Chain-Step"])


@asynccontextmanager
async def journal_at_work() -> AsyncIterator[Journal]:
    """The endpoint at work, and its journal."""
    listener, url = listening()
    journal = Journal(url)
    app = web.Application()
    app.router.add_post("/next/{script}", journal.next)
    app.router.add_post("/notify", journal.notify)
    async with serving(app, listener):
        yield journal
