"""What an IRMA server looks at before its routes: methods, and tokens in paths (§1).

A token is checked wherever one stands, with any method and whatever follows it. The check
only asks for 20 characters in a row; what is looked up is all that stands there.
"""

from __future__ import annotations

import re
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.gateway.faults import error_response
from orchestrator.gateway.problems import ours
from schemas.irma import ErrorKind, irma_error

_TOKEN: Final = re.compile(r"[A-Za-z0-9]{20}")

#: Any other method is refused before the path is looked at.
_METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
)
_METHOD_NOT_ALLOWED: Final = 405


class Paths:
    """Refuses what an IRMA server refuses on sight; all else is for the routes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer ourselves, or pass it on."""
        refused = None
        if scope["type"] == "http":
            refused = refusal(scope["method"], scope["path"])
        await (refused or self._app)(scope, receive, send)


def refusal(method: str, path: str) -> Response | None:
    """The answer to a request that no route has to see, or None."""
    if ours(path):
        return None
    if method not in _METHODS:
        return Response(status_code=_METHOD_NOT_ALLOWED)
    match path.split("/")[1:]:
        case ["session", token, *rest] if token or rest:
            return _no_token("requestorToken", token)
        case ["irma", "session", _] if method == "POST":
            return None  # a static session, by its name
        case ["irma", "session", token, *rest] if token or rest:
            # Sessions are followed at the IRMA server behind us; here there are none.
            unknown = error_response(irma_error(ErrorKind.SESSION_UNKNOWN))
            return _no_token("clientToken", token) or unknown
        case _:
            return None


def _no_token(name: str, text: str) -> Response | None:
    if _TOKEN.search(text):
        return None
    message = f"string did not pass input validation for {name}"
    return error_response(irma_error(ErrorKind.INVALID_REQUEST, message))
