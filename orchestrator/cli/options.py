"""What the commands share: options, settings, and how their work is run."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from orchestrator.settings import Settings

#: Where each run of a demonstration or a proof gets a folder.
RUNS: Final = Path("run")

#: Where `make up` keeps its installation; the other commands find it there.
LOCAL_RUN: Final = Path("run/up")

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="Configuration file; else ORCHESTRATOR_CONFIG, else that of `chainctl up`.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="For scripts: JSON on stdout.")]
RunDir = Annotated[Path, typer.Option(help="Where files, keys and logs are kept.")]


def settings_of(config: Path | None, process: str | None = None) -> Settings:
    """The settings, and for a process its logs set up by them."""
    from orchestrator.settings import CONFIG_VARIABLE, load_settings
    from orchestrator.telemetry import configure_logging

    local = LOCAL_RUN / "orchestrator.json"
    if config is None and CONFIG_VARIABLE not in os.environ and local.is_file():
        config = local
    settings = load_settings(config, os.environ)
    if process is not None:
        configure_logging(settings.logs.level, settings.logs.format, process)
    else:
        configure_logging("error", "console", "chainctl")
        # It tells every attempt to connect; whoever has asked is told in the end.
        logging.getLogger("aiormq").setLevel(logging.CRITICAL)
    return settings


def run(work: Coroutine[object, object, None]) -> None:
    """Run to the end; Ctrl-C is an ordered end as well.

    What is there by now stays: the collector need not look through all modules again and
    again, which would take a twentieth of a process' time.
    """
    try:
        import uvloop

        gc.freeze()
        uvloop.run(work)
    except KeyboardInterrupt:
        sys.exit(130)
