"""Cross-origin requests, answered as an IRMA server does (reference irma.md §1.2).

Any origin may ask, as no credential of ours is sent by a browser by itself. Before
anything but a plain request a browser asks with OPTIONS and gets 200 whatever it asks:
without the headers of consent, that is a no.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ALLOW_ORIGIN: Final = "Access-Control-Allow-Origin"
_METHOD_ASKED: Final = "Access-Control-Request-Method"
_HEADERS_ASKED: Final = "Access-Control-Request-Headers"

_METHODS: Final = frozenset({"GET", "POST", "DELETE", "OPTIONS"})

#: The IRMA server's list; its library always adds `Origin`.
_HEADERS: Final = frozenset(
    {"accept", "authorization", "content-type", "cache-control", "origin"}
)

#: Where a page that comes back says what it had last; no IRMA server has these routes.
_STREAMS: Final = re.compile(r"/events|/chains/[^/]+/events")
_COMES_BACK: Final = frozenset({"last-event-id"})


class Cors:
    """Answers browsers' questions, and tells them that they may read other answers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a preflight ourselves; all else is passed on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if scope["method"] == "OPTIONS" and headers.get(_METHOD_ASKED):
            await preflight(scope["path"], headers)(scope, receive, send)
            return
        added = reading(scope["method"], headers)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                answered.add_vary_header("Origin")
                answered.update(added)
            await send(message)

        await self._app(scope, receive, sending)


def reading(method: str, headers: Mapping[str, str]) -> dict[str, str]:
    """What tells a browser that a page of another origin may read the answer."""
    if headers.get("origin") and method in _METHODS:
        return {ALLOW_ORIGIN: "*"}
    return {}


def preflight(path: str, headers: Headers) -> Response:
    """The answer to what a browser asks beforehand."""
    response = Response()
    for name in ("Origin", _METHOD_ASKED, _HEADERS_ASKED):
        response.headers.append("Vary", name)
    method = headers.get(_METHOD_ASKED, "").upper()
    named = [n for n in re.split("[ ,]+", headers.get(_HEADERS_ASKED, "")) if n]
    known = _HEADERS | _COMES_BACK if _STREAMS.fullmatch(path) else _HEADERS
    consent = method in _METHODS and {name.lower() for name in named} <= known
    if headers.get("origin") and consent:
        response.headers[ALLOW_ORIGIN] = "*"
        response.headers["Access-Control-Allow-Methods"] = method
        if named:
            allowed = ", ".join(name.title() for name in named)
            response.headers["Access-Control-Allow-Headers"] = allowed
    return response
