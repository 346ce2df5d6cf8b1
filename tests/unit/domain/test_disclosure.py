"""What a detached session has to disclose again (reference irma.md §7.6)."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from orchestrator.domain.disclosure import required_again
from schemas.irma import (
    JsonObject,
    SessionRequest,
    SessionResult,
    session_request_from,
    session_result_from,
)

STUDENT: Final = "irma-demo.RU.studentCard.studentID"
LEVEL: Final = "irma-demo.RU.studentCard.level"
PREFIX: Final = "irma-demo.MijnOverheid.fullName.prefix"
NAME: Final = "irma-demo.MijnOverheid.fullName.firstname"
CARD: Final = "irma-demo.RU.studentCard"


def attribute(id_: str, raw: str | None, status: str = "PRESENT") -> JsonObject:
    """One attribute as it stands in a result."""
    value: JsonValue = None if raw is None else {"": raw, "en": raw, "nl": raw}
    return {"id": id_, "rawvalue": raw, "value": value, "status": status}


def result_with(disclosed: JsonValue) -> SessionResult:
    """A proved result that discloses these lists."""
    fields: JsonObject = {
        "token": "T" * 20,
        "status": "CONNECTED",
        "type": "disclosing",
        "proofStatus": "VALID",
    }
    if disclosed is not None:
        fields["disclosed"] = disclosed
    return session_result_from(fields)


def tail(disclosed: JsonValue) -> JsonValue:
    """What is required of the next session, as an IRMA server reads it."""
    request = a_request().with_disclose(required_again(result_with(disclosed)))
    plain = request.to_wire()["request"]
    assert isinstance(plain, dict)
    asked = plain["disclose"]
    assert isinstance(asked, list)
    assert asked[0] == [[NAME]]
    return asked[1:]


def a_request() -> SessionRequest:
    """A disclosure of the first name, with a label."""
    return session_request_from(
        {
            "@context": "https://irma.app/ld/request/disclosure/v2",
            "disclose": [[[NAME]]],
            "labels": {"0": {"en": "name", "nl": "naam"}},
        }
    )


@pytest.mark.trap("T22")
def test_each_list_is_required_again_by_value_and_in_order() -> None:
    """A disjunction for each, with one conjunction, after what was asked for."""
    disclosed: JsonValue = [
        [attribute(STUDENT, "456"), attribute(LEVEL, "42")],
        [attribute(NAME, "Johan")],
    ]
    assert tail(disclosed) == [
        [[{"type": STUDENT, "value": "456"}, {"type": LEVEL, "value": "42"}]],
        [[{"type": NAME, "value": "Johan"}]],
    ]


@pytest.mark.trap("T24")
def test_a_null_may_be_anything_and_an_empty_text_is_a_value() -> None:
    """A null attribute satisfies a plain request; an empty string is different."""
    disclosed: JsonValue = [
        [attribute(PREFIX, None, "NULL")],
        [attribute(PREFIX, "")],
    ]
    assert tail(disclosed) == [[[PREFIX]], [[{"type": PREFIX, "value": ""}]]]


def test_an_optional_disjunction_that_stayed_empty_stays_empty() -> None:
    """Its place in `disclosed` is kept."""
    disclosed: JsonValue = [[], [attribute(STUDENT, "456")]]
    assert tail(disclosed) == [[[]], [[{"type": STUDENT, "value": "456"}]]]


def test_a_possession_is_required_without_a_value() -> None:
    """`present` is what the server says, not what the credential holds."""
    assert tail([[attribute(CARD, "present")]]) == [[[CARD]]]


def test_what_nobody_asked_for_is_required_again_too() -> None:
    """The EXTRA list, a disjunction for each credential type in it (irma.md §2.3)."""
    extra: JsonValue = [
        attribute(STUDENT, "456", "EXTRA"),
        attribute(NAME, "Johan", "EXTRA"),
        attribute(LEVEL, "42", "EXTRA"),
    ]
    assert tail([[], extra]) == [
        [[]],
        [[{"type": STUDENT, "value": "456"}, {"type": LEVEL, "value": "42"}]],
        [[{"type": NAME, "value": "Johan"}]],
    ]


def test_a_conjunction_holds_one_credential_type() -> None:
    """An IRMA server refuses two that are no singletons; a later step has no EXTRA."""
    disclosed: JsonValue = [
        [attribute(STUDENT, "456"), attribute(NAME, "Johan"), attribute(CARD, "present")],
        [attribute(PREFIX, None, "NULL")],
    ]
    assert tail(disclosed) == [
        [[{"type": STUDENT, "value": "456"}, CARD]],
        [[{"type": NAME, "value": "Johan"}]],
        [[PREFIX]],
    ]


def test_what_was_not_satisfied_is_not_required_again() -> None:
    """A null entry holds nothing to ask for."""
    disclosed: JsonValue = [None, [attribute(STUDENT, "456")]]
    assert tail(disclosed) == [[[{"type": STUDENT, "value": "456"}]]]


@pytest.mark.parametrize("disclosed", [None, []])
def test_who_disclosed_nothing_owes_nothing(disclosed: JsonValue) -> None:
    """An issuance on its own leaves the next request as it is."""
    request = a_request()
    assert request.with_disclose(required_again(result_with(disclosed))) == request


@pytest.mark.parametrize(
    "request_",
    [
        {
            "@context": "https://irma.app/ld/request/signature/v2",
            "message": "I agree",
            "disclose": [[[NAME]]],
        },
        {
            "@context": "https://irma.app/ld/request/issuance/v2",
            "credentials": [{"credential": CARD, "attributes": {"level": "42"}}],
        },
    ],
    ids=["signing", "issuing"],
)
def test_every_type_of_session_has_to_disclose_again(request_: JsonObject) -> None:
    """An IRMA server reads it back as a request of the same type."""
    again = required_again(result_with([[attribute(STUDENT, "456")]]))
    longer = session_request_from(request_).with_disclose(again)
    assert longer.request.disclose[-1] == again[0]
    assert session_request_from(longer.to_wire()) == longer


_VALUES = st.none() | st.text(max_size=3)
_LISTS = st.lists(st.lists(st.tuples(st.sampled_from([STUDENT, LEVEL]), _VALUES)))


@pytest.mark.trap("T23")
@given(st.lists(_LISTS, min_size=1, max_size=4))
def test_what_is_disclosed_accumulates(
    steps: list[list[list[tuple[str, str | None]]]],
) -> None:
    """Each step shows its own first, then all that the steps before it have shown."""
    before: list[JsonValue] = []
    for lists in steps:
        own: list[JsonValue] = [[attribute(*pair) for pair in pairs] for pairs in lists]
        shown: list[JsonValue] = [
            [attribute(one.type, one.value) for one in only]
            for (only,) in required_again(result_with(before))
        ]
        assert shown == before
        before = [*own, *shown]
