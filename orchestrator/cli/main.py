"""The commands of `chainctl`; each loads only what it uses, as processes start by it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Coroutine
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import (
    contract_commands,
    dead_commands,
    endpoints_commands,
    keys_commands,
    prove_commands,
    replay_commands,
    requestors_commands,
    waiting_commands,
)
from orchestrator.cli.options import (
    LOCAL_RUN,
    RUNS,
    Config,
    Json,
    RunDir,
    run,
    settings_of,
)
from orchestrator.domain.chain import ChainState
from orchestrator.domain.errors import NotConfigured, OrchestratorError
from schemas.messages import Lane

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Session chains on RabbitMQ: run them, look at them, follow them.",
)
database = typer.Typer(no_args_is_help=True, help="The database's schema.")
app.add_typer(database, name="db")
app.add_typer(keys_commands.commands, name="keys")
app.add_typer(endpoints_commands.commands, name="endpoints")
app.add_typer(waiting_commands.commands, name="waiting")
app.add_typer(dead_commands.commands, name="dead")
app.add_typer(replay_commands.commands, name="replay")
app.add_typer(requestors_commands.commands, name="requestors")
app.add_typer(contract_commands.commands, name="contract")
app.add_typer(prove_commands.commands, name="prove")


class WorkerKind(StrEnum):
    """The kinds of worker process."""

    CALLBACK = "callback"
    SESSION = "session"
    HISTORY = "history"
    CLOCK = "clock"
    REPLAY = "replay"


@app.command()
def up(
    run_dir: RunDir = LOCAL_RUN,
    callbacks: Annotated[
        int, typer.Option(min=1, help="Callback workers of the live lane.")
    ] = 1,
    database_url: Annotated[
        str | None,
        typer.Option(
            envvar="ORCHESTRATOR_DATABASE_URL",
            show_envvar=True,
            help="postgresql://...; else an SQLite file in the run folder.",
        ),
    ] = None,
) -> None:
    """Run everything on this machine until Ctrl-C."""
    from orchestrator.cli.running import run_up
    from orchestrator.local.stack import Plan
    from schemas.messages import Lane

    run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    lanes = (Lane.REPLAY, Lane.EVENTS)
    plan = Plan(callbacks=callbacks, lanes=lanes, replays=True, database_url=database_url)
    _exit(run_up(run_dir.absolute(), plan, os.environ))


@app.command()
def demo(
    keep: Annotated[bool, typer.Option(help="Keep the run folder.")] = False,
) -> None:
    """Run one whole chain on real processes, show its timeline, leave nothing running."""
    from orchestrator.cli.demo import run_demo

    RUNS.mkdir(exist_ok=True)
    run_dir = Path(tempfile.mkdtemp(prefix="demo-", dir=RUNS.absolute()))
    code = asyncio.run(run_demo(run_dir, os.environ))
    if code == 0 and not keep:
        shutil.rmtree(run_dir)
    else:
        typer.echo(f"files and logs are in {run_dir}")
    sys.exit(code)


@app.command()
def gateway(config: Config = None) -> None:
    """Run a gateway process until SIGTERM."""
    settings = settings_of(config, "gateway")
    from orchestrator.app.gateway import run_gateway

    run(run_gateway(settings))


@app.command()
def worker(
    kind: WorkerKind,
    config: Config = None,
    lane: Annotated[
        Lane | None, typer.Option(help="Which callbacks; live ones if not given.")
    ] = None,
    part: Annotated[
        list[int] | None,
        typer.Option(min=0, help="Which part of the history, once or more; else all."),
    ] = None,
) -> None:
    """Run a worker process until SIGTERM."""
    if lane is not None and kind is not WorkerKind.CALLBACK:
        msg = f"--lane: only a callback worker has one, a {kind} worker has none"
        raise NotConfigured(msg)
    if part and kind is not WorkerKind.HISTORY:
        msg = f"--part: only a history worker has parts, a {kind} worker has none"
        raise NotConfigured(msg)
    settings = settings_of(config, kind)
    if kind is WorkerKind.CALLBACK:
        from orchestrator.app.callback import run_callback_worker

        run(run_callback_worker(settings, lane or Lane.LIVE))
        return
    if kind is WorkerKind.HISTORY:
        from orchestrator.app.history import run_history_worker

        run(run_history_worker(settings, part or ()))
        return
    if kind is WorkerKind.SESSION:
        from orchestrator.app.session import run_session_worker as work
    elif kind is WorkerKind.REPLAY:
        from orchestrator.app.replay import run_replay_worker as work
    else:
        from orchestrator.app.clock import run_clock_worker as work
    run(work(settings))


@app.command()
def start(
    request: Annotated[Path, typer.Argument(help="Session request, a JSON file.")],
    *,
    config: Config = None,
    requestor: Annotated[str | None, typer.Option(help="Whose chain it is.")] = None,
    wallet: Annotated[
        bool, typer.Option("--wallet", help="Let the sandbox's wallet play it.")
    ] = False,
    wallet_file: Annotated[
        Path | None,
        typer.Option(help="The same, with a wallet that is kept in this file."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Start a chain from a session request."""
    from orchestrator.cli.chains import start_chain

    settings = settings_of(config)
    try:
        body = request.read_bytes()
    except OSError as error:
        msg = f"{request}: {error.strerror}"
        raise NotConfigured(msg) from None
    run(
        start_chain(
            settings,
            body,
            requestor,
            wallet=wallet,
            wallet_file=wallet_file,
            as_json=as_json,
        )
    )


@app.command("list")
def list_(
    config: Config = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 20,
    state: Annotated[
        ChainState | None, typer.Option(help="Only chains in this state.")
    ] = None,
    requestor: Annotated[str | None, typer.Option(help="Only this requestor's.")] = None,
    as_json: Json = False,
) -> None:
    """List chains, the newest first."""
    from orchestrator.cli.chains import list_chains

    settings = settings_of(config)
    run(
        list_chains(
            settings, limit=limit, state=state, requestor=requestor, as_json=as_json
        )
    )


@app.command()
def show(
    chain: Annotated[str, typer.Argument(help="The chain's id.")],
    config: Config = None,
    pointer: Annotated[
        bool, typer.Option("--pointer", help="Show the live session's pointer: a secret.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show a chain's timeline: every event, with times and waits."""
    from orchestrator.cli.chains import show_chain

    settings = settings_of(config)
    run(show_chain(settings, chain, pointer=pointer, as_json=as_json))


@app.command()
def erase(
    chain: Annotated[str, typer.Argument(help="The chain's id.")],
    config: Config = None,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="End it first if it is still running.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Delete a chain's results, requests, URLs and tokens now; what happened stays."""
    from orchestrator.cli.erase import erase_chain

    settings = settings_of(config)
    run(erase_chain(settings, chain, cancel=cancel, as_json=as_json))


@app.command()
def tail(
    *,
    config: Config = None,
    pattern: Annotated[
        str | None, typer.Option(help="Routing keys as in a topic exchange.")
    ] = None,
    requestor: Annotated[
        str | None, typer.Option(help="Only this requestor's, by its key.")
    ] = None,
    types: Annotated[
        list[str] | None, typer.Option("--type", help="Only these, as session.*")
    ] = None,
    chain: Annotated[
        str | None, typer.Option(help="Only this chain's, or endpoint's by its origin.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--from", help="Begin in the past: 10m, 2h, or a time."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Follow events as they are published, until Ctrl-C."""
    from orchestrator.cli import tail as at

    chosen = at.choice(
        pattern=pattern, requestor=requestor, types=types or (), chain=chain, since=since
    )
    run(at.tail_events(settings_of(config), chosen, as_json=as_json))


@app.command()
def static(
    name: Annotated[str, typer.Argument(help="The static session's name.")],
    config: Config = None,
    svg: Annotated[
        Path | None, typer.Option(help="Draw the QR into this file instead.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the QR of a static session, to be printed."""
    from orchestrator.cli.static import show_static

    settings = settings_of(config)
    show_static(settings, name, svg=svg, as_json=as_json)


@database.command("upgrade")
def upgrade(config: Config = None) -> None:
    """Bring the database's schema up to date."""
    from orchestrator.store.schema import migrate

    settings = settings_of(config)
    run(migrate(settings.database_url.get_secret_value()))


def main() -> None:
    """Run `chainctl`."""
    try:
        app()
    except OrchestratorError as error:
        typer.echo(f"chainctl: {error}", err=True)
        sys.exit(2 if isinstance(error, NotConfigured) else 1)


def _exit(work: Coroutine[object, object, int]) -> None:
    sys.exit(asyncio.run(work))


if __name__ == "__main__":
    main()
