"""Legacy session requests are read as an IRMA server reads them, and sent as modern."""

import pytest
from pydantic import JsonValue

from schemas.irma import InvalidSessionRequest, SessionType, session_request_from

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


#: Refused: legacy plain request, place, reason.
REFUSED: list[tuple[Fields, str, str]] = [
    ({"content": []}, "type", "missing, and there is no @context either"),
    ({"credentials": []}, "type", "missing, and there is no @context either"),
    ({"type": 5}, "type", "expected a string, found a number"),
    ({"type": SECRET}, "type", "not disclosing, signing or issuing"),
    ({"type": "disclosing"}, "", "Disclosure request had no attributes"),
    (asking(), "", "Disclosure request had no attributes"),
    (asking({"label": "l"}), "content[0].attributes", "Empty disjunction"),
    (
        asking(*_asked(BSN), {"attributes": None}),
        "content[1].attributes",
        "Empty disjunction",
    ),
    (
        asking({"attributes": [BSN, "irma-demo.RU"]}),
        "content[0].attributes[1]",
        "Expected attribute request to consist of 4 or 3 parts, 2 found",
    ),
    (
        asking({"attributes": [BSN, None]}),
        "content[0].attributes",
        "neither a list of ids nor an object of ids and values",
    ),
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
        {"type": "disclosing", "content": SECRET},
        "content",
        "expected a list, found a string",
    ),
    (
        {"type": "signing", "content": _asked(BSN)},
        "",
        "Signature request had empty message",
    ),
    (
        {"type": "signing", "message": "m"},
        "",
        "Signature request had no attributes",
    ),
    ({"type": "issuing", "disclose": _asked(BSN)}, "", "Empty issuance request"),
    (
        {
            "type": "issuing",
            "credentials": CREDENTIALS,
            "disclose": [{"attributes": ["x"]}],
        },
        "disclose[0].attributes[0]",
        "Expected attribute request to consist of 4 or 3 parts, 1 found",
    ),
]


@pytest.mark.parametrize("document, field, reason", REFUSED)
def test_refusal_names_the_place(document: Fields, field: str, reason: str) -> None:
    """A refusal names the place in the request that was sent, and never a value."""
    bare, extended = refusal(document), refusal({"request": document})
    assert (bare.field, bare.reason) == (field, reason)
    assert (extended.field, extended.reason) == (field and f"request.{field}", reason)
    for fault in (bare, extended):
        assert SECRET not in repr(fault)
        assert fault.__cause__ is None
        assert fault.__context__ is None


@pytest.mark.parametrize(
    "document", [{}, {"request": {}}, {"request": {"foo": 1}}, {"request": 5}]
)
def test_what_is_of_neither_form_is_no_request(document: Fields) -> None:
    """Without a word of either form, the message is upstream's."""
    assert refusal(document).message == "Failed to JSON unmarshal request bytes"
