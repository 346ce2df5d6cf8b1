"""Errors as the IRMA server writes them (reference irma.md §1.1); ours are problems."""

from __future__ import annotations

import json
from typing import Final

import structlog
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from orchestrator.domain.errors import (
    BackendRefused,
    BackendUnavailable,
    BrokerUnavailable,
    NotAdmitted,
    StoreUnavailable,
    Unavailable,
)
from orchestrator.gateway import cors
from orchestrator.gateway.problems import Problem, ours, problem_response
from schemas.irma import ErrorKind, IrmaError, irma_error

_log = structlog.get_logger(__name__)

JSON_TYPE = "application/json; charset=UTF-8"
TEXT_TYPE = "text/plain; charset=utf-8"

_NOT_FOUND: Final = 404
_DEFECT: Final = 500
_UNAVAILABLE: Final = 503

#: When to come back after a 503.
_RETRY: Final = {"Retry-After": "5"}


class IrmaFault(Exception):
    """Ends a request with an IRMA error."""

    def __init__(
        self, kind: ErrorKind, message: str = "", *, status: int | None = None
    ) -> None:
        """Keep the kind of error and the reason in words.

        Args:
            kind: its name, description and, where no other is given, HTTP status.
            message: why, in words.
            status: the HTTP status of what an IRMA server does not know of.
        """
        super().__init__(kind.error)
        error = irma_error(kind, message)
        self.error = error.model_copy(update={"status": status}) if status else error


class Overloaded(Exception):
    """Ends a request that would go beyond a bound of this process with a 503."""


def json_response(
    content: object, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """JSON with the IRMA server's content type."""
    body = json.dumps(content, separators=(",", ":")).encode()
    return Response(body, status, headers, JSON_TYPE)


def text_response(text: str) -> Response:
    """Text as the IRMA server writes it, whose content type names no charset."""
    return Response(text, headers={"Content-Type": "text/plain"})


def error_response(error: IrmaError) -> Response:
    """The error with the HTTP status it names."""
    return json_response(error.to_wire(), error.status or 500)


def install(app: FastAPI) -> None:
    """Turn errors into answers, unknown routes and methods as the IRMA server does."""
    app.add_exception_handler(IrmaFault, _fault)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(BackendRefused, _refused)
    app.add_exception_handler(Overloaded, _overloaded)
    app.add_exception_handler(NotAdmitted, _not_admitted)
    app.add_exception_handler(Unavailable, _unavailable)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _defect)


async def _fault(_: Request, error: Exception) -> Response:
    if not isinstance(error, IrmaFault):
        raise error
    said = error.error
    _log.info("request.refused", error=said.error, status=said.status, why=said.message)
    return error_response(said)


async def _problem(_: Request, error: Exception) -> Response:
    if not isinstance(error, Problem):
        raise error
    return problem_response(error)


async def _refused(_: Request, error: Exception) -> Response:
    """What only the IRMA server can know is its answer passed on."""
    if not isinstance(error, BackendRefused):
        raise error
    return error_response(
        IrmaError(
            status=error.status,
            error=error.error,
            description=error.description or None,
            message=error.message or None,
        )
    )


_AWAY = {
    StoreUnavailable: "the database is away; try again in a moment",
    BrokerUnavailable: "the message broker is away; try again in a moment",
    BackendUnavailable: "the IRMA server is away; try again in a moment",
}


#: E.g. a row that is sealed with a key that is not here (any more).
_NOT_NOW = "not now; try again in a moment"


async def _unavailable(request: Request, error: Exception) -> Response:
    if not isinstance(error, Unavailable):
        raise error
    return _later(request, _AWAY.get(type(error), _NOT_NOW))


async def _not_admitted(request: Request, _: Exception) -> Response:
    """Our credentials at the IRMA server, not the requestor's here: no UNAUTHORIZED."""
    message = (
        "the IRMA server behind does not admit this gateway;"
        " only who runs the two can mend that"
    )
    if ours(request.url.path):
        return problem_response(Problem(_DEFECT, message))
    return error_response(irma_error(ErrorKind.INTERNAL_ERROR, message))


async def _overloaded(request: Request, error: Exception) -> Response:
    return _later(request, str(error))


def _later(request: Request, message: str) -> Response:
    """503 with a time to come back, in the words of the room it happened in."""
    if ours(request.url.path):
        return problem_response(Problem(_UNAVAILABLE, message, _RETRY))
    fault = irma_error(ErrorKind.INTERNAL_ERROR, message)
    return json_response(
        fault.to_wire() | {"status": _UNAVAILABLE}, _UNAVAILABLE, dict(_RETRY)
    )


async def _http(request: Request, error: Exception) -> Response:
    """No such route, or not with this method."""
    if not isinstance(error, HTTPException):
        raise error
    path, status = request.url.path, error.status_code
    if ours(path):
        return problem_response(Problem(status, error.detail, error.headers))
    if path.startswith("/irma/"):
        fault = IrmaError(status=status, error=ErrorKind.INVALID_REQUEST.error)
        return json_response(fault.to_wire(), status, dict(error.headers or {}))
    if status == _NOT_FOUND:
        return Response("404 page not found\n", status, media_type=TEXT_TYPE)
    return Response(status_code=status, headers=error.headers)


async def _defect(request: Request, _: Exception) -> Response:
    """A defect of ours; the server logs it, as it is raised again after this.

    It is told from outside of all middleware, so the headers for browsers are ours too.
    """
    headers = {"Vary": "Origin"} | cors.reading(request.method, request.headers)
    if ours(request.url.path):
        return problem_response(Problem(500, "a defect of this server", headers))
    kind = ErrorKind.INTERNAL_ERROR
    return json_response(irma_error(kind).to_wire(), kind.http_status, headers)
