"""Revocation requests are read as an IRMA server reads them."""

import json

import pytest
from pydantic import JsonValue

from schemas.irma import InvalidRevocationRequest, parse_revocation_request

Fields = dict[str, JsonValue]

REVOCATION: Fields = {
    "@context": "https://irma.app/ld/request/revocation/v1",
    "type": "irma-demo.MijnOverheid.root",
    "revocationKey": "nokey",
}


@pytest.mark.parametrize("more", [{}, {"issued": 1795296044000000000}, {"later": [1]}])
def test_request_is_written_as_it_was_read(more: Fields) -> None:
    """All fields survive, the time of issuance in nanoseconds and unknown ones too."""
    document = REVOCATION | more
    assert parse_revocation_request(json.dumps(document)).to_wire() == document


def test_request_has_names_for_its_fields() -> None:
    """The fields are typed; names are in any case, and null is absent."""
    request = parse_revocation_request(
        json.dumps({**REVOCATION, "REVOCATIONKEY": "k", "issued": None})
    )
    assert request.type == "irma-demo.MijnOverheid.root"
    assert request.revocation_key == "k"
    assert request.issued is None


@pytest.mark.parametrize(
    "changed, text",
    [
        ({"@context": "x"}, "@context: not a revocation request"),
        ({"@context": None}, "@context: not a revocation request"),
        ({"@context": 5}, "@context: expected a string, found a number"),
        ({"type": 5}, "type: expected a string, found a number"),
        ({"issued": 1.5}, "issued: expected an integer, found a number with a fraction"),
        ({"issued": 2**63}, "issued: number out of range"),
    ],
)
def test_refusal_names_the_field(changed: Fields, text: str) -> None:
    """A refusal names the field and the reason."""
    with pytest.raises(InvalidRevocationRequest) as caught:
        parse_revocation_request(json.dumps(REVOCATION | changed))
    assert str(caught.value) == text


@pytest.mark.parametrize(
    "body", ["null", "{}", '{"type": "irma-demo.MijnOverheid.root"}']
)
def test_what_has_no_context_is_none(body: str) -> None:
    """In upstream's words, whatever else is there."""
    with pytest.raises(InvalidRevocationRequest) as caught:
        parse_revocation_request(body)
    assert caught.value.message == "not a revocation request"


@pytest.mark.parametrize("type_", [None, "", "irma-demo", "irma-demo..root", "a.b.c.d.e"])
def test_anything_may_be_named(type_: str | None) -> None:
    """Whether it can be revoked is told by permissions, then by the IRMA server."""
    document = REVOCATION | {"type": type_, "revocationKey": None}
    request = parse_revocation_request(json.dumps(document))
    assert (request.type, request.revocation_key) == (type_ or "", "")
    assert request.to_wire().get("type") == type_


@pytest.mark.parametrize("body", ["", "[]"])
def test_what_is_no_object_is_refused(body: str) -> None:
    """A body that holds no object is refused."""
    with pytest.raises(InvalidRevocationRequest):
        parse_revocation_request(body)
