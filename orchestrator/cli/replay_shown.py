"""How failures and plans are shown: tables, words, a progress bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from orchestrator.cli.timeline import plain
from orchestrator.domain.failing import FailureGroup
from orchestrator.domain.replaying import Replay, ReplayKind
from orchestrator.domain.selecting import Selected

#: As many groups as a table shows.
SHOWN_MAX: Final = 50

#: A chain whose message is one stands still: it has not failed.
DEAD_LETTERS: Final = "dead letters are not counted here: chainctl dead list"


def show_selected(selected: Selected) -> None:
    """Print what a replay would take as a table and a sum."""
    if selected.groups:
        Console().print(groups_table(selected.groups[:SHOWN_MAX]))
    if (more := len(selected.groups) - SHOWN_MAX) > 0:
        print(f"and {more} more groups; --json tells all")
    parts = [f"{selected.open} to replay"]
    told = {
        "too old: their results were deleted": selected.purged,
        "in another replay": selected.claimed,
        "refused by one": selected.refused,
        "marked as handled": selected.handled,
    }
    parts += [f"{count} {what}" for what, count in told.items() if count]
    print("; ".join(parts))


def groups_table(groups: Sequence[FailureGroup]) -> Table:
    """What a replay would take, by reason, endpoint and status."""
    table = Table(box=None, header_style="dim")
    table.add_column("reason", no_wrap=True)
    table.add_column("endpoint", overflow="fold")
    table.add_column("status", no_wrap=True)
    for name in ("to replay", "too old", "in a replay", "refused", "handled"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("first", "last"):
        table.add_column(name, no_wrap=True)
    for group in groups:
        table.add_row(
            group.reason,
            Text(plain(group.endpoint or "-")),
            "-" if group.status is None else str(group.status),
            str(group.open),
            str(group.purged or ""),
            str(group.claimed or ""),
            str(group.refused or ""),
            str(group.handled or ""),
            _at(group.first_at),
            _at(group.last_at),
        )
    return table


def plans_table(plans: Sequence[Replay]) -> Table:
    """Plans as lists show them."""
    table = Table(box=None, header_style="dim")
    for name in ("replay", "made", "by", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("claimed", "replayed", "refused", "handled", "left", "failed again"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("note", overflow="fold")
    for plan in plans:
        numbers = (
            plan.claimed,
            plan.replayed,
            plan.refused,
            plan.handled,
            plan.left,
            plan.ill,
        )
        note = ", ".join(filter(None, (plan.why, plan.note)))
        table.add_row(
            plan.id,
            _at(plan.made_at),
            Text(plain(plan.made_by or "-")),
            plan.state,
            *map(str, numbers),
            Text(plain(note)),
        )
    return table


def plan_lines(plan: Replay, refusals: Mapping[str, int]) -> list[str]:
    """One plan in words."""
    made = f"{_at(plan.made_at)} by {plain(plan.made_by or 'nobody known')}"
    lines = [
        f"replay    {plan.id}{_gives_up(plan)}",
        f"state     {plan.state}{f': {plan.why}' if plan.why else ''}",
        f"made      {made}, takes failures up to {_at(plan.cut_off.at)}",
    ]
    if plan.changed_by is not None:
        lines.append(f"changed   by {plain(plan.changed_by)}")
    lines += _account(plan)
    lines += [
        f"          {count} refused: {plain(why)}" for why, count in refusals.items()
    ]
    if plan.endpoint is not None:
        lines.append(f"to        {plan.endpoint}")
    if plan.note is not None:
        lines.append(f"note      {plain(plan.note)}")
    return lines


def _gives_up(plan: Replay) -> str:
    return ": gives failures up" if plan.kind is ReplayKind.HANDLE else ""


def _account(plan: Replay) -> list[str]:
    """What became of all that it has taken."""
    if plan.kind is ReplayKind.HANDLE:
        return [f"handled   {plan.handled}"]
    return [
        f"pace      {_pace(plan)}",
        f"claimed   {plan.claimed}",
        f"replayed  {plan.replayed}{_went(plan)}",
        f"refused   {plan.refused}",
        f"left      {plan.left}, never started",
    ]


def _pace(plan: Replay) -> str:
    each = ""
    if plan.endpoint_pace is not None:
        each = f", {plan.endpoint_pace:g} a second for each endpoint"
    canary = ", no canary"
    if plan.canary:
        limit = f"{plan.failure_ratio_max:.0%}"
        canary = f", canary: stops when more than {limit} of a group fail again"
    return f"{plan.pace:g} chains a second{each}{canary}"


def _went(plan: Replay) -> str:
    if not plan.canary:
        return ""
    return f": {plan.well} went well, {plan.ill} failed again, {plan.undecided} under way"


class _Rate(ProgressColumn):
    """Chains a second."""

    def render(self, task: Task) -> Text:
        """As it is measured over the last looks."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f}/s")


def progress_bar(console: Console, *, shown: bool) -> Progress:
    """How far a plan is, how fast, for how long still, and what came of it."""
    return Progress(
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
        console=console,
        disable=not shown,
    )


def progress_words(plan: Replay) -> str:
    """Beside the bar."""
    words = [plan.state.value]
    if plan.canary:
        words.append(f"{plan.well} well, {plan.ill} failed again")
    if plan.refused:
        words.append(f"{plan.refused} refused")
    return ", ".join(words)


def _at(time: datetime) -> str:
    return time.strftime("%m-%d %H:%M:%S")
