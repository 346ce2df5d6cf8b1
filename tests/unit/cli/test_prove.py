"""What is said of a proof that could not go on."""

from __future__ import annotations

import asyncio

import pytest
from typer import BadParameter
from typer.testing import CliRunner

from orchestrator.cli.prove import told
from orchestrator.cli.prove_commands import commands
from orchestrator.domain.errors import StoreUnavailable
from orchestrator.proof.replay_command import CommandError

WHY = CommandError("chainctl replay run: no room")


@pytest.mark.parametrize(
    "error, said",
    [
        (WHY, [str(WHY)]),
        (ExceptionGroup("tasks", [WHY]), [str(WHY)]),
        (
            ExceptionGroup("tasks", [ExceptionGroup("", [WHY]), StoreUnavailable("x")]),
            [str(WHY), "x"],
        ),
    ],
)
async def test_an_error_of_ours_is_told_in_its_words(
    error: Exception, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Also from amid a group of tasks, where only its type would be told."""

    async def work() -> int:
        raise error

    assert await told(work()) == 1
    lines = capsys.readouterr().err.splitlines()
    assert sorted(lines) == sorted(f"chainctl: {one}" for one in said)


async def test_other_errors_are_not_swallowed(capsys: pytest.CaptureFixture[str]) -> None:
    """They go on to whoever logs them; what is ours beside them is said."""

    async def work() -> int:
        raise ExceptionGroup("tasks", [WHY, ValueError("secret")])

    with pytest.raises(ExceptionGroup) as caught:
        await told(work())
    assert [type(one) for one in caught.value.exceptions] == [ValueError]
    assert capsys.readouterr().err == f"chainctl: {WHY}\n"


async def test_a_signal_is_no_error() -> None:
    """Who is cancelled is cancelled; an exit code is handed on."""

    async def cancelled() -> int:
        raise asyncio.CancelledError

    async def done() -> int:
        return 7

    with pytest.raises(asyncio.CancelledError):
        await told(cancelled())
    assert await told(done()) == 7


def test_how_a_replay_is_made_is_asked_only_where_it_matters() -> None:
    """Else a proof would say that it held by HTTP, and have done nothing by HTTP."""
    words = ["replay", "--part", "million", "--by", "http"]
    with pytest.raises(BadParameter, match="'outage'"):
        CliRunner().invoke(commands, words, standalone_mode=False, catch_exceptions=False)
