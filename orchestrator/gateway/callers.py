"""Who calls our own API: a requestor, with the credential it has at the IRMA paths.

A token stands in `Authorization` as it is, or after `Bearer`; who signs its requests
sends a JWT of its own there, as short-lived as those, whose `sub` says what it is for.
With `no_auth` nobody has to say anything.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from orchestrator.domain.permissions import ANONYMOUS
from orchestrator.gateway.authentication import Authenticator
from orchestrator.gateway.faults import IrmaFault
from orchestrator.gateway.problems import Problem
from orchestrator.gateway.request_jwts import verified_claims

#: The `sub` of a JWT that may read chains; one of a session request may not.
CHAIN_REQUEST: Final = "chain_request"

_BEARER: Final = "bearer"
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="chains"'}
_UNAUTHORIZED: Final = 401


def caller(
    authenticator: Authenticator, headers: Mapping[str, str], now: datetime
) -> str:
    """The key of the requestor that calls.

    Args:
        authenticator: knows the requestors' tokens and keys.
        headers: by their names in any case.
        now: what the time is.

    Raises:
        Problem: 401, nobody who is known; it does not say why.
    """
    given = headers.get("authorization") or None
    if authenticator.no_auth:
        return ANONYMOUS
    if given is None:
        raise _nobody("a credential is needed: the requestor's own, in Authorization")
    scheme, _, rest = given.partition(" ")
    credential = rest.strip() if scheme.lower() == _BEARER else given
    found = _by_token(authenticator, {given, credential}) or _by_jwt(
        authenticator, credential, now
    )
    if found is None:
        raise _nobody(
            "the credential in Authorization is not one of a requestor;"
            f" a JWT there needs the sub {CHAIN_REQUEST}"
        )
    return found


def _by_token(authenticator: Authenticator, given: set[str]) -> str | None:
    """Compares with every token in constant time."""
    found = [
        key
        for key, token in authenticator.tokens.items()
        for text in given
        if hmac.compare_digest(token.encode(), text.encode("latin-1"))
    ]
    return found[0] if found else None


def _by_jwt(authenticator: Authenticator, token: str, now: datetime) -> str | None:
    try:
        requestor, claims = verified_claims(
            token.encode("latin-1"),
            authenticator.keys,
            age_max_s=authenticator.request_age_max_s,
            now=now,
        )
    except IrmaFault:
        return None
    return requestor if claims.get("sub") == CHAIN_REQUEST else None


def _nobody(detail: str) -> Problem:
    return Problem(_UNAUTHORIZED, detail, _CHALLENGE)
