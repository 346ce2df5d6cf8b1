"""How failures and plans are shown: tables, a progress bar, JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from pydantic import JsonValue
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
from orchestrator.domain.failing import FailureFilter, FailureGroup
from orchestrator.domain.replaying import Replay


def groups_table(groups: Sequence[FailureGroup]) -> Table:
    """What a replay would take, by reason, endpoint and status."""
    table = Table(box=None, header_style="dim")
    table.add_column("reason", no_wrap=True)
    table.add_column("endpoint", overflow="fold")
    table.add_column("status", no_wrap=True)
    for name in ("to replay", "too old", "in a replay"):
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
            _at(group.first_at),
            _at(group.last_at),
        )
    return table


def plans_table(plans: Sequence[Replay]) -> Table:
    """Plans as lists show them."""
    table = Table(box=None, header_style="dim")
    for name in ("replay", "made", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("claimed", "replayed", "refused", "left", "failed again"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("note", overflow="fold")
    for plan in plans:
        numbers = (plan.claimed, plan.replayed, plan.refused, plan.left, plan.ill)
        note = ", ".join(filter(None, (plan.why, plan.note)))
        table.add_row(
            plan.id,
            _at(plan.made_at),
            plan.state,
            *map(str, numbers),
            Text(plain(note)),
        )
    return table


def plan_lines(plan: Replay, refusals: Mapping[str, int]) -> list[str]:
    """One plan in words."""
    lines = [
        f"replay    {plan.id}",
        f"state     {plan.state}{f': {plan.why}' if plan.why else ''}",
        f"made      {_at(plan.made_at)}, takes failures up to {_at(plan.cut_off.at)}",
        f"pace      {_pace(plan)}",
        f"claimed   {plan.claimed}",
        f"replayed  {plan.replayed}{_went(plan)}",
        f"refused   {plan.refused}",
        f"left      {plan.left}, never started",
    ]
    lines += [
        f"          {count} refused: {plain(why)}" for why, count in refusals.items()
    ]
    if plan.endpoint is not None:
        lines.append(f"to        {plan.endpoint}")
    if plan.note is not None:
        lines.append(f"note      {plain(plan.note)}")
    return lines


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


def group_json(group: FailureGroup) -> dict[str, JsonValue]:
    """What `--json` tells of a group."""
    return {
        "reason": group.reason,
        "endpoint": group.endpoint,
        "status": group.status,
        "toReplay": group.open,
        "tooOld": group.purged,
        "inReplay": group.claimed,
        "firstAt": group.first_at.isoformat(),
        "lastAt": group.last_at.isoformat(),
    }


def plan_json(plan: Replay) -> dict[str, JsonValue]:
    """What `--json` tells of a plan."""
    return {
        "id": plan.id,
        "state": plan.state,
        "why": plan.why,
        "note": plan.note,
        "filter": filter_json(plan.filter),
        "madeAt": plan.made_at.isoformat(),
        "cutOff": plan.cut_off.at.isoformat(),
        "startedAt": _iso(plan.started_at),
        "endedAt": _iso(plan.ended_at),
        "pace": plan.pace,
        "endpointPace": plan.endpoint_pace,
        "canary": plan.canary,
        "failureRatioMax": plan.failure_ratio_max,
        "endpoint": plan.endpoint,
        "claiming": plan.claiming,
        "claimed": plan.claimed,
        "replayed": plan.replayed,
        "refused": plan.refused,
        "left": plan.left,
        "wentWell": plan.well if plan.canary else None,
        "failedAgain": plan.ill if plan.canary else None,
        "settled": plan.settled,
    }


def filter_json(which: FailureFilter) -> dict[str, JsonValue]:
    """What `--json` tells of a filter; of chains that are named only how many."""
    return {
        "requestor": which.requestor,
        "endpoint": which.endpoint,
        "reason": which.reason,
        "status": which.status,
        "step": which.step,
        "since": _iso(which.since),
        "until": _iso(which.until),
        "chains": None if which.chain_ids is None else len(which.chain_ids),
    }


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


def _iso(time: datetime | None) -> str | None:
    return time.isoformat() if time else None
