"""Scripts of chains say what is answered, and how sessions end for the user."""

from __future__ import annotations

import pytest

from orchestrator.proof.events_scripts import SCRIPTS, Said
from orchestrator.sandbox.wallet import StepStatus

SUCCESS, CANCELLED, FAILURE = (
    StepStatus.SUCCESS,
    StepStatus.CANCELLED,
    StepStatus.FAILURE,
)

BY_NAME = {one.name: one for one in SCRIPTS}


@pytest.mark.parametrize(
    "name, ends",
    [
        ("no next session", (SUCCESS,)),
        ("204", (SUCCESS,)),
        ("two steps", (SUCCESS, SUCCESS)),
        ("two steps, the last without next", (SUCCESS, SUCCESS)),
        ("three steps", (SUCCESS, SUCCESS, SUCCESS)),
        ("503 in flow, then a last one", (SUCCESS, SUCCESS)),
        ("503 with Retry-After, then 204", (SUCCESS,)),
        ("410", (FAILURE,)),
        ("no session request", (FAILURE,)),
        ("410 at step 2", (SUCCESS, FAILURE)),
        ("declined", (CANCELLED,)),
        ("declined at step 2", (SUCCESS, CANCELLED)),
        ("told at its callbackUrl", (SUCCESS,)),
    ],
)
def test_sessions_end_as_the_script_says(name: str, ends: tuple[StepStatus, ...]) -> None:
    """One for each session that its user gets to see."""
    assert BY_NAME[name].ends == ends


def test_the_last_answer_is_repeated() -> None:
    """However often the result comes again."""
    script = BY_NAME["503 in flow, then a last one"]
    assert [script.answer(1, n) for n in range(3)] == [Said.AGAIN, Said.LAST, Said.LAST]


def test_names_tell_scripts_apart() -> None:
    """The table counts by them."""
    assert len(BY_NAME) == len(SCRIPTS)
