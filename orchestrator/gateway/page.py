"""The chain page: one unguessable URL per chain, for its user (docs/chain-page.md).

    GET /page/{token}                the page
    GET /page/{token}/status         what it shows, as JSON
    GET /page/{token}/statusevents   the same and each change of it, as server-sent events
    GET /page/assets/{name}          its style and script

Whoever knows the URL is the user: it stands in no log, and nothing sends it elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final

import structlog
from fastapi import APIRouter, Request, Response

from orchestrator.domain.chain import Step
from orchestrator.domain.errors import (
    BackendRefused,
    BackendUnavailable,
    Refused,
    SealBroken,
    Unavailable,
)
from orchestrator.gateway import page_html
from orchestrator.gateway.connecting import noticed
from orchestrator.gateway.desk import Desk
from orchestrator.gateway.faults import JSON_TYPE, Overloaded
from orchestrator.gateway.page_texts import Language, language_of
from orchestrator.gateway.page_view import current, followed, overtaken, page_of
from orchestrator.gateway.page_watch import LOOK_S, VIEWERS_MAX, PageWatch
from orchestrator.gateway.problems import Problem
from orchestrator.gateway.sessions import over
from orchestrator.gateway.sse import HEADERS, EventStream
from schemas.chain_page import ChainPage
from schemas.irma import Status

_log = structlog.get_logger(__name__)

#: The URL is a secret: no other site is told of it, no cache and no index keeps it.
_SECRET: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
}
_PAGE: Final = _SECRET | {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:;"
        " connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "Accept-Language",
}
_ASSET: Final = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
}
#: Any page may show what the chain's user may see; nothing is sent along by a browser.
_PUBLIC: Final = _SECRET | {"Access-Control-Allow-Origin": "*"}

_RETRY: Final = {"Retry-After": "5"}

#: How long a viewer who lost the stream waits before it comes back.
_COME_BACK: Final = b"retry: 1000\n\n"
_SIGN_OF_LIFE: Final = b":\n\n"

_NO_CONTENT: Final = 204
_NOT_FOUND: Final = 404
_UNAVAILABLE: Final = 503


def page_routes(
    desk: Desk, *, look_s: float = LOOK_S, viewers_max: int = VIEWERS_MAX
) -> APIRouter:
    """The page and what it is made of; how chains are looked at is `PageWatch`'s."""
    router = APIRouter()
    assets = page_html.Assets()
    watch = PageWatch(
        lambda chain_id, seen: look(desk, chain_id, seen),
        look_s=look_s,
        viewers_max=viewers_max,
    )

    @router.get("/page/assets/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        """The page's style and script."""
        found = assets.file(name)
        if found is None:
            raise Problem(_NOT_FOUND, "there is no such file")
        content, content_type = found
        return Response(content, headers=_ASSET | {"Content-Type": content_type})

    @router.get("/page/{token}")
    async def page(token: str, request: Request, lang: str | None = None) -> Response:
        """The page for the chain's user."""
        language = language_of(lang, request.headers.get("accept-language", ""))
        try:
            shown = await _shown(desk, watch, token)
        except Problem as problem:
            away = problem.status == _UNAVAILABLE
            html = (page_html.away if away else page_html.gone)(language, assets)
            return _page(html, language, problem.status, problem.headers)
        # A QR takes its time, which nobody's app shall wait for.
        html = await asyncio.to_thread(page_html.shown, shown, language, assets)
        return _page(html, language)

    @router.get("/page/{token}/status", responses={200: {"model": ChainPage}})
    async def status(token: str) -> Response:
        """What the page shows."""
        shown = await _shown(desk, watch, token)
        return Response(_json(shown), headers=_PUBLIC | {"Content-Type": JSON_TYPE})

    @router.get("/page/{token}/statusevents")
    async def statusevents(token: str, request: Request) -> Response:
        """What the page shows, and each change of it until the chain is over."""
        shown = await _shown(desk, watch, token)
        known = request.headers.get("last-event-id")
        if shown.state.over and known == shown.revision:
            # That is how an EventSource is told not to come back.
            return Response(status_code=_NO_CONTENT, headers=_PUBLIC)
        chain_id = _chain_id(desk, token)
        try:
            place = watch.admit(chain_id)
        except Overloaded as error:
            raise Problem(_UNAVAILABLE, str(error), _PUBLIC | _RETRY) from None
        frames = _frames(watch, chain_id)
        return EventStream(frames, desk.streams, place, {**HEADERS, **_PUBLIC})

    return router


async def look(desk: Desk, chain_id: str, seen: ChainPage | None) -> ChainPage | None:
    """What the page of a chain shows now, or None when it has none (any more).

    Raises:
        Unavailable: it cannot be known just now.
    """
    chain = await desk.store.chain(chain_id)
    steps = await desk.store.steps(chain_id)
    if chain is not None and overtaken(chain, steps):
        chain = await desk.store.chain(chain_id)
    if chain is None or over(chain, desk.options.results_kept, desk.clock()):
        return None
    step = current(steps)
    status = None
    if step is not None and followed(chain, step):
        try:
            status = await _status(desk, step)
            noticed(desk, chain, step, status)
        except (BackendUnavailable, BackendRefused):
            if seen is not None and seen.step == step.slot.step:
                return seen
    link = desk.options.universal_link
    return page_of(chain, steps, desk.rows, status, universal_link=link)


async def _status(desk: Desk, step: Step) -> Status | None:
    token = desk.rows.token(step)
    return None if token is None else await desk.backend.status(token)


def _chain_id(desk: Desk, token: str) -> str:
    """The chain whose page has this token.

    Raises:
        Problem: 404, the same for every address that is not a page.
    """
    try:
        return desk.sealer.open_page(token)
    except SealBroken:
        raise _no_page() from None


async def _shown(desk: Desk, watch: PageWatch, token: str) -> ChainPage:
    """What the page with this token shows.

    Raises:
        Problem: 404, there is no such page; 503, it cannot be known just now.
    """
    chain_id = _chain_id(desk, token)
    try:
        shown = await watch.once(chain_id)
    except (Unavailable, Refused) as error:
        _log.warning("page.not_known", chain_id=chain_id, error=type(error).__name__)
        message = "this cannot be shown right now; try again in a moment"
        raise Problem(_UNAVAILABLE, message, _PUBLIC | _RETRY) from None
    if shown is None:
        raise _no_page()
    return shown


def _no_page() -> Problem:
    return Problem(_NOT_FOUND, "there is no such page (any more)", _PUBLIC)


def _page(
    html: str,
    language: Language,
    status: int = 200,
    more: Mapping[str, str] | None = None,
) -> Response:
    headers = {**(more or {}), **_PAGE, "Content-Language": language.value}
    headers.pop("Access-Control-Allow-Origin", None)
    return Response(html, status, headers, "text/html")


async def _frames(watch: PageWatch, chain_id: str) -> AsyncGenerator[bytes, None]:
    """The states as frames; the id of each lets whoever comes back know it again."""
    yield _COME_BACK
    async with aclosing(watch.pages(chain_id)) as pages:
        async for page in pages:
            if page is None:
                yield _SIGN_OF_LIFE
            else:
                yield f"id: {page.revision}\ndata: {_json(page)}\n\n".encode()


def _json(page: ChainPage) -> str:
    return page.model_dump_json(by_alias=True, exclude_none=True)
