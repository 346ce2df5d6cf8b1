"""How a proof tells what it found: a table for people, one JSON object for scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class Promise:
    """One promise: what was promised, what was seen, whether it held."""

    name: str
    seen: str
    held: bool


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A table of a proof; every row has a cell for every column."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a proof found.

    Attributes:
        proof: its name, as in `chainctl prove NAME`.
        figures: what was measured or counted, for the last line.
    """

    proof: str
    promises: Sequence[Promise]
    sheets: Sequence[Sheet] = ()
    figures: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def held(self) -> bool:
        """Whether every promise held; a proof without promises proves nothing."""
        return bool(self.promises) and all(one.held for one in self.promises)


def tell(report: Report, versions: Mapping[str, str], console: Console) -> None:
    """Print tables, promises, and the JSON object as the last line."""
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    console.print(f"\n[bold]{report.proof}[/bold] on {told}", highlight=False)
    for sheet in report.sheets:
        console.print(_table(sheet))
    for promise in report.promises:
        mark = "[green]held[/green]  " if promise.held else "[red]BROKEN[/red]"
        line = f"{mark} {promise.name}: {promise.seen}"
        console.print(line, highlight=False, soft_wrap=True)
    console.file.write(json.dumps(_last_line(report, versions)) + "\n")
    console.file.flush()


def _table(sheet: Sheet) -> Table:
    table = Table(title=sheet.title, title_justify="left", header_style="bold")
    for column in sheet.columns:
        table.add_column(column, overflow="fold")
    for row in sheet.rows:
        table.add_row(*row)
    return table


def _last_line(report: Report, versions: Mapping[str, str]) -> dict[str, JsonValue]:
    return {
        "proof": report.proof,
        "held": report.held,
        **versions,
        **report.figures,
        "promises": {one.name: one.held for one in report.promises},
    }
