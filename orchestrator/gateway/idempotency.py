"""`Idempotency-Key`: a request that is sent again gets the same answer (DESIGN §7).

Two requests are the same if they ask for the same: what is compared is the request as it
was understood, so neither white space, nor the order of names, nor a fresh signature of a
request JWT makes another one of it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers

from orchestrator.domain.chain import Chain
from orchestrator.gateway.faults import IrmaFault
from orchestrator.sealing import Sealer
from schemas.irma import ErrorKind, SessionPackage, SessionRequest

HEADER: Final = "Idempotency-Key"

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_CONFLICT: Final = 409


@dataclass(frozen=True, kw_only=True)
class Once:
    """What makes two requests the same: keyed hashes of the key and of the request.

    The key's is the requestor's own: what others send has nothing to do with it.
    """

    key: str
    body: str


def key_in(headers: Headers) -> str | None:
    """The key that a request came with, if it has one.

    Raises:
        IrmaFault: INVALID_REQUEST, it is none.
    """
    given = headers.getlist(HEADER)
    if not given:
        return None
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        message = f"{HEADER}: one of 1 to 255 visible ASCII characters is needed"
        raise IrmaFault(ErrorKind.INVALID_REQUEST, message)
    return given[0]


def once(
    sealer: Sealer, requestor: str, key: str | None, request: SessionRequest
) -> Once | None:
    """What the store remembers of a request with a key; None without one."""
    if key is None:
        return None
    wire = json.dumps(request.to_wire(), sort_keys=True, separators=(",", ":"))
    return Once(
        key=sealer.digest(f"idempotency-key\0{requestor}\0{key}".encode()),
        body=sealer.digest(b"idempotency-body\0" + wire.encode()),
    )


def same(begun: Chain, repeated: Once, package: SessionPackage | None) -> SessionPackage:
    """The package that the first request of a key was answered with.

    Args:
        begun: the chain that this key has begun.
        repeated: the request that came with it again.
        package: the package of the chain's first session, if it is still there.

    Raises:
        IrmaFault: 409, the answer cannot be given, and why.
    """
    if begun.purged_at is not None or package is None:
        raise _conflict("the session that it started is over and was deleted")
    if begun.body_hash != repeated.body:
        raise _conflict("it was used for another request in the last 24 hours")
    return package


def _conflict(reason: str) -> IrmaFault:
    return IrmaFault(ErrorKind.INVALID_REQUEST, f"{HEADER}: {reason}", status=_CONFLICT)
