"""The pretend server judges what was disclosed as a real one does."""

import json

import pytest
from pydantic import JsonValue

from orchestrator.sandbox.disclosure import (
    Terms,
    check,
    implicit_of,
    issuing_refusal,
    parse_proofs,
)
from orchestrator.sandbox.faults import Refused
from schemas.irma import ConDisCon, ErrorKind, ProofStatus, session_request_from

STUDENT_ID = "irma-demo.RU.studentCard.studentID"
LEVEL = "irma-demo.RU.studentCard.level"
CARD = "irma-demo.RU.studentCard"


def condiscon(disclose: JsonValue) -> ConDisCon:
    """A condiscon as requests hold it."""
    context = "https://irma.app/ld/request/signature/v2"
    request = {"@context": context, "message": "m", "disclose": disclose}
    return session_request_from(request).request.disclose


def verdict(
    disclose: JsonValue, given: JsonValue, **fields: JsonValue
) -> list[JsonValue]:
    """The proof status and, per list, the ids and statuses of what was disclosed."""
    proofs = parse_proofs(json.dumps({"disclosed": given, **fields}).encode())
    checked = check(condiscon(disclose), proofs)
    lists: list[JsonValue] = [
        None if one is None else [[a["id"], a["rawvalue"], a["status"]] for a in one]
        for one in checked.disclosed
    ]
    return [checked.proof_status, *lists]


def value(identifier: str, raw: str | None) -> JsonValue:
    """One disclosed value."""
    return {"id": identifier, "rawvalue": raw, "issuancetime": 604800}


@pytest.mark.parametrize(
    "disclose, given, expected",
    [
        (
            [[[STUDENT_ID]]],
            [[value(STUDENT_ID, "456")]],
            [[STUDENT_ID, "456", "PRESENT"]],
        ),
        ([[[STUDENT_ID]]], [[value(STUDENT_ID, None)]], [[STUDENT_ID, None, "NULL"]]),
        ([[[STUDENT_ID]]], [[value(STUDENT_ID, "")]], [[STUDENT_ID, "", "PRESENT"]]),
        ([[[CARD]]], [[value(CARD, "present")]], [[CARD, "present", "PRESENT"]]),
        (
            [[[LEVEL], [STUDENT_ID]]],
            [[value(STUDENT_ID, "1")]],
            [[STUDENT_ID, "1", "PRESENT"]],
        ),
        ([[[], [STUDENT_ID]]], [[]], []),
        (
            [[[], [STUDENT_ID]]],
            [[value(STUDENT_ID, "1")]],
            [[STUDENT_ID, "1", "PRESENT"]],
        ),
        (
            [[[{"type": STUDENT_ID, "value": "1"}]]],
            [[value(STUDENT_ID, "1")]],
            [[STUDENT_ID, "1", "PRESENT"]],
        ),
        (
            [[[STUDENT_ID, LEVEL]]],
            [[value(STUDENT_ID, "1"), value(LEVEL, "2")]],
            [[STUDENT_ID, "1", "PRESENT"], [LEVEL, "2", "PRESENT"]],
        ),
    ],
)
def test_satisfied(disclose: JsonValue, given: JsonValue, expected: JsonValue) -> None:
    """A satisfied alternative makes the proofs VALID and is listed in its order."""
    assert verdict(disclose, given) == [ProofStatus.VALID, expected]


@pytest.mark.parametrize(
    "disclose, given",
    [
        ([[[STUDENT_ID]]], [[]]),
        ([[[STUDENT_ID]]], []),
        ([[[STUDENT_ID, LEVEL]]], [[value(STUDENT_ID, "1")]]),
        ([[[{"type": STUDENT_ID, "notNull": True}]]], [[value(STUDENT_ID, None)]]),
    ],
)
def test_missing(disclose: JsonValue, given: JsonValue) -> None:
    """A disjunction without a satisfied alternative is null in the result."""
    status, first, *_ = verdict(disclose, given)
    assert (status, first) == (ProofStatus.MISSING_ATTRIBUTES, None)


@pytest.mark.parametrize("asked", [LEVEL, {"type": STUDENT_ID, "value": "2"}])
def test_what_satisfies_nothing_is_extra(asked: JsonValue) -> None:
    """Disclosed but not asked for: listed at the end with status EXTRA."""
    assert verdict([[[asked]]], [[value(STUDENT_ID, "1")]]) == [
        ProofStatus.MISSING_ATTRIBUTES,
        None,
        [[STUDENT_ID, "1", "EXTRA"]],
    ]


def test_lists_too_many_are_extra() -> None:
    """What is disclosed on top of the request does not make it invalid."""
    given: JsonValue = [
        [value(STUDENT_ID, "1"), value(LEVEL, "2")],
        [value(CARD, "present")],
    ]
    assert verdict([[[STUDENT_ID]]], given) == [
        ProofStatus.VALID,
        [[STUDENT_ID, "1", "PRESENT"]],
        [[LEVEL, "2", "EXTRA"], [CARD, "present", "EXTRA"]],
    ]


def test_an_empty_alternative_is_chosen_by_disclosing_nothing() -> None:
    """Who discloses something has not chosen the empty alternative."""
    assert verdict([[[]]], [[value(STUDENT_ID, "1")]]) == [
        ProofStatus.MISSING_ATTRIBUTES,
        None,
        [[STUDENT_ID, "1", "EXTRA"]],
    ]


def test_broken_proofs_are_invalid() -> None:
    """Proofs that do not verify disclose nothing."""
    given: JsonValue = [[value(STUDENT_ID, "1")]]
    assert verdict([[[STUDENT_ID]]], given, intact=False) == [ProofStatus.INVALID]


def test_disclosed_attribute_is_written_as_in_a_result() -> None:
    """Three equal translations, and null in both places for a null attribute."""
    given = [[value(STUDENT_ID, "1"), value(LEVEL, None)]]
    proofs = parse_proofs(json.dumps({"disclosed": given}).encode())
    checked = check(condiscon([[[STUDENT_ID, LEVEL]]]), proofs)
    assert checked.disclosed == [
        [
            {
                "rawvalue": "1",
                "value": {"": "1", "en": "1", "nl": "1"},
                "id": STUDENT_ID,
                "status": "PRESENT",
                "issuancetime": 604800,
            },
            {
                "rawvalue": None,
                "value": None,
                "id": LEVEL,
                "status": "NULL",
                "issuancetime": 604800,
            },
        ]
    ]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"disclosed":[[5]]}'])
def test_proofs_that_cannot_be_read(body: bytes) -> None:
    """Proofs of another shape are malformed input."""
    with pytest.raises(Refused) as caught:
        parse_proofs(body)
    assert caught.value.error.error == "MALFORMED_INPUT"


def test_implicit_list_repeats_values() -> None:
    """The next session requires the same values, nothing where nothing was disclosed."""
    given = [[value(STUDENT_ID, "1"), value(LEVEL, None)], [], [value(CARD, "present")]]
    disclose: JsonValue = [[[STUDENT_ID, LEVEL]], [[]], [[CARD]]]
    proofs = parse_proofs(json.dumps({"disclosed": given}).encode())
    implicit = implicit_of(check(condiscon(disclose), proofs).disclosed)
    written = [[[one.model_dump() for one in con] for con in dis] for dis in implicit]
    assert written == [
        [[{"type": STUDENT_ID, "value": "1"}, LEVEL]],
        [[]],
        [[{"type": CARD, "value": "present"}]],
    ]


@pytest.mark.parametrize(
    "disclose, skipped, proof_status",
    [
        ([[[STUDENT_ID]]], frozenset(), ProofStatus.EXPIRED),
        ([[[STUDENT_ID]]], frozenset({CARD}), ProofStatus.VALID),
        ([[[LEVEL]]], frozenset(), ProofStatus.MISSING_ATTRIBUTES),
    ],
)
def test_expired_credential(
    disclose: JsonValue, skipped: frozenset[str], proof_status: ProofStatus
) -> None:
    """An expired credential still shows its values; its type may be excepted."""
    given = {"id": STUDENT_ID, "rawvalue": "456", "expired": True}
    proofs = parse_proofs(json.dumps({"disclosed": [[given]]}).encode())
    checked = check(condiscon(disclose), proofs, Terms(expiry_skipped=skipped))
    assert checked.proof_status is proof_status
    assert (checked.disclosed[-1] or [{}])[0]["rawvalue"] == "456"


def test_proof_of_nonrevocation() -> None:
    """Where it was asked for, an attribute says that its credential is not revoked."""
    proofs = parse_proofs(
        json.dumps({"disclosed": [[value(STUDENT_ID, "456")]]}).encode()
    )
    checked = check(
        condiscon([[[STUDENT_ID]]]), proofs, Terms(revocation=frozenset({CARD}))
    )
    assert checked.disclosed[0] is not None
    assert checked.disclosed[0][0]["notrevoked"] is True


def test_nothing_is_issued_against_bad_proofs() -> None:
    """Expired attributes have an error of their own."""
    expired = issuing_refusal(ProofStatus.EXPIRED)
    assert expired is ErrorKind.ATTRIBUTES_EXPIRED
    for bad in (ProofStatus.INVALID, ProofStatus.MISSING_ATTRIBUTES):
        assert issuing_refusal(bad) is ErrorKind.INVALID_PROOFS
