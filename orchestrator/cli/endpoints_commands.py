"""`chainctl endpoints`: the servers that callbacks go to."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.options import Config, Json, run, settings_of

commands = typer.Typer(
    no_args_is_help=True, help="The servers that callbacks go to: breakers and pauses."
)


EndpointUrl = Annotated[
    str, typer.Argument(metavar="URL", help="Any URL there; its origin counts.")
]


@commands.command("list")
def list_endpoints(config: Config = None, as_json: Json = False) -> None:
    """List endpoints that callbacks were kept back from, and what is parked for them."""
    from orchestrator.cli import endpoints as at

    run(at.list_endpoints(settings_of(config), as_json=as_json))


@commands.command("show")
def show_endpoint(url: EndpointUrl, config: Config = None, as_json: Json = False) -> None:
    """Show how an endpoint stands, and what happened to it."""
    from orchestrator.cli import endpoints as at

    run(at.show_endpoint(settings_of(config), url, as_json=as_json))


@commands.command("pause")
def pause_endpoint(
    url: EndpointUrl,
    config: Config = None,
    note: Annotated[
        str | None, typer.Option(help="Why; shown in lists and told in the event.")
    ] = None,
) -> None:
    """Keep back all callbacks to an endpoint; none is lost and no attempt is spent."""
    from orchestrator.cli import endpoints as at

    run(at.pause_endpoint(settings_of(config), url, note))


@commands.command("resume")
def resume_endpoint(url: EndpointUrl, config: Config = None) -> None:
    """Let callbacks to a paused endpoint go on, the longest parked first."""
    from orchestrator.cli import endpoints as at

    run(at.resume_endpoint(settings_of(config), url))
