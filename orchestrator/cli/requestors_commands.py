"""`chainctl requestors`: what requestors have on the broker."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.options import Config, Json, run, settings_of

commands = typer.Typer(
    no_args_is_help=True,
    help="The broker users by which requestors subscribe to their events.",
)


RequestorKey = Annotated[
    str, typer.Argument(metavar="KEY", help="The requestor's key, as in routing keys.")
]


@commands.command("list")
def list_requestors(config: Config = None, as_json: Json = False) -> None:
    """List requestors and what each has on the broker."""
    from orchestrator.cli import requestors

    run(requestors.list_requestors(settings_of(config), as_json=as_json))


@commands.command("grant")
def grant(
    key: RequestorKey,
    config: Config = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Make KEY.log too, a stream of its own.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a requestor's broker user, and print how it connects: once."""
    from orchestrator.cli import requestors

    settings = settings_of(config)
    run(requestors.grant(settings, key, stream=stream, as_json=as_json))


@commands.command("rotate")
def rotate(key: RequestorKey, config: Config = None, as_json: Json = False) -> None:
    """Give it another password, and close what was opened by the old one."""
    from orchestrator.cli import requestors

    run(requestors.rotate(settings_of(config), key, as_json=as_json))


@commands.command("revoke")
def revoke(
    key: RequestorKey,
    config: Config = None,
    queues: Annotated[
        bool,
        typer.Option("--queues", help="Delete its queues, too, with what is in them."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove its broker user, and close its connections."""
    from orchestrator.cli import requestors

    run(requestors.revoke(settings_of(config), key, queues=queues, as_json=as_json))
