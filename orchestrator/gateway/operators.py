"""Who calls the operators' API: somebody with a token of the configuration's `operators`.

A token stands in `Authorization` after `Bearer`. Only hashes are kept, and each of them
is compared in constant time. Without operators the API is off; `no_auth` opens nothing.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from orchestrator.gateway.problems import Problem

_BEARER: Final = "bearer"
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="operators"'}
_UNAUTHORIZED: Final = 401
_NOT_FOUND: Final = 404


@dataclass(frozen=True, kw_only=True)
class Operators:
    """Those who may operate, by name, with the SHA-256 of each one's token."""

    digests: Mapping[str, bytes] = field(default_factory=dict)

    def caller(self, headers: Mapping[str, str]) -> str:
        """The name of the operator that calls.

        Args:
            headers: by their names in any case.

        Raises:
            Problem: 404 where there are no operators, 401 for everybody who is none.
        """
        if not self.digests:
            raise Problem(
                _NOT_FOUND,
                "operators are not configured here: give one a token, in"
                " operators.NAME.key, and start the gateway anew",
            )
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = hashlib.sha256(token.strip().encode("latin-1")).digest()
        found = [
            name
            for name, digest in self.digests.items()
            if hmac.compare_digest(digest, given)
        ]
        if scheme.lower() != _BEARER or not found:
            raise Problem(
                _UNAUTHORIZED,
                "an operator's token is needed, in Authorization after Bearer",
                _CHALLENGE,
            )
        return found[0]
