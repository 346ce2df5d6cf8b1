"""`chainctl keys`: keys for sealing and hashing."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.options import Config, Json, run, settings_of

commands = typer.Typer(no_args_is_help=True, help="Keys for sealing and hashing.")


@commands.command("new")
def new() -> None:
    """Print a new key for `sealing.key` or `sealing.hash_key`."""
    from orchestrator.sealing import new_key

    typer.echo(new_key())


@commands.command("list")
def list_keys(config: Config = None, as_json: Json = False) -> None:
    """List sealing keys: what each still seals, and whether it may be taken out."""
    from orchestrator.cli import keys

    run(keys.list_keys(settings_of(config), as_json=as_json))


@commands.command("reseal")
def reseal_rows(config: Config = None, as_json: Json = False) -> None:
    """Seal every row anew with the key that seals now."""
    from orchestrator.cli import reseal

    run(reseal.reseal_rows(settings_of(config), as_json=as_json))


@commands.command("check")
def check_key(
    key_id: Annotated[str, typer.Argument(metavar="KEY-ID", help="As in `keys list`.")],
    config: Config = None,
) -> None:
    """Exit with 0 if a key may be taken out of the configuration, else with 1."""
    from orchestrator.cli import keys

    run(keys.check_key(settings_of(config), key_id))
