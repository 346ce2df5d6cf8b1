"""`chainctl replay`: chains that have failed, replayed in bulk."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from orchestrator.cli.options import Config, Json, run, settings_of
from orchestrator.cli.replay_asked import Asked
from orchestrator.cli.selecting import (
    Chain,
    Chains,
    Requestor,
    Since,
    Until,
    options_of,
)
from orchestrator.domain.failing import FailureReason
from orchestrator.domain.replaying import FAILURE_RATIO_MAX, PACE, PACE_MAX
from orchestrator.domain.selecting import PACE_MIN, How

commands = typer.Typer(
    no_args_is_help=True,
    help="Failed and expired chains: what they failed of, and doing that anew in bulk.",
)

#: A candidate may be somebody's laptop.
REHEARSAL_PACE: Final = 10.0

Every = Annotated[bool, typer.Option("--all", help="Every failure there is now.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Detach = Annotated[bool, typer.Option("--detach", help="Do not follow it to its end.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="As the list shows it.")]


def _meant(
    *,
    requestor: Requestor = None,
    endpoint: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Only at this endpoint; any URL there will do."),
    ] = None,
    reason: Annotated[
        FailureReason | None, typer.Option(help="Only of this class.")
    ] = None,
    status: Annotated[
        int | None, typer.Option(min=100, max=599, help="Only what was answered by this.")
    ] = None,
    step: Annotated[int | None, typer.Option(min=1, help="Only at this step.")] = None,
    since: Since = None,
    until: Until = None,
    chain: Chain = None,
    chains: Chains = None,
) -> Asked:
    """The options of every command that selects failures."""
    return Asked(
        requestor=requestor,
        endpoint=endpoint,
        reason=reason,
        status=status,
        step=step,
        since=since,
        until=until,
        chains=tuple(chain or ()),
        chains_file=chains,
    )


_selecting = options_of(_meant)


@commands.command("plan")
@_selecting
def plan_replay(*, asked: Asked, config: Config = None, as_json: Json = False) -> None:
    """Show what a replay would take, in groups; nothing is changed."""
    from orchestrator.cli import replay as at

    run(at.plan_replay(settings_of(config), asked, as_json=as_json))


@commands.command("run")
@_selecting
def run_replay(
    *,
    asked: Asked,
    config: Config = None,
    every: Every = False,
    pace: Annotated[
        float, typer.Option(min=PACE_MIN, max=PACE_MAX, help="Chains a second.")
    ] = PACE,
    endpoint_pace: Annotated[
        float | None,
        typer.Option(min=PACE_MIN, max=PACE_MAX, help="The same for each endpoint."),
    ] = None,
    canary: Annotated[
        bool,
        typer.Option(help="Go on in groups of 1, 2, 5, 20, ..., each after the last."),
    ] = True,
    failure_ratio: Annotated[
        float,
        typer.Option(min=0, max=1, help="Stop when more of a group fail again."),
    ] = FAILURE_RATIO_MAX,
    url: Annotated[
        str | None,
        typer.Option(help="POST the results there instead: it is kept sealed."),
    ] = None,
    note: Annotated[str | None, typer.Option(help="Shown with the plan.")] = None,
    yes: Yes = False,
    detach: Detach = False,
    as_json: Json = False,
) -> None:
    """Show what there is, ask, then replay it and follow that to its end."""
    from orchestrator.cli import replay as at

    how = How(
        pace=pace,
        endpoint_pace=endpoint_pace,
        canary=canary,
        failure_ratio_max=failure_ratio,
        url=url,
        note=note,
    )
    settings = settings_of(config, "chainctl")
    run(
        at.run_replay(
            settings, asked, how, every=every, yes=yes, detach=detach, as_json=as_json
        )
    )


@commands.command("handle")
@_selecting
def handle_failures(
    *,
    asked: Asked,
    note: Annotated[str, typer.Option(help="Why they are not replayed.")],
    config: Config = None,
    every: Every = False,
    yes: Yes = False,
    detach: Detach = False,
    as_json: Json = False,
) -> None:
    """Mark failures as handled: no replay takes them any more, and they count apart."""
    from orchestrator.cli import replay as at

    settings = settings_of(config, "chainctl")
    run(
        at.handle_failures(
            settings, asked, note, every=every, yes=yes, detach=detach, as_json=as_json
        )
    )


@commands.command("rehearse")
@_selecting
def rehearse(
    *,
    asked: Asked,
    shadow: Annotated[
        str, typer.Option(metavar="URL", help="POST the recorded results there.")
    ],
    config: Config = None,
    every: Every = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many, the oldest first.")
    ] = None,
    pace: Annotated[
        float, typer.Option(min=PACE_MIN, max=PACE_MAX, help="POSTs a second.")
    ] = REHEARSAL_PACE,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Show what another endpoint would decide of the same results; nothing is changed."""
    from orchestrator.cli import rehearse as at

    settings = settings_of(config, "chainctl")
    run(
        at.rehearse(
            settings,
            asked,
            shadow,
            every=every,
            limit=limit,
            pace=pace,
            yes=yes,
            as_json=as_json,
        )
    )


@commands.command("list")
def list_replays(
    config: Config = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 20,
    as_json: Json = False,
) -> None:
    """List replays, the newest first."""
    from orchestrator.cli import replay as at

    run(at.list_replays(settings_of(config), limit=limit, as_json=as_json))


@commands.command("show")
def show_replay(replay: Id, config: Config = None, as_json: Json = False) -> None:
    """Show a replay: who made it, how far it is, what was refused and why."""
    from orchestrator.cli import replay as at

    run(at.show_replay(settings_of(config), replay, as_json=as_json))


@commands.command("follow")
def follow_replay(replay: Id, config: Config = None, as_json: Json = False) -> None:
    """Follow a replay until it is done or stops."""
    from orchestrator.cli import replay as at

    run(at.follow_replay(settings_of(config), replay, as_json=as_json))


@commands.command("pause")
def pause_replay(replay: Id, config: Config = None) -> None:
    """Start no more chains until it is resumed; what is on its way goes on."""
    from orchestrator.cli import replay as at

    run(at.pause_replay(settings_of(config, "chainctl"), replay))


@commands.command("resume")
def resume_replay(replay: Id, config: Config = None) -> None:
    """Let a paused replay go on; one that its canary has stopped begins small again."""
    from orchestrator.cli import replay as at

    run(at.resume_replay(settings_of(config, "chainctl"), replay))


@commands.command("cancel")
def cancel_replay(replay: Id, config: Config = None) -> None:
    """End a replay for good; what was never started is free for another one."""
    from orchestrator.cli import replay as at

    run(at.cancel_replay(settings_of(config, "chainctl"), replay))
