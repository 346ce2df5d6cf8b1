"""Scripted users of the pretend wallet."""

import pytest

from orchestrator.sandbox.credentials import Credential, Way
from orchestrator.sandbox.user import (
    Choose,
    Question,
    ScriptedUser,
    decline,
    first,
    optional_left_empty,
    optional_shared,
    share,
)
from schemas.irma import AttributeRequest

CARD = "irma-demo.RU.studentCard"
NOTHING = Way()
OLD, NEW = (
    Way(
        ((AttributeRequest(type=f"{CARD}.level"), Credential(CARD, {"level": level})),),
    )
    for level in ("1", "2")
)


def question(*ways: list[Way]) -> Question:
    """A question that can be answered in these ways."""
    return Question(
        server="http://irma.example", step=1, requested={}, ways=ways, repeated=[]
    )


@pytest.mark.parametrize(
    "choose, ways, chosen",
    [
        (first, [NOTHING, NEW, OLD], NOTHING),
        (optional_shared, [NOTHING, NEW, OLD], NEW),
        (optional_shared, [NOTHING], NOTHING),
        (optional_left_empty, [NEW, NOTHING, OLD], NOTHING),
        (optional_left_empty, [NEW, OLD], NEW),
    ],
)
def test_choice_is_scripted(choose: Choose, ways: list[Way], chosen: Way) -> None:
    """Optional disjunctions are shared or left empty as the script has it."""
    assert choose(ways) == chosen


async def test_each_disjunction_is_chosen_for() -> None:
    """The answer has one way for each disjunction."""
    user = ScriptedUser(share, lambda ways: ways[-1])
    assert await user.answer(question([NOTHING, NEW], [NEW, OLD])) == [NEW, OLD]


async def test_declining_is_no_choice() -> None:
    """Who declines is not asked to choose."""
    user = ScriptedUser(decline, lambda _: pytest.fail("asked to choose"))
    assert await user.answer(question([NEW])) is None


async def test_pairing_code_is_shown_once() -> None:
    """However often the wallet looks, the code is told once; a new session's again."""
    shown = []

    async def paired(code: str) -> None:
        shown.append(code)

    user = ScriptedUser(paired=paired)
    assert all([await user.pairing(code) for code in ("1761", "1761", "0042")])
    assert shown == ["1761", "0042"]
