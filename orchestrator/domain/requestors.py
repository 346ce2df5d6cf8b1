"""The requestors of this installation, and what each may ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from orchestrator.domain.permissions import (
    Permissions,
    Refusal,
    Requestor,
    can_request,
    can_revoke,
)
from schemas.irma import RevocationRequest, SessionRequest

_UNKNOWN: Final = Refusal("Unknown requestor")


@dataclass(frozen=True, kw_only=True)
class Requestors:
    """Everybody who may start chains, by key.

    `default_host` is the host[:port] that session pointers have by default.
    """

    by_key: Mapping[str, Requestor]
    permissions: Permissions
    default_host: str

    def refusal(self, key: str, request: SessionRequest) -> Refusal | None:
        """Why this requestor may not make this request, or None when it may.

        A chain whose requestor was taken out of the configuration may not go on.
        """
        requestor = self.by_key.get(key)
        if requestor is None:
            return _UNKNOWN
        return can_request(
            requestor,
            request,
            permissions=self.permissions,
            default_host=self.default_host,
        )

    def revocation_refusal(self, key: str, request: RevocationRequest) -> Refusal | None:
        """Why this requestor may not revoke that, or None when it may."""
        requestor = self.by_key.get(key)
        if requestor is None:
            return _UNKNOWN
        return can_revoke(requestor, request.type, permissions=self.permissions)
