"""`chainctl keys`: keys for sealing and hashing."""

from __future__ import annotations

import typer

commands = typer.Typer(no_args_is_help=True, help="Keys for sealing and hashing.")


@commands.command("new")
def new() -> None:
    """Print a new key for `sealing.key` or `sealing.hash_key`."""
    from orchestrator.sealing import new_key

    typer.echo(new_key())
