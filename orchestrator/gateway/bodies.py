"""Reads request bodies within the IRMA server's limit (reference irma.md §1.2)."""

from __future__ import annotations

import asyncio
from typing import Final

from fastapi import Request

from orchestrator.gateway.authentication import Authenticator
from orchestrator.gateway.faults import IrmaFault
from schemas.irma import ErrorKind

BODY_BYTES_MAX: Final = 10 * 1024 * 1024

#: The IRMA server cuts off after 2 s; slower lines than its own are let in.
BODY_TIMEOUT_S: Final = 10.0

#: What is over the limit is read and dropped up to here, so that a client which sends
#: first and reads then gets its error and not a broken pipe.
DRAINED_BYTES_MAX: Final = 64 * 1024 * 1024


async def admitted_body(request: Request, authenticator: Authenticator) -> bytes:
    """The whole body, if who sends it may be known; a stranger's is not read.

    Raises:
        IrmaFault: INVALID_REQUEST or UNAUTHORIZED, it is too large or a stranger's.
    """
    try:
        authenticator.by_headers(request.headers)
    except IrmaFault:
        _refuse_announced_size(request)
        raise
    return await read_body(request)


def _refuse_announced_size(request: Request) -> None:
    """An IRMA server reads first, so that this is what it says to strangers too."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > BODY_BYTES_MAX:
        raise _too_large()


async def read_body(request: Request) -> bytes:
    """The whole body.

    Raises:
        IrmaFault: INVALID_REQUEST, it is larger than 10 MiB or comes too slowly.
    """
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for part in request.stream():
                size += len(part)
                if size <= BODY_BYTES_MAX:
                    parts.append(part)
                elif size > DRAINED_BYTES_MAX:
                    break
    except TimeoutError:
        raise IrmaFault(
            ErrorKind.INVALID_REQUEST, f"body: not received within {BODY_TIMEOUT_S:g} s"
        ) from None
    if size > BODY_BYTES_MAX:
        raise _too_large()
    return b"".join(parts)


def _too_large() -> IrmaFault:
    """Go's own words, which a client of an IRMA server may look for."""
    return IrmaFault(ErrorKind.INVALID_REQUEST, "http: request body too large")
