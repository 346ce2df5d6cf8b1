"""What a requestor sends to revoke a credential it issued (reference irma.md §1)."""

from typing import Final, Self

from pydantic import Field, model_validator

from schemas.irma.documents import (
    Document,
    Int,
    InvalidRevocationRequest,
    JsonObject,
    as_object,
    built,
    cleaned,
    decoded,
    field_of,
    path,
    type_name,
)

__all__ = [
    "InvalidRevocationRequest",
    "RevocationRequest",
    "parse_revocation_request",
    "revocation_from_claims",
    "revocation_request_from",
]

_CONTEXT: Final = "https://irma.app/ld/request/revocation/v1"
_CLAIM: Final = "revrequest"


class RevocationRequest(Document):
    """Revokes what was issued under a key, or only what was issued at one time.

    What it names may be anything, or nothing: whether that can be revoked, only the
    IRMA server knows.
    """

    context: str = Field(default="", alias="@context")
    type: str = ""
    revocation_key: str = Field(default="", alias="revocationKey")
    #: When the one credential was issued; unix nanoseconds.
    issued: Int | None = None

    @model_validator(mode="after")
    def _in_context(self) -> Self:
        if self.context != _CONTEXT:
            raise InvalidRevocationRequest(
                "@context", "not a revocation request", verbatim=True
            )
        return self


def parse_revocation_request(body: bytes | str) -> RevocationRequest:
    """The revocation request in a JSON body."""
    return revocation_request_from(decoded(body, InvalidRevocationRequest))


def revocation_request_from(obj: object) -> RevocationRequest:
    """The revocation request in decoded JSON."""
    value = cleaned(obj, InvalidRevocationRequest)
    fields = as_object(value, InvalidRevocationRequest)
    return built(RevocationRequest, fields, InvalidRevocationRequest)


def revocation_from_claims(claims: JsonObject) -> RevocationRequest:
    """The request in the claims of a JWT whose signature was checked; any `sub` will do.

    Raises:
        InvalidRevocationRequest: no such request in the claim, which an IRMA server
            does not survive (compare irma.md §3.2).
    """
    value = cleaned(claims, InvalidRevocationRequest)
    request = field_of(as_object(value, InvalidRevocationRequest), _CLAIM)
    if request is None:
        raise InvalidRevocationRequest(_CLAIM, "missing")
    if not isinstance(request, dict):
        raise InvalidRevocationRequest(
            _CLAIM, f"expected an object, found {type_name(request)}"
        )
    try:
        return revocation_request_from(request)
    except InvalidRevocationRequest as fault:
        field, reason, verbatim = path(_CLAIM, fault.field), fault.reason, fault.verbatim
    # Raised out here, so that no cause drags the request along.
    said = "Invalid JWT body" if verbatim else reason
    raise InvalidRevocationRequest(field, said, verbatim=verbatim)
