"""What ends a command that runs everything, and with which exit code."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from orchestrator.cli.running import INTERRUPTED, until_signal
from orchestrator.domain.errors import StoreUnavailable
from orchestrator.local.processes import ProcessError


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("code", [0, INTERRUPTED])
async def test_a_signal_ends_it_with_the_commands_own_code(
    number: signal.Signals, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """What runs is cancelled and undone before the exit code is there."""
    undone = []

    async def work() -> int:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            undone.append(number)
        return 7

    assert await until_signal(work(), interrupted=code) == code
    assert undone == [number]
    assert capsys.readouterr().out == "\nstopped\n"


async def test_without_a_signal_the_works_own_code_counts() -> None:
    """Zero or not."""

    async def work() -> int:
        return 7

    assert await until_signal(work(), interrupted=INTERRUPTED) == 7


@pytest.mark.parametrize("error", [ProcessError("why"), StoreUnavailable("why")])
async def test_a_fault_is_said_and_is_a_failure(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, without a traceback."""

    async def work() -> int:
        raise error

    assert await until_signal(work(), interrupted=0) == 1
    assert capsys.readouterr().err == "chainctl: why\n"
