"""Errors of our own rooms as problem details (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from fastapi import Response

PROBLEM_TYPE: Final = "application/problem+json"

#: The paths that an IRMA server does not have; elsewhere errors are IRMA's.
_ROOMS: Final = ("/chains", "/events", "/replays", "/reply")


class Problem(Exception):
    """Ends a request with problem details; the title is the status' own words.

    `field` names the one that is wrong, where a body has several.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        headers: Mapping[str, str] | None = None,
        *,
        field: str | None = None,
    ) -> None:
        super().__init__(f"{status}")
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.field = field


def ours(path: str) -> bool:
    """Whether errors at this path are told as problem details (DESIGN §7)."""
    return any(path == room or path.startswith(f"{room}/") for room in _ROOMS)


def problem_response(problem: Problem) -> Response:
    """The problem with the HTTP status it names."""
    content = {
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
    }
    if problem.field is not None:
        content["field"] = problem.field
    body = json.dumps(content, separators=(",", ":")).encode()
    return Response(body, problem.status, problem.headers, PROBLEM_TYPE)
