"""Session requests are read as an IRMA server reads them."""

import json

import pytest
from pydantic import JsonValue

from schemas.irma import (
    AttributeRequest,
    InvalidSessionRequest,
    IssuanceRequest,
    RevocationSettings,
    SessionRequest,
    SessionType,
    SignatureRequest,
    parse_session_request,
    session_request_from,
)
from schemas.irma.documents import STRUCTURE_MAX

DISCLOSURE = "https://irma.app/ld/request/disclosure/v2"
SIGNATURE = "https://irma.app/ld/request/signature/v2"
ISSUANCE = "https://irma.app/ld/request/issuance/v2"
STUDENT_ID = "irma-demo.RU.studentCard.studentID"
LEVEL = "irma-demo.RU.studentCard.level"
BSN = "irma-demo.MijnOverheid.root.BSN"
SECRET = "a value nobody may see"

Fields = dict[str, JsonValue]


def disclosure(**fields: JsonValue) -> Fields:
    """A plain disclosure request for one attribute, with other fields on top."""
    return {"@context": DISCLOSURE, "disclose": [[[STUDENT_ID]]], **fields}


def issuance(**fields: JsonValue) -> Fields:
    """A plain issuance request for one credential whose fields are given."""
    credential: Fields = {"credential": "irma-demo.RU.studentCard", **fields}
    return {"@context": ISSUANCE, "credentials": [credential]}


def plain_of(request: SessionRequest) -> JsonValue:
    """The plain request inside what is sent to an IRMA server."""
    return request.to_wire()["request"]


def refusal(document: object) -> InvalidSessionRequest:
    """The error with which a document is refused."""
    with pytest.raises(InvalidSessionRequest) as caught:
        session_request_from(document)
    return caught.value


def test_plain_request_gets_the_envelope_of_an_extended_one() -> None:
    """A plain request is a session of default validity that posts to nobody."""
    request = session_request_from(disclosure())
    assert request.to_wire() == {"validity": 120, "request": disclosure()}
    assert (request.timeout, request.callback_url, request.next_session) == (
        0,
        None,
        None,
    )


def test_extended_request_is_kept() -> None:
    """An extended request keeps its validity, timeout and URLs."""
    document: Fields = {
        "validity": 300,
        "timeout": 60,
        "callbackUrl": "https://shop.example/cb",
        "nextSession": {"url": "https://shop.example/next"},
        "request": disclosure(),
    }
    request = session_request_from(document)
    assert request.to_wire() == document
    assert request.next_session is not None
    assert request.next_session.url == "https://shop.example/next"


@pytest.mark.parametrize(
    "document, kind",
    [
        (disclosure(), SessionType.DISCLOSING),
        (
            {"@context": SIGNATURE, "message": "m", "disclose": [[[]]]},
            SessionType.SIGNING,
        ),
        (issuance(), SessionType.ISSUING),
    ],
)
def test_type_follows_the_context(document: Fields, kind: SessionType) -> None:
    """The context decides what kind of session is asked for."""
    assert session_request_from(document).type is kind


def test_attribute_ids_name_every_alternative() -> None:
    """Every attribute of every alternative is named, optional ones too."""
    document = disclosure(disclose=[[[STUDENT_ID, LEVEL], [BSN]], [[], [BSN]]])
    assert session_request_from(document).attribute_ids() == [STUDENT_ID, LEVEL, BSN, BSN]


def test_attribute_is_written_in_its_shortest_form() -> None:
    """An attribute with neither value nor notNull becomes a bare id again."""
    document = disclosure(
        disclose=[
            [[{"type": STUDENT_ID, "value": None, "notNull": False}]],
            [[{"type": STUDENT_ID, "value": ""}]],
            [[{"type": STUDENT_ID, "notNull": True}]],
            [[{"type": STUDENT_ID, "later": 1}]],
        ]
    )
    plain = plain_of(session_request_from(document))
    assert isinstance(plain, dict)
    assert plain["disclose"] == [
        [[STUDENT_ID]],
        [[{"type": STUDENT_ID, "value": ""}]],
        [[{"type": STUDENT_ID, "notNull": True}]],
        [[{"type": STUDENT_ID, "later": 1}]],
    ]


@pytest.mark.trap("T33")
@pytest.mark.parametrize("index", ["0", "+1", "-1", "007"])
def test_label_is_given_by_a_decimal_index(index: str) -> None:
    """Whatever Go takes for an integer may be the key of a label."""
    document = disclosure(labels={index: {"en": "Your id"}})
    assert plain_of(session_request_from(document)) == document


@pytest.mark.parametrize("name", ["DISCLOSE", "Disclose", "di\u017fclose"])
def test_names_are_compared_as_go_compares_them(name: str) -> None:
    """A known field in another case is that field, and sent under its own name."""
    document: Fields = {"@context": DISCLOSURE, name: [[[STUDENT_ID]]]}
    assert plain_of(session_request_from(document)) == disclosure()


def test_kelvin_sign_is_a_k() -> None:
    """The letters that only Go takes for `k` and `s` cannot smuggle a field past us."""
    document: Fields = {"request": disclosure(), "callbac\u212aUrl": "https://x.example"}
    assert session_request_from(document).callback_url == "https://x.example"


def test_last_of_equal_names_wins() -> None:
    """A repeated field has the value it was given last, in whatever case."""
    body = (
        f'{{"disclose":[[["{BSN}"]]],"DISCLOSE":[[["{BSN}"]]],'
        f'"disclose":[[["{STUDENT_ID}"]]],"@context":"{DISCLOSURE}"}}'
    )
    assert parse_session_request(body).attribute_ids() == [STUDENT_ID]


def test_unknown_fields_are_passed_on() -> None:
    """What we do not know goes to the IRMA server as it came."""
    document: Fields = {
        "request": disclosure(nonce="AA==", later={"a": [None]}),
        "later": None,
        "validity": 5,
    }
    assert session_request_from(document).to_wire() == document


def test_null_is_absent() -> None:
    """A null field counts as left out, at every level."""
    document: Fields = {
        "validity": None,
        "timeout": None,
        "callbackUrl": None,
        "nextSession": None,
        "request": disclosure(labels=None, host=None, revocation=None),
    }
    request = session_request_from(document)
    assert request.to_wire() == {"validity": 120, "request": disclosure()}


@pytest.mark.parametrize("validity", [0, None])
def test_validity_has_a_default(validity: int | None) -> None:
    """No validity, or zero, means 120 s."""
    request = session_request_from({"request": disclosure(), "validity": validity})
    assert request.validity == 120


def test_negative_validity_is_accepted() -> None:
    """The range of the validity is not checked, as upstream."""
    assert session_request_from({"request": disclosure(), "validity": -1}).validity == -1


def test_empty_callback_url_is_none() -> None:
    """An empty callbackUrl is no callbackUrl."""
    request = session_request_from({"request": disclosure(), "callbackUrl": ""})
    assert request.callback_url is None
    assert "callbackUrl" not in request.to_wire()


def test_urls_are_replaced() -> None:
    """Other URLs take the place of the requestor's, and may be taken away."""
    request = session_request_from(
        {"request": disclosure(), "nextSession": {"url": "https://a.example"}}
    )
    ours = request.with_urls("https://ours.example/n", "https://ours.example/c")
    assert ours.to_wire() == {
        "validity": 120,
        "nextSession": {"url": "https://ours.example/n"},
        "callbackUrl": "https://ours.example/c",
        "request": disclosure(),
    }
    assert ours.with_urls(None, None) == session_request_from(disclosure())
    assert request.next_session is not None
    assert request.next_session.url == "https://a.example"


def test_client_return_url_is_replaced() -> None:
    """Another URL takes the place of the requestor's, with or without a token on it."""
    request = session_request_from(disclosure(clientReturnUrl="https://a.example"))
    ours = request.with_client_return_url("https://ours.example", augment=True)
    assert plain_of(ours) == disclosure(
        clientReturnUrl="https://ours.example", augmentReturnUrl=True
    )
    assert plain_of(ours.with_client_return_url("https://b.example")) == disclosure(
        clientReturnUrl="https://b.example"
    )
    assert plain_of(request) == disclosure(clientReturnUrl="https://a.example")


def test_client_return_url_is_taken_away() -> None:
    """Without a URL nothing can be appended to it, which an IRMA server would refuse."""
    request = session_request_from(
        disclosure(clientReturnUrl="https://a.example", augmentReturnUrl=True)
    )
    assert plain_of(request.with_client_return_url(None, augment=True)) == disclosure()


@pytest.mark.trap("T22")
def test_more_is_asked_for_at_the_tail() -> None:
    """What is added comes last, so that labels and the requestor's indexes stay true."""
    labels: Fields = {"0": {"en": "Your id"}}
    request = session_request_from({"request": disclosure(labels=labels), "timeout": 9})
    longer = request.with_disclose([[[AttributeRequest(type=BSN, value="1")]], [[]]])
    assert longer.timeout == 9
    assert plain_of(longer) == disclosure(
        disclose=[[[STUDENT_ID]], [[{"type": BSN, "value": "1"}]], [[]]], labels=labels
    )
    assert plain_of(request) == disclosure(labels=labels)


def test_nothing_more_changes_nothing() -> None:
    """An issuance without disclosure stays one when nothing is added."""
    request = session_request_from(issuance())
    assert request.with_disclose([]).to_wire() == request.to_wire()


def test_issuance_is_made_to_ask() -> None:
    """An issuance without disclosure can be given one."""
    request = session_request_from(issuance())
    longer = request.with_disclose([[[AttributeRequest(type=BSN)]]])
    assert plain_of(longer) == issuance() | {"disclose": [[[BSN]]]}


def test_revocation_list_becomes_settings() -> None:
    """A list of credential ids is the same as those ids without settings."""
    request = session_request_from(disclosure(revocation=["irma-demo.MijnOverheid.root"]))
    assert plain_of(request) == disclosure(revocation={"irma-demo.MijnOverheid.root": {}})


def test_null_attribute_of_a_credential_is_the_empty_string() -> None:
    """An explicit null among the attributes to issue turns into the empty string."""
    request = session_request_from(issuance(attributes={"level": None}))
    assert isinstance(request.request, IssuanceRequest)
    assert request.request.credentials[0].attributes == {"level": ""}


def test_signature_message_is_kept() -> None:
    """The message to sign is part of the request."""
    document: Fields = {"@context": SIGNATURE, "message": "I agree", "disclose": [[[]]]}
    request = session_request_from(document)
    assert isinstance(request.request, SignatureRequest)
    assert request.request.message == "I agree"
    assert plain_of(request) == document


def test_nulls_where_lists_are_due() -> None:
    """Go reads a null conjunction as an empty one, that is, as optional."""
    request = session_request_from(disclosure(disclose=[[[STUDENT_ID]], [None, [BSN]]]))
    assert plain_of(request) == disclosure(disclose=[[[STUDENT_ID]], [[], [BSN]]])


def test_lone_surrogate_becomes_the_replacement_character() -> None:
    """What is not Unicode is replaced as Go does, in names and values."""
    body = json.dumps(disclosure(clientReturnUrl="\ud800", **{"x\udfff": 1}))
    plain = plain_of(parse_session_request(body))
    assert plain == disclosure(clientReturnUrl="\ufffd", **{"x\ufffd": 1})


def test_invalid_utf8_becomes_the_replacement_character() -> None:
    """Bytes that are no UTF-8 are replaced, as Go does."""
    body = json.dumps(disclosure(host="#")).encode().replace(b"#", b"\xff")
    assert plain_of(parse_session_request(body)) == disclosure(host="\ufffd")


@pytest.mark.trap("T14")
@pytest.mark.parametrize("empty", [{}, {"url": ""}, {"url": None}, {"later": 1}])
def test_next_session_without_url_is_read(empty: JsonValue) -> None:
    """A nextSession without a URL is one; it is refused after who asks is permitted."""
    request = session_request_from({"request": disclosure(), "nextSession": empty})
    assert request.next_session is not None
    assert request.next_session.url == ""


def test_null_among_ids_is_the_empty_id() -> None:
    """Go reads a null in a list of ids as no id; whether there is one, it looks later."""
    request = session_request_from(disclosure(skipExpiryCheck=[None], revocation=[None]))
    assert request.request.skip_expiry_check == [""]
    assert request.request.revocation == {"": RevocationSettings()}


@pytest.mark.parametrize("identifier", ["a..b.c", "...", "irma-demo.RU..x", "a.b."])
def test_parts_of_an_id_may_be_empty(identifier: str) -> None:
    """Only their number counts here; that there is none such, the schemes tell."""
    request = session_request_from(disclosure(disclose=[[[identifier]]]))
    assert request.attribute_ids() == [identifier]
    credential = ".".join(identifier.split(".")[:3])
    assert session_request_from(issuance(credential=credential)).type == "issuing"


@pytest.mark.trap("T33")
@pytest.mark.parametrize("name", ["validity", "timeout"])
@pytest.mark.parametrize("value", ["120", 1.5, 120.0, True, 2**63])
def test_integer_must_be_a_json_integer(name: str, value: JsonValue) -> None:
    """What Go does not read as an integer is refused, however close it comes."""
    assert refusal({"request": disclosure(), name: value}).field == name


@pytest.mark.trap("T33")
@pytest.mark.parametrize("index", ["x", "", "1.0", "0x1", "1_0", " 1", "\u0661"])
def test_label_of_no_decimal_index_is_refused(index: str) -> None:
    """The key of a label must be an integer to Go."""
    assert refusal(disclosure(labels={index: {"en": "a"}})).field == "labels"


ADJACENT = (
    "Within inner conjunctions, attributes from the same credential type must be adjacent"
)
PARTS = "Expected attribute request to consist of 4 or 3 parts, {} found"

#: Refusals in upstream's own words: document, field, message.
VERBATIM: list[tuple[object, str, str]] = [
    (
        disclosure(disclose=[[["irma-demo.RU"]]]),
        "disclose[0][0][0]",
        PARTS.format(2),
    ),
    (
        {"request": disclosure(disclose=[[[BSN]], [[], ["a.b.c.d.e"]]])},
        "request.disclose[1][1][0]",
        PARTS.format(5),
    ),
    (disclosure(disclose=[[[None]]]), "disclose[0][0][0]", PARTS.format(1)),
    (
        disclosure(disclose=[[[STUDENT_ID, BSN, LEVEL]]]),
        "disclose[0][0][2]",
        ADJACENT,
    ),
    (disclosure(disclose=[[[STUDENT_ID]], []]), "disclose[1]", "Empty disjunction"),
    (disclosure(disclose=[[]]), "", "Disclosure request had no attributes"),
    ({"@context": "x"}, "@context", "Invalid session request type"),
    (
        {"request": {"@context": "x"}},
        "request.@context",
        "Invalid requestor request type",
    ),
    (
        issuance(credential="irma-demo.RU"),
        "credentials[0].credential",
        "Expected credential ID to consist of 3 parts, 2 found",
    ),
]


@pytest.mark.parametrize("document, field, message", VERBATIM)
def test_refusal_in_the_words_of_an_irma_server(
    document: object, field: str, message: str
) -> None:
    """Where an IRMA server has a reason, the message is that reason to the letter."""
    fault = refusal(document)
    assert (fault.field, fault.message) == (field, message)
    assert str(fault) == (f"{field}: {message}" if field else message)


#: Refusals where upstream shows its JSON parser: document, our text.
OUR_WORDS: list[tuple[object, str]] = [
    (
        disclosure(disclose=[[[5]]]),
        "disclose[0][0][0]: expected an object, found a number",
    ),
    (disclosure(disclose=SECRET), "disclose: expected a list, found a string"),
    (disclosure(disclose=[SECRET]), "disclose[0]: expected a list, found a string"),
    (
        disclosure(disclose=[[[{"type": BSN, "value": 5}]]]),
        "disclose[0][0][0].value: expected a string, found a number",
    ),
    (
        disclosure(disclose=[[[{"type": BSN, "notNull": SECRET}]]]),
        "disclose[0][0][0].notNull: expected a boolean, found a string",
    ),
    (disclosure(labels={"x": {"en": "a"}}), "labels: a key is not a decimal index"),
    (
        disclosure(labels={"0": {"en": 5}}),
        "labels.0.en: expected a string, found a number",
    ),
    (disclosure(host=["h"]), "host: expected a string, found a list"),
    (
        disclosure(augmentReturnUrl=1),
        "augmentReturnUrl: expected a boolean, found a number",
    ),
    (disclosure(revocation=[5]), "revocation: a credential id is not a string"),
    (
        disclosure(revocation={"a.b.c": {"tolerance": -1}}),
        "revocation.a.b.c.tolerance: number out of range",
    ),
    (
        {"request": disclosure(), "validity": "120"},
        "validity: expected an integer, found a string",
    ),
    (
        {"request": disclosure(), "timeout": 1.5},
        "timeout: expected an integer, found a number with a fraction",
    ),
    (
        {"request": disclosure(), "timeout": 1.0},
        "timeout: expected an integer, found a number with a fraction",
    ),
    (
        {"request": disclosure(), "validity": True},
        "validity: expected an integer, found a boolean",
    ),
    ({"request": disclosure(), "validity": 2**63}, "validity: number out of range"),
    (
        {"request": disclosure(), "nextSession": SECRET},
        "nextSession: expected an object, found a string",
    ),
    (
        {"request": disclosure(), "callbackUrl": {}},
        "callbackUrl: expected a string, found an object",
    ),
    (
        issuance(attributes={"level": 42}),
        "credentials[0].attributes.level: expected a string, found a number",
    ),
    (
        issuance(attributes={SECRET: 42}),
        "credentials[0].attributes.?: expected a string, found a number",
    ),
    (
        issuance(validity="soon"),
        "credentials[0].validity: expected an integer, found a string",
    ),
    (
        {"@context": ISSUANCE, "credentials": [None]},
        "credentials[0]: expected an object, found null",
    ),
    ({"@context": 5}, "@context: expected a string, found a number"),
    ([SECRET], "expected an object, found a list"),
    ({"@context": []}, "@context: expected a string, found a list"),
    (
        {"@context": 0, "request": disclosure()},
        "@context: expected a string, found a number",
    ),
    (
        {"request": {"@context": {}, "disclose": []}},
        "request.@context: expected a string, found an object",
    ),
    (disclosure(x=float("nan")), "not JSON: a number is not finite"),
    (disclosure(x=object()), "not JSON: it holds object"),  # type: ignore[arg-type] # the point
]


@pytest.mark.parametrize("document, text", OUR_WORDS)
def test_refusal_names_the_field_and_the_kind_of_value(
    document: object, text: str
) -> None:
    """A refusal in our words names the place and types, and never a value."""
    fault = refusal(document)
    assert (str(fault), fault.message) == (text, text)


@pytest.mark.parametrize(
    "body, text",
    [
        (b"", "not JSON: Expecting value at character 0"),
        (b"hello", "not JSON: Expecting value at character 0"),
        (b'{"a":1} x', "not JSON: Extra data at character 8"),
        (b"[" * 20_000, "nested more than 32 levels deep"),
        (b"[" * 40 + b"]" * 40, "nested more than 32 levels deep"),
        (b'{"a":' + b"1" * 5000 + b"}", "not JSON: a number has too many digits"),
        (b'{"a":NaN}', "not JSON: a number is not finite"),
        (b'{"a":-Infinity}', "not JSON: a number is not finite"),
        (b'{"a":1e999}', "not JSON: a number is not finite"),
        ('{"a":"\x01"}', "not JSON: Invalid control character at character 6"),
        (
            json.dumps(disclosure()).encode("utf-16"),
            "not JSON: Expecting value at character 0",
        ),
    ],
    ids=range(11),
)
def test_body_that_is_no_json_is_refused(body: bytes | str, text: str) -> None:
    """A body that cannot be read is refused cleanly, whatever is in it."""
    with pytest.raises(InvalidSessionRequest) as caught:
        parse_session_request(body)
    assert str(caught.value) == text


@pytest.mark.parametrize("document", [document for document, _ in OUR_WORDS])
def test_refusal_carries_no_value_along(document: object) -> None:
    """Neither the text nor a hidden cause of a refusal holds a value."""
    fault = refusal(document)
    assert SECRET not in repr(fault)
    assert fault.__cause__ is None
    assert fault.__context__ is None


@pytest.mark.trap("T34")
def test_context_in_front_of_an_extended_request_is_dropped() -> None:
    """A null or empty top-level context cannot make the server read a plain request."""
    smuggled = f'"@context":"{DISCLOSURE}","@CONTEXT":"","disclose":[[["{BSN}"]]]'
    body = f'{{{smuggled},"request":{json.dumps(disclosure())}}}'
    wire = parse_session_request(body).to_wire()
    assert [name for name in wire if name.lower() == "@context"] == []
    assert wire["request"] == disclosure()


def test_more_structure_than_anybody_needs_is_refused_unread() -> None:
    """Each list, object and field is looked at: tens of thousands would stop us (G8)."""
    many = "[]," * STRUCTURE_MAX
    with pytest.raises(InvalidSessionRequest, match="more than 20000 lists, objects"):
        parse_session_request(f'{{"x": [{many}[]]}}')
