"""`chainctl replay` as operators run it: the real command, in a process of its own."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, Field

from orchestrator.local.processes import BASE_ENV
from orchestrator.local.stack import Stack

#: For a command that follows nothing, on a busy machine.
BOUND_S: Final = 120.0


class CommandError(Exception):
    """A command that should have gone well: its words, and the end of what it said."""


class Told(BaseModel):
    """What `--json` tells of a plan, as far as it is looked at here."""

    id: str
    state: str
    claimed: int
    replayed: int
    refused: int
    left: int
    went_well: int | None = Field(alias="wentWell")
    failed_again: int | None = Field(alias="failedAgain")
    settled: bool


class Group(BaseModel):
    """Failures that `chainctl replay plan` shows together."""

    reason: str
    status: int | None
    to_replay: int = Field(alias="toReplay")


class Preview(BaseModel):
    """What `chainctl replay plan --json` tells."""

    to_replay: int = Field(alias="toReplay")
    groups: list[Group]


@dataclass(frozen=True, kw_only=True)
class Replays:
    """The command line of an installation."""

    stack: Stack

    async def preview(self) -> Preview:
        """What a replay of everything would take."""
        return Preview.model_validate_json(await self._said("plan", "--json"))

    async def pause(self, replay_id: str) -> None:
        """As the command."""
        await self._said("pause", replay_id)

    async def resume(self, replay_id: str) -> None:
        """As the command."""
        await self._said("resume", replay_id)

    async def cancel(self, replay_id: str) -> None:
        """As the command."""
        await self._said("cancel", replay_id)

    async def show(self, replay_id: str) -> Told:
        """How a plan stands."""
        return Told.model_validate_json(await self._said("show", replay_id, "--json"))

    async def made(self, pace: float) -> Told:
        """A plan of everything, which nobody follows."""
        words = ("run", "--all", "--yes", "--detach", "--json", "--pace", f"{pace:g}")
        said = await self._said(*words)
        return Told.model_validate_json(said)

    @asynccontextmanager
    async def following(self, replay_id: str) -> AsyncIterator[Process]:
        """`follow`, which ends with its plan; ended in the end."""
        process = await self._start("follow", replay_id, "--json")
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def _said(self, *words: str) -> str:
        process = await self._start(*words)
        try:
            async with asyncio.timeout(BOUND_S):
                output, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            said = errors.decode()[-500:]
            raise CommandError(f"chainctl replay {' '.join(words)}: {said}")
        return output.decode()

    async def _start(self, *words: str) -> Process:
        argv = [sys.executable, "-m", "orchestrator.cli.main", "replay", *words]
        argv += ["--config", str(self.stack.config_file)]
        folder = self.stack.config_file.parent
        return await asyncio.create_subprocess_exec(
            *argv, stdout=PIPE, stderr=PIPE, env=BASE_ENV, cwd=folder
        )
