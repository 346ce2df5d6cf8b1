"""`chainctl dead`: messages that no worker could handle."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.options import Config, Json, run, settings_of

commands = typer.Typer(
    no_args_is_help=True,
    help="Messages that could not be decoded, were refused, or were delivered too often.",
)

Ids = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]...", help="As the list shows them.")
]
Every = Annotated[bool, typer.Option("--all", help="Every letter there is now.")]
Queue = Annotated[str | None, typer.Option(help="Only what came from this queue.")]
Reason = Annotated[
    str | None, typer.Option(help="Only what has these words in its reason.")
]


@commands.command("list")
def list_dead(
    config: Config = None,
    queue: Queue = None,
    reason: Reason = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    as_json: Json = False,
) -> None:
    """List dead letters, the oldest first; looking changes nothing."""
    from orchestrator.cli import dead as at
    from orchestrator.domain.dead import DeadFilter

    which = DeadFilter(queue=queue, reason=reason)
    run(at.list_dead(settings_of(config), which, limit=limit, as_json=as_json))


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
def requeue_dead(
    ids: Ids = None,
    config: Config = None,
    every: Every = False,
    queue: Queue = None,
    reason: Reason = None,
) -> None:
    """Send letters back to the queues they came from."""
    from orchestrator.cli import dead as at

    asked = at.Asked(ids=tuple(ids or ()), every=every, queue=queue, reason=reason)
    run(at.requeue_dead(settings_of(config, "chainctl"), asked))


@commands.command("discard")
def discard_dead(
    ids: Ids = None,
    *,
    config: Config = None,
    every: Every = False,
    queue: Queue = None,
    reason: Reason = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove letters for good; the chains they belong to do not go on."""
    from orchestrator.cli import dead as at

    asked = at.Asked(ids=tuple(ids or ()), every=every, queue=queue, reason=reason)
    run(at.discard_dead(settings_of(config, "chainctl"), asked, yes=yes))
