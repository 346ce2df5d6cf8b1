"""`chainctl dead`: messages that no worker could handle."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from orchestrator.cli import replay_asked
from orchestrator.cli.dead_asked import Asked
from orchestrator.cli.options import Config, Json, run, settings_of
from orchestrator.cli.selecting import (
    Chain,
    Chains,
    Requestor,
    Since,
    Until,
    options_of,
)

commands = typer.Typer(
    no_args_is_help=True,
    help="Messages that could not be decoded, were refused, or were delivered too often.",
)

Ids = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]...", help="As the list shows them.")
]
Every = Annotated[bool, typer.Option("--all", help="Every letter there is now.")]


def _meant(
    *,
    queue: Annotated[str | None, typer.Option(help="Only what came from there.")] = None,
    reason: Annotated[
        str | None, typer.Option(help="Only what has these words in its reason.")
    ] = None,
    requestor: Requestor = None,
    since: Since = None,
    until: Until = None,
    chain: Chain = None,
    chains: Chains = None,
) -> Asked:
    """The options of every command that selects letters."""
    of_chains = replay_asked.Asked(
        requestor=requestor,
        since=since,
        until=until,
        chains=tuple(chain or ()),
        chains_file=chains,
    )
    return Asked(queue=queue, reason=reason, chains=of_chains)


_selecting = options_of(_meant)


@commands.command("list")
@_selecting
def list_dead(
    *,
    asked: Asked,
    config: Config = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    as_json: Json = False,
) -> None:
    """List dead letters, the oldest first; looking changes nothing."""
    from orchestrator.cli import dead as at

    run(at.list_dead(settings_of(config), asked, limit=limit, as_json=as_json))


@commands.command("show")
def show_dead(
    letter: Annotated[str, typer.Argument(metavar="ID", help="As the list shows it.")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show why a letter is dead, and what its open part says; never what is sealed."""
    from orchestrator.cli import dead as at

    run(at.show_dead(settings_of(config), letter, as_json=as_json))


@commands.command("requeue")
@_selecting
def requeue_dead(
    *,
    asked: Asked,
    ids: Ids = None,
    config: Config = None,
    every: Every = False,
) -> None:
    """Send letters back to the queues they came from: their chains go on."""
    from orchestrator.cli import dead as at

    asked = replace(asked, ids=tuple(ids or ()), every=every)
    run(at.requeue_dead(settings_of(config, "chainctl"), asked))


@commands.command("discard")
@_selecting
def discard_dead(
    *,
    asked: Asked,
    ids: Ids = None,
    config: Config = None,
    every: Every = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove letters for good; the chains they belong to do not go on."""
    from orchestrator.cli import dead as at

    asked = replace(asked, ids=tuple(ids or ()), every=every)
    run(at.discard_dead(settings_of(config, "chainctl"), asked, yes=yes))
