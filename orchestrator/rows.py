"""Seals and opens the secret columns of a slot's row, each bound to its column."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from orchestrator.domain.chain import Slot, Step
from orchestrator.domain.claiming import Proved
from orchestrator.domain.errors import SealBroken
from orchestrator.sealing import Sealer
from schemas.irma import (
    SessionPackage,
    SessionRequest,
    SessionResult,
    session_package_from,
    session_request_from,
    session_result_from,
)


@dataclass(frozen=True, kw_only=True)
class RowSecrets:
    """The secrets of rows: requests, results, tokens, packages."""

    sealer: Sealer

    def proved(self, slot: Slot, result: SessionResult) -> Proved:
        """A proved result and its session's token, for the row of its step."""
        return Proved(
            token_hash=self.sealer.token_hash(result.token),
            sealed_token=self.seal_token(slot, result.token),
            sealed_result=self.seal_result(slot, result),
        )

    def answer_hash(self, answer: Mapping[str, JsonValue]) -> str:
        """What tells an endpoint's answer that is repeated from a rival one."""
        return self.sealer.digest(json.dumps(answer, sort_keys=True).encode())

    def seal_token(self, slot: Slot, token: str) -> str:
        """The backend's requestor token."""
        return self.sealer.seal(token.encode(), bound_to=slot.sealed_as("token"))

    def token(self, row: Step) -> str | None:
        """The backend's requestor token of this row's session, once it is known."""
        if row.sealed_token is None:
            return None
        where = row.slot.sealed_as("token")
        return self.sealer.open(row.sealed_token, bound_to=where).decode()

    def seal_result(self, slot: Slot, result: SessionResult) -> str:
        """The session's result."""
        return self._seal(slot, "result", result.to_wire())

    def result(self, row: Step) -> SessionResult | None:
        """The result that was taken in, if any."""
        body = self._open(row, "result", row.sealed_result)
        return None if body is None else session_result_from(body)

    def seal_request(self, slot: Slot, request: SessionRequest) -> str:
        """The request as the integrator made it."""
        return self._seal(slot, "request", request.to_wire())

    def request(self, row: Step) -> SessionRequest:
        """The request as the integrator made it."""
        return self._request(row, "request", row.sealed_request)

    def seal_prepared(self, slot: Slot, prepared: SessionRequest) -> str:
        """The request as the backend gets it, with our URLs."""
        return self._seal(slot, "prepared", prepared.to_wire())

    def prepared(self, row: Step) -> SessionRequest:
        """The request as the backend gets it, the same for every repeat."""
        return self._request(row, "prepared", row.sealed_prepared)

    def seal_package(self, slot: Slot, package: SessionPackage) -> str:
        """The session package with its pointer."""
        return self._seal(slot, "package", package.to_wire())

    def package(self, row: Step) -> SessionPackage | None:
        """The session package, for sessions that were started by us."""
        body = self._open(row, "package", row.sealed_package)
        return None if body is None else session_package_from(body)

    def _seal(self, slot: Slot, field: str, value: dict[str, JsonValue]) -> str:
        return self.sealer.seal(
            json.dumps(value).encode(), bound_to=slot.sealed_as(field)
        )

    def _open(self, row: Step, field: str, sealed: str | None) -> JsonValue:
        """What we have sealed ourselves: no bound of the door holds for it here."""
        if sealed is None:
            return None
        opened = self.sealer.open(sealed, bound_to=row.slot.sealed_as(field))
        value: JsonValue = json.loads(opened)
        return value

    def _request(self, row: Step, field: str, sealed: str | None) -> SessionRequest:
        body = self._open(row, field, sealed)
        if body is None:
            msg = f"the row has no {field}"
            raise SealBroken(msg)
        return session_request_from(body)
