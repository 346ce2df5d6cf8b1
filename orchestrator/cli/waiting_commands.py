"""`chainctl waiting`: retries, parked callbacks, deadlines and the outbox."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.options import Config, Json, run, settings_of
from orchestrator.domain.operating import WaitingKind

commands = typer.Typer(
    no_args_is_help=True,
    help="What waits: retries, parked callbacks, deadlines, the outbox.",
)

Ids = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]...", help="As the list shows them.")
]
Kinds = Annotated[
    list[WaitingKind] | None, typer.Option("--kind", help="Only of this kind.")
]
Chain = Annotated[str | None, typer.Option(help="Only of this chain.")]
Endpoint = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Only for this endpoint; any URL there will do."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@commands.command("list")
def list_waiting(
    *,
    config: Config = None,
    kind: Kinds = None,
    chain: Chain = None,
    endpoint: Endpoint = None,
    due_before: Annotated[
        str | None, typer.Option(help="Only what is due before: 30s, 10m, 2h or a time.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    as_json: Json = False,
) -> None:
    """List what waits, by due time, and count all of it by kind."""
    from orchestrator.cli import waiting as at

    asked = at.Asked(
        kinds=tuple(kind or ()), chain=chain, endpoint=endpoint, due_before=due_before
    )
    run(at.list_waiting(settings_of(config), asked, limit=limit, as_json=as_json))


@commands.command("hurry")
def hurry_waiting(
    ids: Ids = None,
    config: Config = None,
    kind: Kinds = None,
    chain: Chain = None,
    endpoint: Endpoint = None,
) -> None:
    """Make rows due now; parked callbacks are published once, the oldest first.

    A deadline that is hurried ends its chain: it has to be named by its id or its kind.
    """
    from orchestrator.cli import waiting as at

    kinds = tuple(kind or ())
    asked = at.Asked(ids=tuple(ids or ()), kinds=kinds, chain=chain, endpoint=endpoint)
    run(at.hurry_waiting(settings_of(config, "chainctl"), asked))


@commands.command("cancel")
def cancel_waiting(
    ids: Ids = None,
    *,
    config: Config = None,
    kind: Kinds = None,
    chain: Chain = None,
    endpoint: Endpoint = None,
    yes: Yes = False,
) -> None:
    """Give callbacks up: what waits is taken out, and its chains end as failed."""
    from orchestrator.cli import waiting as at

    kinds = tuple(kind or ())
    asked = at.Asked(ids=tuple(ids or ()), kinds=kinds, chain=chain, endpoint=endpoint)
    run(at.cancel_waiting(settings_of(config, "chainctl"), asked, yes=yes))
