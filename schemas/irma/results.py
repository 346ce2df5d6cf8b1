"""What came out of a session, as JSON and as JWT claims (reference irma.md §5, §6)."""

from typing import Final

from pydantic import Field, JsonValue

from schemas.irma.documents import (
    Document,
    InvalidSessionResult,
    JsonObject,
    built,
    cleaned,
    decoded,
)
from schemas.irma.errors import IrmaError
from schemas.irma.states import AttributeStatus, ProofStatus, SessionType, Status

__all__ = [
    "DisclosedAttribute",
    "InvalidSessionResult",
    "SessionResult",
    "legacy_claims",
    "parse_session_result",
    "result_claims",
    "result_from_claims",
    "session_result_from",
]

_JWT_CLAIMS: Final = frozenset({"aud", "exp", "iat", "iss", "jti", "nbf", "sub"})
_LEGACY_SUBJECTS: Final = {
    SessionType.DISCLOSING: "disclosure_result",
    SessionType.SIGNING: "abs_result",
    SessionType.ISSUING: "issue_result",
}


class DisclosedAttribute(Document):
    """One attribute the user disclosed; a null value is null in both places."""

    always_written = frozenset({"rawvalue", "value"})

    rawvalue: str | None = None
    value: dict[str, str] | None = None
    id: str
    status: AttributeStatus = Field(strict=False)
    issuancetime: int | None = None
    notrevoked: bool | None = None
    notrevokedbefore: int | None = None


class SessionResult(Document):
    """The result of a session, at any time of its life (reference irma.md §5)."""

    token: str
    status: Status = Field(strict=False)
    type: SessionType = Field(strict=False)
    proof_status: ProofStatus | None = Field(
        default=None, alias="proofStatus", strict=False
    )
    disclosed: list[list[DisclosedAttribute] | None] | None = None
    signature: JsonObject | None = None
    error: IrmaError | None = None
    #: The requestor token of the next session of the chain.
    next_session: str | None = Field(default=None, alias="nextSession")

    @property
    def proved(self) -> bool:
        """Whether the proofs were verified and are all that was asked for."""
        return self.proof_status is ProofStatus.VALID


def parse_session_result(body: bytes | str) -> SessionResult:
    """The session result in a JSON body."""
    return session_result_from(decoded(body, InvalidSessionResult))


def session_result_from(obj: object) -> SessionResult:
    """The session result in decoded JSON."""
    value = cleaned(obj, InvalidSessionResult)
    return built(SessionResult, value, InvalidSessionResult)


def result_claims(
    result: JsonObject, *, issuer: str, validity_s: int, now: int
) -> JsonObject:
    """The claims of a result JWT, the result's fields among them (reference §6).

    The result is what `SessionResult.to_wire` made: it is signed as it stands.
    """
    claims = _times_and_issuer(issuer, validity_s, now)
    claims["sub"] = f"{result['type']}_result"
    return claims | {k: v for k, v in result.items() if k not in _JWT_CLAIMS}


def legacy_claims(
    result: SessionResult, *, issuer: str, validity_s: int, now: int
) -> JsonObject:
    """The claims of `/getproof`: all attributes in one object (reference §6, at its end).

    Where one attribute was disclosed twice, the later value stands, as upstream.
    """
    claims = _times_and_issuer(issuer, validity_s, now)
    claims["sub"] = _LEGACY_SUBJECTS[result.type]
    claims["status"] = result.proof_status or ""
    claims["attributes"] = {
        attribute.id: (attribute.value or {}).get("", "")
        for attributes in result.disclosed or ()
        for attribute in attributes or ()
    }
    if result.signature is not None:
        claims["signature"] = result.signature
    return claims


def result_from_claims(claims: dict[str, JsonValue]) -> SessionResult:
    """The session result in the claims of a result JWT whose signature was checked."""
    fields = {name: value for name, value in claims.items() if name not in _JWT_CLAIMS}
    result = session_result_from(fields)
    if claims.get("sub") != f"{result.type}_result":
        raise InvalidSessionResult("sub", "does not fit the type of the session")
    return result


def _times_and_issuer(issuer: str, validity_s: int, now: int) -> JsonObject:
    claims: JsonObject = {"exp": now + validity_s, "iat": now}
    return claims | {"iss": issuer} if issuer else claims
