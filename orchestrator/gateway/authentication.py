"""Who is asking, and for what: as an IRMA server takes it (reference irma.md §3.1).

JSON comes with a token or, where nobody has to authenticate, without; text is a JWT.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

from orchestrator.domain.permissions import ANONYMOUS
from orchestrator.gateway.faults import IrmaFault
from orchestrator.gateway.request_jwts import RequestKey, nobody, verified_claims
from schemas.irma import (
    ErrorKind,
    InvalidDocument,
    JsonObject,
    RevocationRequest,
    SessionRequest,
    parse_revocation_request,
    parse_session_request,
    request_from_claims,
    revocation_from_claims,
)

T = TypeVar("T")

_JSON: Final = "application/json"
_TEXT: Final = "text/plain"

#: What Go takes off both ends of a header's value.
_BLANKS: Final = " \t"


@dataclass(frozen=True, kw_only=True)
class Authenticator:
    """Knows the requestors by what they prove.

    Attributes:
        tokens: the token of each requestor that sends one, by the requestor's key.
        keys: what verifies the JWTs of all others, by the names they have there.
        no_auth: whether requests come without any proof, from IRMA's requestor "".
            Then they have to: who proves something is refused (trap T11).
        request_age_max_s: how old a JWT may be.
    """

    tokens: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, RequestKey] = field(default_factory=dict)
    no_auth: bool = False
    request_age_max_s: int = 300

    def session_request(
        self, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> tuple[str, SessionRequest]:
        """The requestor's key, and the session it asks for.

        Args:
            headers: by their names in lower case, or in any case.
            body: the whole body.
            now: what the time is.

        Raises:
            IrmaFault: INVALID_REQUEST or UNAUTHORIZED.
        """
        return self._request(
            headers, body, now, parse_session_request, request_from_claims
        )

    def revocation_request(
        self, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> tuple[str, RevocationRequest]:
        """The requestor's key, and what it asks to be revoked.

        Raises:
            IrmaFault: INVALID_REQUEST or UNAUTHORIZED.
        """
        return self._request(
            headers, body, now, parse_revocation_request, revocation_from_claims
        )

    def by_headers(self, headers: Mapping[str, str]) -> str | None:
        """Who is asking, as far as the headers tell; None where a JWT has to.

        It can be asked before the body is read: a stranger's need not be.

        Raises:
            IrmaFault: INVALID_REQUEST or UNAUTHORIZED.
        """
        content_type = headers.get("content-type", "").strip(_BLANKS)
        # An empty header is none to a server written in Go.
        token = headers.get("authorization", "").strip(_BLANKS) or None
        if content_type.startswith(_JSON):
            if self.no_auth and token is None:
                return ANONYMOUS
            if not self.no_auth and token is not None:
                return self._by_token(token)
        elif content_type.startswith(_TEXT):
            if not self.no_auth and token is None:
                return None
        else:
            message = f"Unsupported Content-Type: {content_type}"
            raise IrmaFault(ErrorKind.INVALID_REQUEST, message)
        raise nobody()

    def _request(
        self,
        headers: Mapping[str, str],
        body: bytes,
        now: datetime,
        parsed: Callable[[bytes], T],
        from_claims: Callable[[JsonObject], T],
    ) -> tuple[str, T]:
        requestor = self.by_headers(headers)
        try:
            if requestor is not None:
                return requestor, parsed(body)
            requestor, claims = verified_claims(
                body, self.keys, age_max_s=self.request_age_max_s, now=now
            )
            return requestor, from_claims(claims)
        except InvalidDocument as fault:
            raise IrmaFault(ErrorKind.INVALID_REQUEST, fault.message) from None

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
