"""Who is asking: requestor authentication as the IRMA server's (reference irma.md §3.1).

The methods none and token; the signed ones come with their own issue.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import Request

from orchestrator.domain.permissions import ANONYMOUS
from orchestrator.gateway.faults import IrmaFault
from schemas.irma import ErrorKind


@dataclass(frozen=True, kw_only=True)
class Authenticator:
    """Knows the requestors' tokens.

    `tokens` maps a requestor's key to its secret; `no_auth` admits requests without any
    as IRMA's requestor "".
    """

    tokens: Mapping[str, str]
    no_auth: bool

    def requestor(self, request: Request) -> str:
        """The key of the requestor that makes this request.

        Raises:
            IrmaFault: INVALID_REQUEST or UNAUTHORIZED; missing credentials are no 401.
        """
        content_type = request.headers.get("content-type", "")
        token = request.headers.get("authorization")
        if not content_type.startswith(("application/json", "text/plain")):
            message = f"Unsupported Content-Type: {content_type}"
            raise IrmaFault(ErrorKind.INVALID_REQUEST, message)
        if content_type.startswith("application/json"):
            if token is not None and self.tokens:
                return self._by_token(token)
            if token is None and self.no_auth:
                return ANONYMOUS
        message = "request could not be authenticated"
        raise IrmaFault(ErrorKind.INVALID_REQUEST, message)

    def _by_token(self, token: str) -> str:
        """Compares with every secret in constant time."""
        given = token.encode("latin-1")  # the very bytes that were sent
        found = [
            key
            for key, secret in self.tokens.items()
            if hmac.compare_digest(secret.encode(), given)
        ]
        if not found:
            raise IrmaFault(ErrorKind.UNAUTHORIZED)
        return found[0]
