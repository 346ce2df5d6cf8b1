"""`chainctl contract`: schemas and documents for integrators, from the models."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

commands = typer.Typer(
    no_args_is_help=True, help="Schemas of events and operations, for integrators."
)

Folder = Annotated[
    Path | None, typer.Option(help="Where they are; else `schemas/generated`.")
]


@commands.command("write")
def write(folder: Folder = None) -> None:
    """Write JSON Schemas, examples, AsyncAPI and OpenAPI as the models say."""
    from orchestrator.cli import contract

    contract.write(folder or contract.GENERATED)


@commands.command("check")
def check(folder: Folder = None) -> None:
    """Fail if the files are not what the models say, or break what was released."""
    from orchestrator.cli import contract

    place = folder or contract.GENERATED
    if stale := contract.stale(place):
        _say("not what the models say", stale, "to mend: make schemas")
    broken = contract.broken(place)
    if broken:
        _say("breaks what others rely on", broken, "see docs/events.md, What may change")
    if stale or broken:
        sys.exit(1)


@commands.command("release")
def release(folder: Folder = None) -> None:
    """Let others rely on what the models say now; refused if it breaks anything."""
    from orchestrator.cli import contract

    place = folder or contract.GENERATED
    if contract.was_released(place) and (broken := contract.broken(place)):
        _say("breaks what others rely on", broken, "nothing was released")
        sys.exit(1)
    contract.release(place)


def _say(what: str, found: list[str], remedy: str) -> None:
    typer.echo(f"contract: {what}:", err=True)
    for one in found:
        typer.echo(f"  {one}", err=True)
    typer.echo(remedy, err=True)
