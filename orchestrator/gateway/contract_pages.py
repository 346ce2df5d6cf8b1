"""The contract, for programs and for people: `/asyncapi`, `/openapi.json`, `/docs`.

What is served is what was checked in: `make check` holds that it is what the models say,
and that nothing of what was released is broken.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter

from orchestrator.gateway.contract_html import POLICY, events_page, operations_page
from schemas.contract.trees import JsonObject

_JSON_TYPE: Final = "application/json"
_HTML_TYPE: Final = "text/html; charset=utf-8"

#: It changes with a release; five minutes later everybody knows.
_KEPT: Final = {"Cache-Control": "public, max-age=300", "Vary": "Accept"}
_PAGE: Final = _KEPT | {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}

_DOCUMENT: Final[TypeAdapter[JsonObject]] = TypeAdapter(JsonObject)


def contract_routes() -> APIRouter:
    """The documents, as JSON and as pages; each is made when it is first asked for."""
    router = APIRouter(include_in_schema=False)
    read = cache(_read)
    events = cache(lambda: events_page(_DOCUMENT.validate_json(read("asyncapi.json"))))
    operations = cache(
        lambda: operations_page(_DOCUMENT.validate_json(read("openapi.json")))
    )

    @router.get("/asyncapi")
    async def asyncapi(request: Request) -> Response:
        """The events; a browser gets the page."""
        if "text/html" in request.headers.get("accept", ""):
            return _page(events())
        return _json(read("asyncapi.json"))

    @router.get("/asyncapi.json")
    async def asyncapi_json() -> Response:
        """The events, for programs."""
        return _json(read("asyncapi.json"))

    @router.get("/docs")
    async def docs() -> Response:
        """The operations, for people."""
        return _page(operations())

    @router.get("/openapi.json")
    async def openapi_json() -> Response:
        """The operations, for programs."""
        return _json(read("openapi.json"))

    return router


def _read(name: str) -> bytes:
    return files("schemas").joinpath("generated").joinpath(name).read_bytes()


def _json(content: bytes) -> Response:
    return Response(content, headers=_KEPT, media_type=_JSON_TYPE)


def _page(html: str) -> Response:
    return Response(html, headers=_PAGE, media_type=_HTML_TYPE)
