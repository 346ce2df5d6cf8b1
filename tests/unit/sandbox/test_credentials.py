"""What the pretend wallet answers to what it is asked."""

import pytest
from pydantic import JsonValue

from orchestrator.sandbox.credentials import (
    Credential,
    default_credentials,
    received,
    ways,
)
from schemas.irma import ConDisCon, session_request_from

CARD = "irma-demo.RU.studentCard"
NAME = "irma-demo.MijnOverheid.fullName"
OLD = Credential(CARD, {"studentID": "1", "level": None}, 604800)
NEW = Credential(CARD, {"studentID": "2", "level": "3"}, 1209600)
ROOT = "irma-demo.MijnOverheid.root"
FIRST_ROOT = Credential(ROOT, {"BSN": "1"})
FULL_NAME = Credential(NAME, {"firstname": "Johan", "prefix": None})


def condiscon(disclose: JsonValue) -> ConDisCon:
    """A condiscon as requests hold it."""
    context = "https://irma.app/ld/request/signature/v2"
    request = {"@context": context, "message": "m", "disclose": disclose}
    return session_request_from(request).request.disclose


def answers(disclose: JsonValue) -> JsonValue:
    """The ids and values of every way of a wallet with two student cards and a name."""
    return [
        [[[one["id"], one["rawvalue"]] for one in way.disclosed()] for way in found]
        for found in ways(condiscon(disclose), [OLD, FULL_NAME, NEW])
    ]


NEWEST_ID = [[f"{CARD}.studentID", "2"]]
OLD_ID = [[f"{CARD}.studentID", "1"]]
FIRSTNAME = [[f"{NAME}.firstname", "Johan"]]


@pytest.mark.parametrize(
    "disclose, expected",
    [
        ([[[f"{CARD}.studentID"]]], [[NEWEST_ID, OLD_ID]]),
        ([[[{"type": f"{CARD}.studentID", "value": "1"}]]], [[OLD_ID]]),
        ([[[NAME]]], [[[[NAME, "present"]]]]),
        (
            [[[f"{CARD}.level", {"type": f"{CARD}.studentID", "value": "1"}]]],
            [[[[f"{CARD}.level", None], *OLD_ID]]],
        ),
        (
            [[["a.b.c.d"], [f"{NAME}.firstname"], [f"{CARD}.studentID"]]],
            [[FIRSTNAME, NEWEST_ID, OLD_ID]],
        ),
        ([[[], [f"{NAME}.firstname"]]], [[[], FIRSTNAME]]),
        ([[[f"{NAME}.prefix"]]], [[[[f"{NAME}.prefix", None]]]]),
        ([[[NAME]], [["a.b.c.d"]]], [[[[NAME, "present"]]], []]),
        ([[[f"{CARD}.nosuch"]]], [[]]),
        ([[[{"type": f"{NAME}.prefix", "notNull": True}]]], [[]]),
        (
            [
                [
                    [
                        {"type": f"{CARD}.level", "value": "3"},
                        {"type": f"{CARD}.studentID", "value": "1"},
                    ]
                ]
            ],
            [[]],
        ),
        (
            [[[f"{NAME}.firstname", f"{CARD}.studentID"]]],
            [[FIRSTNAME + NEWEST_ID, FIRSTNAME + OLD_ID]],
        ),
    ],
)
def test_ways(disclose: JsonValue, expected: JsonValue) -> None:
    """Every alternative one can answer in the order asked, newest credentials first."""
    assert answers(disclose) == expected


def test_disclosed_value_knows_its_age() -> None:
    """With a value goes the time its credential was issued."""
    [[way]] = ways(condiscon([[[CARD]]]), [OLD])
    assert way.disclosed() == [
        {"id": CARD, "rawvalue": "present", "issuancetime": 604800}
    ]


def test_default_credentials_have_a_full_name() -> None:
    """The demo's user can tell who she is and that she studies."""
    asked = condiscon(
        [[["irma-demo.gemeente.personalData.fullname"]], [[f"{CARD}.studentID"]]]
    )
    assert all(ways(asked, default_credentials()))


@pytest.mark.parametrize(
    "new, expected",
    [
        (Credential(ROOT, {"BSN": "2"}), [OLD, Credential(ROOT, {"BSN": "2"})]),
        (
            Credential(CARD, OLD.attributes, 9),
            [FIRST_ROOT, Credential(CARD, OLD.attributes, 9)],
        ),
        (NEW, [OLD, FIRST_ROOT, NEW]),
    ],
    ids=["singleton", "the same once more", "another of its type"],
)
def test_issued_credentials_are_added(
    new: Credential, expected: list[Credential]
) -> None:
    """A new credential replaces a singleton and its own like, and nothing else."""
    assert received([OLD, FIRST_ROOT], [new]) == expected
