"""Session requests inside the claims of a request JWT (reference irma.md §3.2).

Who signed the JWT, and when, is checked by whoever holds the keys and the clock.
"""

from typing import Final, NamedTuple

from schemas.irma.documents import (
    InvalidSessionRequest,
    JsonObject,
    as_object,
    cleaned,
    field_of,
    path,
    type_name,
)
from schemas.irma.requests import SessionRequest, extended_request
from schemas.irma.states import CONTEXTS, SessionType


class _Place(NamedTuple):
    """Where the request of one kind is, and what an IRMA server calls such a one."""

    claim: str
    extended: str
    plain: str


_PLACES: Final = {
    SessionType.DISCLOSING: _Place(
        "sprequest", "ServiceProviderRequest", "a disclosure request"
    ),
    SessionType.SIGNING: _Place(
        "absrequest", "SignatureRequestorRequest", "a signature request"
    ),
    SessionType.ISSUING: _Place(
        "iprequest", "IdentityProviderRequest", "an issuance request"
    ),
}
_SUBJECTS: Final = {
    "verification_request": SessionType.DISCLOSING,
    "signature_request": SessionType.SIGNING,
    "issue_request": SessionType.ISSUING,
} | {str(kind): kind for kind in SessionType}


def request_from_claims(claims: JsonObject) -> SessionRequest:
    """The session request in the claims of a request JWT whose signature was checked.

    Raises:
        InvalidSessionRequest: an unknown `sub`, or not the extended request it announces.
    """
    fields = as_object(cleaned(claims, InvalidSessionRequest), InvalidSessionRequest)
    kind = _kind(fields)
    extended = _extended(fields, kind)
    _check_kind(extended, kind)
    try:
        return extended_request(extended)
    except InvalidSessionRequest as fault:
        refusal = _in_claim(fault, _PLACES[kind].claim)
    # Raised out here, so that no cause drags the request along.
    raise refusal


def _kind(fields: JsonObject) -> SessionType:
    subject = field_of(fields, "sub")
    if not isinstance(subject, str) or subject not in _SUBJECTS:
        raise InvalidSessionRequest("sub", "Invalid session type", verbatim=True)
    return _SUBJECTS[subject]


def _extended(fields: JsonObject, kind: SessionType) -> JsonObject:
    """The claim's object; without one, an IRMA server panics (irma.md §3.2)."""
    claim = _PLACES[kind].claim
    value = field_of(fields, claim)
    if value is None:
        raise InvalidSessionRequest(claim, f"missing, though sub announces {kind}")
    if not isinstance(value, dict):
        raise InvalidSessionRequest(
            claim, f"expected an object, found {type_name(value)}"
        )
    return value


def _check_kind(extended: JsonObject, kind: SessionType) -> None:
    """Only an extended request of the announced kind will do (trap T34)."""
    place = _PLACES[kind]
    inner = field_of(extended, "request")
    if inner is None:
        raise _refused(place.claim, f"Not a {place.extended}")
    if not isinstance(inner, dict):
        raise InvalidSessionRequest(
            f"{place.claim}.request", f"expected an object, found {type_name(inner)}"
        )
    context = field_of(inner, "@context")
    if context in (None, ""):
        if field_of(inner, "type") != kind:
            raise InvalidSessionRequest(
                f"{place.claim}.request.type",
                f"not a {kind} session request",
                verbatim=True,
            )
    elif context != CONTEXTS[kind]:
        raise _refused(f"{place.claim}.request.@context", f"Not {place.plain}")


def _in_claim(fault: InvalidSessionRequest, claim: str) -> InvalidSessionRequest:
    """The refusal as it is for a request inside a claim."""
    field = path(claim, fault.field)
    if fault.verbatim:
        return _refused(field, fault.reason)
    return InvalidSessionRequest(field, fault.reason)


def _refused(field: str, reason: str) -> InvalidSessionRequest:
    """A refusal in an IRMA server's words, which name the JWT where parsing was fine."""
    return InvalidSessionRequest(field, f"Invalid JWT body: {reason}", verbatim=True)
