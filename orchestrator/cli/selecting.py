"""Options by which several commands select the same things."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated

import typer

Requestor = Annotated[str | None, typer.Option(help="Only this requestor's.")]
Since = Annotated[
    str | None, typer.Option(help="Only failed since then: 10m, 2h, 1d or a time.")
]
Until = Annotated[str | None, typer.Option(help="Only failed before then.")]
Chain = Annotated[list[str] | None, typer.Option("--chain", help="Only this chain.")]
Chains = Annotated[
    Path | None,
    typer.Option("--chains", help="Only chains in this file, one a line; - is stdin."),
]


def options_of(
    meant: Callable[..., object],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator that gives a command more options; it gets as `asked` what they mean.

    Args:
        meant: makes one object of the options that are its parameters.
    """
    options = tuple(inspect.signature(meant, eval_str=True).parameters.values())

    def selecting(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters.values()
        both = [*options, *(option for option in own if option.name != "asked")]

        @wraps(command)
        def selected(**given: object) -> None:
            said = {option.name: given.pop(option.name) for option in options}
            command(asked=meant(**said), **given)

        selected.__signature__ = inspect.Signature(both)  # type: ignore[attr-defined]  # Typer looks for it
        selected.__annotations__ = {one.name: one.annotation for one in both}
        return selected

    return selecting
