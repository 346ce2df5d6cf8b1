"""Session results, packages and errors are written as an IRMA server writes them."""

import json

import pytest
from pydantic import JsonValue

from schemas.irma import (
    ErrorKind,
    InvalidSessionPackage,
    InvalidSessionResult,
    IrmaError,
    ProofStatus,
    SessionResult,
    SessionType,
    StaticPointer,
    Status,
    irma_error,
    legacy_claims,
    parse_session_package,
    parse_session_result,
    result_claims,
    result_from_claims,
    session_package_from,
    session_result_from,
)

Fields = dict[str, JsonValue]

STUDENT: JsonValue = {
    "rawvalue": "456",
    "value": {"": "456", "en": "456", "nl": "456"},
    "id": "irma-demo.RU.studentCard.studentID",
    "status": "PRESENT",
    "issuancetime": 1792627200,
}
PREFIX: JsonValue = {
    "rawvalue": None,
    "value": None,
    "id": "irma-demo.MijnOverheid.fullName.prefix",
    "status": "NULL",
    "issuancetime": 1792627200,
}
DONE: Fields = {
    "token": "Ht5cJ0pWq7ZbXk2mNv8R",
    "status": "DONE",
    "type": "disclosing",
    "proofStatus": "VALID",
    "disclosed": [[STUDENT], [], [PREFIX]],
    "nextSession": "b3QxVd9TgYw1LrE6uHaP",
}
#: The examples of reference irma.md §5, and one with fields of later versions.
RESULTS: list[Fields] = [
    DONE,
    {**DONE, "status": "CONNECTED"},
    {**DONE, "proofStatus": "MISSING_ATTRIBUTES", "disclosed": [None]},
    {"token": "Ht5cJ0pWq7ZbXk2mNv8R", "status": "CANCELLED", "type": "disclosing"},
    {"token": "Ht5cJ0pWq7ZbXk2mNv8R", "status": "TIMEOUT", "type": "disclosing"},
    {
        "token": "m1Zc8QeRtY5uIoPaSdF7",
        "status": "CANCELLED",
        "type": "issuing",
        "error": {
            "status": 400,
            "error": "ATTRIBUTES_EXPIRED",
            "description": "Disclosed attributes were expired",
        },
    },
    {
        "token": "Gk2LwX0vNb9sTy4HcJ6q",
        "status": "DONE",
        "type": "signing",
        "proofStatus": "UNMATCHED_REQUEST",
        "signature": {"@context": "https://irma.app/ld/signature/v2", "nonce": None},
    },
    {
        "token": "Gk2LwX0vNb9sTy4HcJ6q",
        "status": "DONE",
        "type": "issuing",
        "proofStatus": "VALID",
        "disclosed": [
            [
                {
                    "rawvalue": "present",
                    "value": {"": "present"},
                    "id": "irma-demo.RU.studentCard",
                    "status": "EXTRA",
                    "issuancetime": 1792627200,
                    "notrevoked": True,
                    "notrevokedbefore": 1792627200,
                    "later": None,
                }
            ]
        ],
        "later": {"a": None},
    },
]


@pytest.mark.trap("T3", "T24", "T25")
@pytest.mark.parametrize("document", RESULTS, ids=range(len(RESULTS)))
def test_result_is_written_as_it_was_read(document: Fields) -> None:
    """Nulls of attributes, empty and null disjunctions and unknown fields survive."""
    assert parse_session_result(json.dumps(document)).to_wire() == document


def test_result_has_names_for_its_fields() -> None:
    """The fields of a result are typed."""
    result = session_result_from(DONE)
    assert result.status is Status.DONE
    assert result.type is SessionType.DISCLOSING
    assert result.proof_status is ProofStatus.VALID
    assert result.next_session == "b3QxVd9TgYw1LrE6uHaP"
    assert result.disclosed is not None
    assert result.disclosed[0] is not None
    assert result.disclosed[0][0].rawvalue == "456"


@pytest.mark.parametrize("status", Status)
def test_only_three_states_are_final(status: Status) -> None:
    """DONE, CANCELLED and TIMEOUT end a session; the others do not."""
    assert status.final == (status in {"DONE", "CANCELLED", "TIMEOUT"})


@pytest.mark.parametrize("proof_status", [*ProofStatus, None])
def test_only_valid_proofs_prove(proof_status: ProofStatus | None) -> None:
    """A result is proved only by proofs that are VALID."""
    result = SessionResult(
        token="t",
        status=Status.DONE,
        type=SessionType.DISCLOSING,
        proofStatus=proof_status,
    )
    assert result.proved == (proof_status == "VALID")


@pytest.mark.parametrize(
    "document, text",
    [
        ("nothing", "not JSON: Expecting value at character 0"),
        ("[]", "expected an object, found a list"),
        ('{"status":"DONE","type":"signing"}', "token: missing"),
        (
            '{"token":"t","status":"ELSEWHERE","type":"signing"}',
            "status: expected another word, found a string",
        ),
        (
            '{"token":"t","status":"DONE","type":"signing","disclosed":[[{"id":5}]]}',
            "disclosed[0][0].id: expected a string, found a number",
        ),
    ],
)
def test_what_is_no_result_is_refused(document: str, text: str) -> None:
    """A refusal names the field and the reason."""
    with pytest.raises(InvalidSessionResult) as caught:
        parse_session_result(document)
    assert str(caught.value) == text


@pytest.mark.trap("T5")
def test_claims_hold_the_result_at_top_level() -> None:
    """A result JWT says when, by whom and what, with the result's own fields."""
    claims = result_claims(DONE, issuer="labserver", validity_s=300, now=1795296044)
    assert claims == {
        "exp": 1795296344,
        "iat": 1795296044,
        "iss": "labserver",
        "sub": "disclosing_result",
        **DONE,
    }


def test_empty_issuer_is_left_out() -> None:
    """Without an issuer there is no `iss`."""
    claims = result_claims(DONE, issuer="", validity_s=1, now=0)
    assert "iss" not in claims


@pytest.mark.parametrize("document", RESULTS, ids=range(len(RESULTS)))
def test_claims_give_the_result_back(document: Fields) -> None:
    """The result in a JWT's claims is the result that was put there."""
    result = session_result_from(document)
    claims = result_claims(result.to_wire(), issuer="i", validity_s=1, now=0)
    assert result_from_claims(claims) == result


def test_claims_of_another_subject_are_refused() -> None:
    """The subject of a result JWT has to fit the session's type."""
    claims = result_claims(DONE, issuer="", validity_s=1, now=0)
    with pytest.raises(InvalidSessionResult, match="sub: does not fit"):
        result_from_claims({**claims, "sub": "signing_result"})


@pytest.mark.parametrize(
    "kind, subject",
    [
        (SessionType.DISCLOSING, "disclosure_result"),
        (SessionType.SIGNING, "abs_result"),
        (SessionType.ISSUING, "issue_result"),
    ],
)
def test_legacy_claims_of_an_unfinished_session(kind: SessionType, subject: str) -> None:
    """Each kind has its old subject; the status is that of the proofs, empty so far."""
    result = SessionResult(token="t", status=Status.CONNECTED, type=kind)
    assert legacy_claims(result, issuer="", validity_s=120, now=1795296044) == {
        "exp": 1795296164,
        "iat": 1795296044,
        "sub": subject,
        "status": "",
        "attributes": {},
    }


@pytest.mark.trap("T24")
def test_legacy_claims_hold_all_attributes_in_one_object() -> None:
    """Every list is emptied into one object, in which null is the empty string."""
    again: JsonValue = {
        "rawvalue": "789",
        "value": {"": "789"},
        "id": "irma-demo.RU.studentCard.studentID",
        "status": "EXTRA",
    }
    result = session_result_from(
        {**DONE, "disclosed": [[STUDENT], None, [PREFIX, again]]}
    )
    claims = legacy_claims(result, issuer="labserver", validity_s=60, now=0)
    assert claims == {
        "exp": 60,
        "iat": 0,
        "iss": "labserver",
        "sub": "disclosure_result",
        "status": "VALID",
        "attributes": {
            "irma-demo.RU.studentCard.studentID": "789",
            "irma-demo.MijnOverheid.fullName.prefix": "",
        },
    }


def test_legacy_claims_hold_the_signature() -> None:
    """A signature goes along as it came."""
    signature: Fields = {"@context": "https://irma.app/ld/signature/v2", "nonce": None}
    result = session_result_from(
        {"token": "t", "status": "DONE", "type": "signing", "signature": signature}
    )
    claims = legacy_claims(result, issuer="", validity_s=1, now=0)
    assert claims["signature"] == signature


def test_static_pointer_redirects() -> None:
    """The QR of a static session says that each scan starts a session of its own."""
    pointer = StaticPointer(u="https://irma.example/irma/session/petitie")
    assert pointer.to_wire() == {
        "u": "https://irma.example/irma/session/petitie",
        "irmaqr": "redirect",
    }


@pytest.mark.parametrize("hint", [True, False])
def test_package_is_written_as_it_was_read(*, hint: bool) -> None:
    """A session package survives; a pairing hint is there only when given."""
    frontend: Fields = {
        "authorization": "qGrMmL8UZwZ88Sq8gobV",
        "minProtocolVersion": "1.0",
        "maxProtocolVersion": "1.1",
    }
    document: Fields = {
        "sessionPtr": {"u": "https://irma.example/irma/session/x", "irmaqr": "signing"},
        "token": "KzxuWKwL5KGLKr4uerws",
        "frontendRequest": frontend | ({"pairingHint": True} if hint else {}),
    }
    package = parse_session_package(json.dumps(document))
    assert package.to_wire() == document
    assert package.session_ptr.irmaqr is SessionType.SIGNING
    assert bool(package.frontend_request.pairing_hint) == hint


def test_what_is_no_package_is_refused() -> None:
    """A package without a pointer is none."""
    with pytest.raises(InvalidSessionPackage, match="sessionPtr: missing"):
        session_package_from({"token": "t"})


@pytest.mark.parametrize("kind", ErrorKind)
def test_error_without_message(kind: ErrorKind) -> None:
    """Every error has its name, status and description, and no empty message."""
    assert irma_error(kind).to_wire() == {
        "status": kind.http_status,
        "error": kind.error,
        "description": kind.description,
    }


def test_error_with_message() -> None:
    """A message is part of the error object."""
    error = irma_error(ErrorKind.SESSION_UNAUTHORIZED, "Host mismatch")
    assert error == IrmaError(
        status=403,
        error="UNAUTHORIZED",
        description="You are not authorized to access the session",
        message="Host mismatch",
    )
