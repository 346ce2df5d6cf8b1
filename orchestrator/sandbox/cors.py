"""Cross-origin requests, answered as the server's library does (irma.md §1.2).

Any origin may make a plain request. Before another one a browser asks with OPTIONS, and
gets 200 whatever it asked: without the headers of consent, that is a no.
"""

from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

_METHODS: Final = frozenset({"GET", "POST", "DELETE", "OPTIONS"})
#: `Origin` itself is always allowed.
_HEADERS: Final = frozenset(
    {"accept", "authorization", "content-type", "cache-control", "origin"}
)
_METHOD_ASKED: Final = "Access-Control-Request-Method"
_HEADERS_ASKED: Final = "Access-Control-Request-Headers"
_ORIGIN_ALLOWED: Final = "Access-Control-Allow-Origin"


@web.middleware
async def preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a browser's question beforehand; no route ever sees it."""
    if request.method != "OPTIONS" or not request.headers.get(_METHOD_ASKED):
        return await handler(request)
    response = web.Response()
    for name in ("Origin", _METHOD_ASKED, _HEADERS_ASKED):
        response.headers.add("Vary", name)
    method = request.headers[_METHOD_ASKED].upper()
    headers = _listed(request.headers.get(_HEADERS_ASKED, ""))
    consent = method in _METHODS and {one.lower() for one in headers} <= _HEADERS
    if request.headers.get("Origin") and consent:
        response.headers[_ORIGIN_ALLOWED] = "*"
        response.headers["Access-Control-Allow-Methods"] = method
        if headers:
            response.headers["Access-Control-Allow-Headers"] = ", ".join(headers)
    return response


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Every answer varies by origin; a browser is told that it may read it."""
    if "Vary" in response.headers:
        return
    response.headers["Vary"] = "Origin"
    if request.headers.get("Origin") and request.method in _METHODS:
        response.headers[_ORIGIN_ALLOWED] = "*"


def _listed(header: str) -> list[str]:
    """The header names in a list, written as Go writes them: Content-Type."""
    return [part.strip().title() for part in header.split(",") if part.strip()]
