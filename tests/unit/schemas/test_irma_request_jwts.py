"""The claims of request JWTs hold an extended request, under a name of their own."""

import pytest
from pydantic import JsonValue

from schemas.irma import (
    InvalidRevocationRequest,
    InvalidSessionRequest,
    SessionType,
    request_from_claims,
    revocation_from_claims,
    session_request_from,
)

STUDENT_ID = "irma-demo.RU.studentCard.studentID"
SECRET = "a value nobody may see"

Fields = dict[str, JsonValue]

DISCLOSURE: Fields = {
    "@context": "https://irma.app/ld/request/disclosure/v2",
    "disclose": [[[STUDENT_ID]]],
}
SIGNATURE: Fields = {
    "@context": "https://irma.app/ld/request/signature/v2",
    "message": "I agree",
    "disclose": [[[STUDENT_ID]]],
}
ISSUANCE: Fields = {
    "@context": "https://irma.app/ld/request/issuance/v2",
    "credentials": [{"credential": "irma-demo.RU.studentCard"}],
}
LEGACY: Fields = {"type": "disclosing", "content": [{"attributes": [STUDENT_ID]}]}
REVOCATION: Fields = {
    "@context": "https://irma.app/ld/request/revocation/v1",
    "type": "irma-demo.MijnOverheid.root",
    "revocationKey": "key",
}


def claims(subject: JsonValue, **more: JsonValue) -> Fields:
    """The claims of a request JWT about a subject."""
    return {"iss": "shop", "iat": 1795296044, "sub": subject, **more}


def refusal(document: Fields) -> InvalidSessionRequest:
    """The error with which claims are refused."""
    with pytest.raises(InvalidSessionRequest) as caught:
        request_from_claims(document)
    return caught.value


@pytest.mark.parametrize(
    "subject, claim, plain, kind",
    [
        ("verification_request", "sprequest", DISCLOSURE, SessionType.DISCLOSING),
        ("disclosing", "sprequest", DISCLOSURE, SessionType.DISCLOSING),
        ("signature_request", "absrequest", SIGNATURE, SessionType.SIGNING),
        ("signing", "absrequest", SIGNATURE, SessionType.SIGNING),
        ("issue_request", "iprequest", ISSUANCE, SessionType.ISSUING),
        ("issuing", "iprequest", ISSUANCE, SessionType.ISSUING),
    ],
)
def test_subject_names_the_claim(
    subject: str, claim: str, plain: Fields, kind: SessionType
) -> None:
    """Each kind has two subjects and one claim, which holds the extended request."""
    extended: Fields = {
        "timeout": 60,
        "nextSession": {"url": "https://x.example"},
        "request": plain,
    }
    request = request_from_claims(claims(subject, **{claim: extended}))
    assert request.type is kind
    assert request == session_request_from(extended)


def test_names_of_claims_are_in_any_case() -> None:
    """Claims are fields to Go, in any case."""
    document: Fields = {"SUB": "disclosing", "spRequest": {"Request": DISCLOSURE}}
    assert request_from_claims(document) == session_request_from(DISCLOSURE)


def test_legacy_request_in_a_claim_is_converted() -> None:
    """A claim may hold the legacy form in its extended request."""
    document = claims("disclosing", sprequest={"request": LEGACY})
    assert request_from_claims(document) == session_request_from(LEGACY)


def test_context_beside_the_request_means_nothing() -> None:
    """In a claim nothing decides between plain and extended: it is extended."""
    document = claims("disclosing", sprequest={**DISCLOSURE, "request": DISCLOSURE})
    wire = request_from_claims(document).to_wire()
    assert "@context" not in wire
    assert wire["request"] == DISCLOSURE


@pytest.mark.trap("T34")
@pytest.mark.parametrize(
    "subject, claim, plain",
    [
        ("disclosing", "sprequest", DISCLOSURE),
        ("disclosing", "sprequest", LEGACY),
        ("signing", "absrequest", SIGNATURE),
        ("issuing", "iprequest", ISSUANCE),
    ],
)
def test_plain_request_in_a_claim_is_refused(
    subject: str, claim: str, plain: Fields
) -> None:
    """What would be a request of its own in a POST is none in a JWT."""
    assert session_request_from(plain).type == subject
    assert refusal(claims(subject, **{claim: plain})).field == claim


BODY = "Invalid JWT body: "

#: Refusals in upstream's own words: claims, field, message.
VERBATIM: list[tuple[Fields, str, str]] = [
    (claims("foo", sprequest={"request": DISCLOSURE}), "sub", "Invalid session type"),
    (claims(5, sprequest={"request": DISCLOSURE}), "sub", "Invalid session type"),
    ({"sprequest": {"request": DISCLOSURE}}, "sub", "Invalid session type"),
    (
        claims("disclosing", sprequest=DISCLOSURE),
        "sprequest",
        f"{BODY}Not a ServiceProviderRequest",
    ),
    (
        claims("signing", absrequest=SIGNATURE),
        "absrequest",
        f"{BODY}Not a SignatureRequestorRequest",
    ),
    (
        claims("issuing", iprequest=ISSUANCE),
        "iprequest",
        f"{BODY}Not a IdentityProviderRequest",
    ),
    (
        claims("disclosing", sprequest=LEGACY),
        "sprequest",
        f"{BODY}Not a ServiceProviderRequest",
    ),
    (
        claims("disclosing", sprequest={"request": ISSUANCE}),
        "sprequest.request.@context",
        f"{BODY}Not a disclosure request",
    ),
    (
        claims("signing", absrequest={"request": {**SIGNATURE, "@context": "x"}}),
        "absrequest.request.@context",
        f"{BODY}Not a signature request",
    ),
    (
        claims("disclosing", sprequest={"request": {**DISCLOSURE, "disclose": []}}),
        "sprequest",
        f"{BODY}Disclosure request had no attributes",
    ),
    (
        claims("disclosing", sprequest={"request": {}}),
        "sprequest.request.type",
        "not a disclosing session request",
    ),
    (
        claims("signing", absrequest={"request": {**SIGNATURE, "@context": ""}}),
        "absrequest.request.type",
        "not a signing session request",
    ),
    (
        claims("signing", absrequest={"request": LEGACY}),
        "absrequest.request.type",
        "not a signing session request",
    ),
    (
        claims("issuing", iprequest={"request": {"credentials": []}}),
        "iprequest.request.type",
        "not a issuing session request",
    ),
]


@pytest.mark.parametrize("document, field, message", VERBATIM)
def test_refusal_in_the_words_of_an_irma_server(
    document: Fields, field: str, message: str
) -> None:
    """Where an IRMA server has a reason, the message is that reason to the letter."""
    fault = refusal(document)
    assert (fault.field, fault.message) == (field, message)


#: Refusals where upstream crashes or shows its JSON parser: claims, our text.
OUR_WORDS: list[tuple[Fields, str]] = [
    (
        claims("issue_request", sprequest={"request": DISCLOSURE}),
        "iprequest: missing, though sub announces issuing",
    ),
    (claims("signing"), "absrequest: missing, though sub announces signing"),
    (
        claims("signing", absrequest=None),
        "absrequest: missing, though sub announces signing",
    ),
    (
        claims("disclosing", sprequest=SECRET),
        "sprequest: expected an object, found a string",
    ),
    (
        claims("disclosing", sprequest={"request": SECRET}),
        "sprequest.request: expected an object, found a string",
    ),
    (
        claims("disclosing", sprequest={"request": DISCLOSURE, "validity": SECRET}),
        "sprequest.validity: expected an integer, found a string",
    ),
    (
        claims("disclosing", sprequest={"request": {**DISCLOSURE, "host": [SECRET]}}),
        "sprequest.request.host: expected a string, found a list",
    ),
    (
        claims("disclosing", x=float("nan"), sprequest={"request": DISCLOSURE}),
        "not JSON: a number is not finite",
    ),
]


@pytest.mark.parametrize("document, text", OUR_WORDS)
def test_refusal_names_the_field(document: Fields, text: str) -> None:
    """A refusal in our words names the place, where upstream may not survive."""
    fault = refusal(document)
    assert (str(fault), fault.message) == (text, text)


@pytest.mark.parametrize(
    "document", [d for d, _ in OUR_WORDS] + [d for d, _, _ in VERBATIM]
)
def test_refusal_carries_no_value_along(document: Fields) -> None:
    """Neither the text nor a hidden cause of a refusal holds a value."""
    fault = refusal(document)
    assert SECRET not in repr(fault)
    assert fault.__cause__ is None
    assert fault.__context__ is None


def test_revocation_has_a_claim_of_its_own() -> None:
    """A revocation request is in its claim, whatever the subject is."""
    request = revocation_from_claims(claims("anything", revrequest=REVOCATION))
    assert request.to_wire() == REVOCATION


@pytest.mark.parametrize(
    "document, text",
    [
        (claims("revocation_request"), "revrequest: missing"),
        (claims("x", revrequest=[]), "revrequest: expected an object, found a list"),
        (
            claims("x", revrequest={"type": SECRET}),
            "revrequest.@context: Invalid JWT body",
        ),
        (
            claims("x", revrequest={**REVOCATION, "@context": SECRET}),
            "revrequest.@context: Invalid JWT body",
        ),
        (
            claims("x", revrequest={**REVOCATION, "issued": SECRET}),
            "revrequest.issued: expected an integer, found a string",
        ),
    ],
)
def test_what_is_no_revocation_claim_is_refused(document: Fields, text: str) -> None:
    """A refusal names the place in the claims, and never a value."""
    with pytest.raises(InvalidRevocationRequest) as caught:
        revocation_from_claims(document)
    assert str(caught.value) == text
    assert caught.value.verbatim == text.endswith("body")
    assert caught.value.__context__ is None
