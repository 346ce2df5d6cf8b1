"""Runs a proof and tells what it found; the exit code says whether every promise held."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Final

import uvloop
from rich.console import Console

from orchestrator.cli.options import RUNS
from orchestrator.cli.running import INTERRUPTED, until_signal
from orchestrator.domain.errors import OrchestratorError
from orchestrator.local.processes import ProcessError
from orchestrator.local.rabbitmq import BrokerError
from orchestrator.proof.ground import Proof, ground
from orchestrator.proof.names import Databases
from orchestrator.proof.replay_command import CommandError
from orchestrator.proof.report import tell
from orchestrator.telemetry import configure_logging

#: Columns of a table that goes to a file: no line of it is broken by a terminal.
WIDE: Final = 180


def run_proof(
    name: str,
    proof: Proof,
    database: Databases,
    environ: Mapping[str, str],
    *,
    keep: bool,
) -> int:
    """Run it in a folder of its own, which goes unless something was broken."""
    # Our own connections break with those that are proved, and libraries tell all of it.
    configure_logging("critical", "console", "prove")
    RUNS.mkdir(exist_ok=True)
    run_dir = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=RUNS.absolute()))
    work = told(_prove(run_dir, proof, database, environ))
    code = uvloop.run(until_signal(work, interrupted=INTERRUPTED))
    if code == 0 and not keep:
        shutil.rmtree(run_dir)
    else:
        print(f"files and logs are in {run_dir}", file=sys.stderr)
    return code


async def told(work: Coroutine[object, object, int]) -> int:
    """Say why a proof could not go on, in the words of what failed; that is exit code 1.

    What has failed beside other tasks comes in a group, of which nobody would tell more
    than the types.
    """
    try:
        return await work
    except* (BrokerError, CommandError, OrchestratorError, ProcessError) as failed:
        for line in _texts(failed):
            print(f"chainctl: {line}", file=sys.stderr)
    return 1


def _texts(failed: BaseException) -> Iterator[str]:
    if isinstance(failed, BaseExceptionGroup):
        for one in failed.exceptions:
            yield from _texts(one)
    else:
        yield str(failed)


async def _prove(
    run_dir: Path, proof: Proof, database: Databases, environ: Mapping[str, str]
) -> int:
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", file=sys.stderr, flush=True)

    say(f"starting the broker and {database}")
    async with ground(run_dir, environ, database) as stands_on:
        report = await proof(stands_on, say)
        versions = stands_on.versions
    say("all stopped")
    tell(report, versions, Console(width=None if sys.stdout.isatty() else WIDE))
    return 0 if report.held else 1
