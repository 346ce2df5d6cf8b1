"""`chainctl prove`: the promises, on real processes with real faults."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from orchestrator.proof.names import Databases, DeliveryPart, ReplayPart, ReplayWay

commands = typer.Typer(
    no_args_is_help=True, help="Prove what is promised, on real processes with faults."
)

Database = Annotated[
    Databases, typer.Option(help="Where the installations keep their rows.")
]
Keep = Annotated[bool, typer.Option("--keep", help="Keep the run folder.")]


@commands.command("delivery")
def prove_delivery(
    database: Database = Databases.POSTGRESQL,
    part: Annotated[
        list[DeliveryPart] | None, typer.Option(help="Only these; several are allowed.")
    ] = None,
    keep: Keep = False,
) -> None:
    """Every answer and fault; an endpoint that hangs; lateness; broker and store away."""
    from orchestrator.cli.prove import run_proof
    from orchestrator.proof.delivery import prove

    parts = tuple(part or DeliveryPart)
    sys.exit(run_proof("delivery", prove(parts), database, os.environ, keep=keep))


@commands.command("bench")
def prove_bench(
    database: Database = Databases.POSTGRESQL,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each.")] = 5,
    hops: Annotated[int, typer.Option(min=100, help="Hops of a turn.")] = 3_000,
    keep: Keep = False,
) -> None:
    """Callback hops a second of one worker, against a bare loop with the same steps."""
    from orchestrator.cli.prove import run_proof
    from orchestrator.proof.bench import prove

    proof = prove(rounds, hops)
    sys.exit(run_proof("bench", proof, database, os.environ, keep=keep))


@commands.command("history")
def prove_history(
    database: Database = Databases.POSTGRESQL,
    events: Annotated[
        int, typer.Option(min=1_000, help="How many events wait for the worker.")
    ] = 1_000_000,
    keep: Keep = False,
) -> None:
    """How fast one history worker works off a backlog, and in how much memory."""
    from orchestrator.cli.prove import run_proof
    from orchestrator.proof.history import prove

    sys.exit(run_proof("history", prove(events), database, os.environ, keep=keep))


@commands.command("replay")
def prove_replay(
    *,
    database: Database = Databases.POSTGRESQL,
    chains: Annotated[int, typer.Option(min=100, help="How many fail.")] = 10_000,
    selected: Annotated[
        int, typer.Option(min=1_000, help="How many failures a plan takes for memory.")
    ] = 1_000_000,
    part: Annotated[
        list[ReplayPart] | None, typer.Option(help="Only these; several are allowed.")
    ] = None,
    by: Annotated[
        ReplayWay, typer.Option(help="How the replay after the outage is made.")
    ] = ReplayWay.COMMAND,
    keep: Keep = False,
) -> None:
    """Replay of what an outage has failed; of a million failures; cancelled halfway."""
    from orchestrator.cli.prove import run_proof
    from orchestrator.proof.replay import prove

    parts = tuple(part or ReplayPart)
    if by is not ReplayWay.COMMAND and ReplayPart.OUTAGE not in parts:
        raise typer.BadParameter("only the part 'outage' has a choice", param_hint="--by")
    proof = prove(parts, chains=chains, selected=selected, by=by)
    sys.exit(run_proof("replay", proof, database, os.environ, keep=keep))


@commands.command("events")
def prove_events(
    database: Database = Databases.POSTGRESQL,
    chains: Annotated[int, typer.Option(min=100, help="How many.")] = 10_000,
    rate: Annotated[
        float | None,
        typer.Option(min=0.1, help="At most so many a second; else as many as can be."),
    ] = None,
    keep: Keep = False,
) -> None:
    """Subscribers of every kind, cut off amid the load, have exactly what happened."""
    from orchestrator.cli.prove import run_proof
    from orchestrator.proof.events import prove

    proof = prove(chains, rate)
    sys.exit(run_proof("events", proof, database, os.environ, keep=keep))
