"""Legacy session requests are read as an IRMA server reads them, and sent as modern."""

import pytest
from pydantic import JsonValue

from schemas.irma import (
    InvalidSessionRequest,
    SessionType,
    request_from_claims,
    session_request_from,
)

DISCLOSURE = "https://irma.app/ld/request/disclosure/v2"
SIGNATURE = "https://irma.app/ld/request/signature/v2"
ISSUANCE = "https://irma.app/ld/request/issuance/v2"
STUDENT_ID = "irma-demo.RU.studentCard.studentID"
BSN = "irma-demo.MijnOverheid.root.BSN"
ROOT = "irma-demo.MijnOverheid.root"
SECRET = "a value nobody may see"

Fields = dict[str, JsonValue]

CREDENTIALS: JsonValue = [
    {"credential": "irma-demo.RU.studentCard", "attributes": {"level": "42"}}
]
ASKED: JsonValue = [
    {"label": "Your id", "attributes": [STUDENT_ID, BSN]},
    {"label": "Your root", "attributes": {ROOT: None, BSN: "12345"}},
]
DISCLOSE: JsonValue = [
    [[STUDENT_ID], [BSN]],
    [[ROOT], [{"type": BSN, "value": "12345"}]],
]
LABELS: JsonValue = {
    "0": {"en": "Your id", "nl": "Your id"},
    "1": {"en": "Your root", "nl": "Your root"},
}
EXTENDED: Fields = {
    "validity": 300,
    "timeout": 60,
    "callbackUrl": "https://shop.example/cb",
    "nextSession": {"url": "https://shop.example/next"},
}

#: Kind, legacy request, the modern one that says the same.
CONVERTED: list[tuple[SessionType, Fields, Fields]] = [
    (
        SessionType.DISCLOSING,
        {"type": "disclosing", "content": ASKED},
        {"@context": DISCLOSURE, "disclose": DISCLOSE, "labels": LABELS},
    ),
    (
        SessionType.SIGNING,
        {"type": "signing", "message": "I agree", "content": ASKED},
        {
            "@context": SIGNATURE,
            "message": "I agree",
            "disclose": DISCLOSE,
            "labels": LABELS,
        },
    ),
    (
        SessionType.ISSUING,
        {"type": "issuing", "credentials": CREDENTIALS},
        {"@context": ISSUANCE, "credentials": CREDENTIALS},
    ),
    (
        SessionType.ISSUING,
        {"type": "issuing", "credentials": CREDENTIALS, "disclose": ASKED},
        {
            "@context": ISSUANCE,
            "credentials": CREDENTIALS,
            "disclose": DISCLOSE,
            "labels": LABELS,
        },
    ),
]


def asking(*content: JsonValue) -> Fields:
    """A legacy disclosure request for what is given."""
    return {"type": "disclosing", "content": list(content)}


def refusal(document: object) -> InvalidSessionRequest:
    """The error with which a document is refused."""
    with pytest.raises(InvalidSessionRequest) as caught:
        session_request_from(document)
    return caught.value


@pytest.mark.parametrize("kind, legacy, modern", CONVERTED)
def test_bare_request_is_converted(
    kind: SessionType, legacy: Fields, modern: Fields
) -> None:
    """An alternative becomes a conjunction of one, a label a text in two languages."""
    request = session_request_from(legacy)
    assert request.type is kind
    assert request.to_wire() == {"validity": 120, "request": modern}


@pytest.mark.parametrize("kind, legacy, modern", CONVERTED)
def test_extended_request_keeps_its_envelope(
    kind: SessionType, legacy: Fields, modern: Fields
) -> None:
    """Inside an extended request it is converted, and validity and URLs stay."""
    request = session_request_from({**EXTENDED, "request": legacy})
    assert request.type is kind
    assert request.to_wire() == {**EXTENDED, "request": modern}


@pytest.mark.parametrize("context", ["", None])
def test_empty_context_is_none(context: str | None) -> None:
    """An empty context is as good as none, as upstream."""
    legacy: Fields = {"@context": context, "@CONTEXT": "", **asking(*_asked(BSN))}
    assert session_request_from(legacy).attribute_ids() == [BSN]
    assert session_request_from({"request": legacy}).attribute_ids() == [BSN]


def test_names_are_in_any_case() -> None:
    """The names of legacy fields are compared as Go compares them."""
    legacy: Fields = {
        "TYPE": "disclosing",
        "Content": [{"LABEL": "l", "attribute\u017f": [BSN]}],
    }
    assert session_request_from(legacy).to_wire()["request"] == {
        "@context": DISCLOSURE,
        "disclose": [[[BSN]]],
        "labels": {"0": {"en": "l", "nl": "l"}},
    }


def test_missing_label_is_an_empty_one() -> None:
    """Without a label the app is told an empty one, as upstream."""
    request = session_request_from(asking({"attributes": [BSN]}))
    assert request.request.labels == {"0": {"en": "", "nl": ""}}


def test_modern_fields_mean_nothing_in_a_legacy_request() -> None:
    """What only a modern request has cannot come to mean something by the conversion."""
    legacy = asking(*_asked(BSN)) | {
        "disclose": [[[STUDENT_ID]]],
        "Labels": {"0": {"en": "another"}},
        "skipExpiryCheck": [ROOT],
    }
    assert session_request_from(legacy) == session_request_from(asking(*_asked(BSN)))


def test_what_both_forms_have_is_kept() -> None:
    """The other fields of a request, and unknown ones, are passed on."""
    kept: Fields = {
        "host": "irma.example",
        "clientReturnUrl": "https://shop.example",
        "revocation": {ROOT: {}},
        "later": 1,
    }
    plain = session_request_from(asking(*_asked(BSN)) | kept).to_wire()["request"]
    assert isinstance(plain, dict)
    assert kept.items() <= plain.items()


def _asked(*ids: str) -> list[JsonValue]:
    return [{"label": "l", "attributes": [id_]} for id_ in ids]


#: No legacy plain request: none of its kind, or nothing that an IRMA server accepts.
REFUSED: list[Fields] = [
    {},
    {"foo": 1},
    {"content": []},
    {"content": _asked(BSN)},
    {"credentials": CREDENTIALS},
    {"type": 5, "content": _asked(BSN)},
    {"type": SECRET, "content": _asked(BSN)},
    {"type": "disclosing"},
    asking(),
    asking({"label": "l"}),
    asking(*_asked(BSN), {"attributes": None}),
    asking({"attributes": [BSN, "irma-demo.RU"]}),
    asking({"attributes": [BSN, None]}),
    asking({"attributes": [BSN, 5]}),
    asking({"attributes": SECRET}),
    asking({"attributes": {BSN: 5}}),
    asking({"label": 5, "attributes": [BSN]}),
    asking(SECRET),
    asking(*_asked(BSN)) | {"host": 5},
    {"type": "disclosing", "content": SECRET},
    {"type": "signing", "content": _asked(BSN)},
    {"type": "signing", "message": "m"},
    {"type": "issuing", "disclose": _asked(BSN)},
    {"type": "issuing", "credentials": CREDENTIALS, "disclose": [{"attributes": ["x"]}]},
]

OF_NEITHER_FORM = "Failed to JSON unmarshal request bytes"


@pytest.mark.parametrize("document", REFUSED)
def test_refusal_does_not_say_why(document: Fields) -> None:
    """Nobody can tell what a request without a context was meant to be."""
    for fault in (
        refusal(document),
        refusal({"request": document}),
        refusal({**EXTENDED, "request": document}),
    ):
        assert (fault.field, fault.message) == ("", OF_NEITHER_FORM)
        assert fault.__cause__ is None
        assert fault.__context__ is None


@pytest.mark.parametrize("more", [{"validity": "1"}, {"timeout": 1.5}, {"request": 5}])
def test_an_envelope_in_disorder_is_no_request(more: Fields) -> None:
    """Also where the legacy request inside would do."""
    document = {"request": asking(*_asked(BSN))} | more
    assert refusal(document).message == OF_NEITHER_FORM


def test_a_plain_request_is_tried_last() -> None:
    """A request beside one that is none is read, as upstream tries one form by one."""
    legacy = asking(*_asked(BSN))
    request = session_request_from({**legacy, "request": {"type": "signing"}})
    assert request.attribute_ids() == [BSN]


PARTS = "Expected attribute request to consist of 4 or 3 parts, 1 found"

#: Refused inside a claim, whose kind of request is known: its place, the reason.
PLACES: list[tuple[Fields, str, str]] = [
    (
        asking({"attributes": SECRET}),
        "content[0].attributes",
        "neither a list of ids nor an object of ids and values",
    ),
    (
        asking({"attributes": {BSN: 5}}),
        "content[0].attributes[0][0].value",
        "expected a string, found a number",
    ),
    (
        asking({"label": 5, "attributes": [BSN]}),
        "content[0].label",
        "expected a string, found a number",
    ),
    (asking(SECRET), "content[0]", "expected an object, found a string"),
    (
        asking() | {"content": SECRET},
        "content",
        "expected a list, found a string",
    ),
    (
        asking({"label": "l"}),
        "content[0].attributes",
        "Invalid JWT body: Empty disjunction",
    ),
    (
        asking({"attributes": [BSN, None]}),
        "content[0].attributes[1]",
        f"Invalid JWT body: {PARTS}",
    ),
]


@pytest.mark.parametrize("document, field, reason", PLACES)
def test_refusal_names_the_place_in_a_claim(
    document: Fields, field: str, reason: str
) -> None:
    """A refusal names the place in the request that was sent, and never a value."""
    with pytest.raises(InvalidSessionRequest) as caught:
        request_from_claims({"sub": "disclosing", "sprequest": {"request": document}})
    fault = caught.value
    assert (fault.field, fault.reason) == (f"sprequest.request.{field}", reason)
    assert SECRET not in repr(fault)
    assert fault.__cause__ is None
    assert fault.__context__ is None
