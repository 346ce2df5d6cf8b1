"""What the pretend wallet answers to what it is asked."""

import pytest
from pydantic import JsonValue

from orchestrator.sandbox.credentials import Credential, choose, default_credentials
from schemas.irma import ConDisCon, session_request_from

CARD = "irma-demo.RU.studentCard"
NAME = "irma-demo.MijnOverheid.fullName"
OLD = Credential(CARD, {"studentID": "1", "level": None}, 604800)
NEW = Credential(CARD, {"studentID": "2", "level": "3"}, 1209600)
FULL_NAME = Credential(NAME, {"firstname": "Johan", "prefix": None})


def condiscon(disclose: JsonValue) -> ConDisCon:
    """A condiscon as requests hold it."""
    context = "https://irma.app/ld/request/signature/v2"
    request = {"@context": context, "message": "m", "disclose": disclose}
    return session_request_from(request).request.disclose


def chosen(disclose: JsonValue) -> JsonValue:
    """The ids and values a wallet with two student cards and a name gives."""
    lists = choose(condiscon(disclose), [OLD, FULL_NAME, NEW])
    if lists is None:
        return None
    return [[[one["id"], one["rawvalue"]] for one in answer] for answer in lists]


@pytest.mark.parametrize(
    "disclose, expected",
    [
        ([[[f"{CARD}.studentID"]]], [[[f"{CARD}.studentID", "2"]]]),
        ([[[CARD]]], [[[CARD, "present"]]]),
        (
            [[[{"type": f"{CARD}.studentID", "value": "1"}]]],
            [[[f"{CARD}.studentID", "1"]]],
        ),
        (
            [[[f"{CARD}.level", {"type": f"{CARD}.studentID", "value": "1"}]]],
            [[[f"{CARD}.level", None], [f"{CARD}.studentID", "1"]]],
        ),
        ([[["a.b.c.d"], [f"{NAME}.firstname"]]], [[[f"{NAME}.firstname", "Johan"]]]),
        ([[[], [CARD]]], [[]]),
        ([[[f"{NAME}.prefix"]]], [[[f"{NAME}.prefix", None]]]),
        ([[[CARD]], [["a.b.c.d"]]], None),
        ([[[f"{CARD}.nosuch"]]], None),
        ([[[{"type": f"{NAME}.prefix", "notNull": True}]]], None),
        (
            [
                [
                    [
                        {"type": f"{CARD}.level", "value": "3"},
                        {"type": f"{CARD}.studentID", "value": "1"},
                    ]
                ]
            ],
            None,
        ),
    ],
)
def test_choice(disclose: JsonValue, expected: JsonValue) -> None:
    """The first alternative one can answer, from the newest credential that fits."""
    assert chosen(disclose) == expected


def test_disclosed_value_knows_its_age() -> None:
    """With a value goes the time its credential was issued."""
    assert choose(condiscon([[[CARD]]]), [OLD]) == [
        [{"id": CARD, "rawvalue": "present", "issuancetime": 604800}]
    ]


def test_default_credentials_have_a_full_name() -> None:
    """The demo's user can tell who she is and that she studies."""
    asked = condiscon(
        [[["irma-demo.gemeente.personalData.fullname"]], [[f"{CARD}.studentID"]]]
    )
    assert choose(asked, default_credentials()) is not None
