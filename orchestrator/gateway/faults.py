"""Errors as the IRMA server writes them (reference irma.md §1.1)."""

from __future__ import annotations

import json

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from orchestrator.domain.errors import (
    BackendRefused,
    BackendUnavailable,
    BrokerUnavailable,
    StoreUnavailable,
    Unavailable,
)
from schemas.irma import ErrorKind, IrmaError, irma_error

JSON_TYPE = "application/json; charset=UTF-8"
TEXT_TYPE = "text/plain; charset=utf-8"


class IrmaFault(Exception):
    """Ends a request with an IRMA error."""

    def __init__(self, kind: ErrorKind, message: str = "") -> None:
        """Keep the kind of error and the reason in words."""
        super().__init__(kind.error)
        self.error = irma_error(kind, message)


def json_response(
    content: object, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """JSON with the IRMA server's content type."""
    body = json.dumps(content, separators=(",", ":")).encode()
    return Response(body, status, headers, JSON_TYPE)


def error_response(error: IrmaError) -> Response:
    """The error with the HTTP status it names."""
    return json_response(error.to_wire(), error.status or 500)


def install(app: FastAPI) -> None:
    """Turn errors into answers, unknown routes and methods as the IRMA server does."""
    app.add_exception_handler(IrmaFault, _fault)
    app.add_exception_handler(BackendRefused, _refused)
    for kind in (StoreUnavailable, BrokerUnavailable, BackendUnavailable):
        app.add_exception_handler(kind, _unavailable)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _defect)


async def _fault(_: Request, error: Exception) -> Response:
    if not isinstance(error, IrmaFault):
        raise error
    return error_response(error.error)


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


async def _unavailable(_: Request, error: Exception) -> Response:
    if not isinstance(error, Unavailable):
        raise error
    fault = irma_error(ErrorKind.INTERNAL_ERROR, _AWAY[type(error)])
    return json_response(fault.to_wire() | {"status": 503}, 503, {"Retry-After": "5"})


async def _http(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == 404:  # noqa: PLR2004 - not found
        return Response("404 page not found\n", 404, media_type=TEXT_TYPE)
    return Response(status_code=error.status_code, headers=error.headers)


async def _defect(_: Request, __: Exception) -> Response:
    """A defect of ours; the server logs it, as it is raised again after this."""
    return error_response(irma_error(ErrorKind.INTERNAL_ERROR))
