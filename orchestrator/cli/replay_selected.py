"""What an operator means to replay, and what there is of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue
from rich.console import Console

from orchestrator.cli.replay_shown import filter_json, group_json, groups_table
from orchestrator.domain.errors import NotConfigured
from orchestrator.domain.failing import FailureFilter, FailureGroup
from orchestrator.domain.operating import TOLD_MAX
from orchestrator.domain.replaying import CutOff
from orchestrator.ports import Store

#: As many groups as are counted, and as a table shows.
GROUPS_MAX: Final = 10_000
SHOWN_MAX: Final = 50


@dataclass(frozen=True, kw_only=True)
class Selected:
    """What is meant, and what there is of it."""

    which: FailureFilter
    cut_off: CutOff
    groups: Sequence[FailureGroup]

    @property
    def open(self) -> int:
        """How many can be replayed."""
        return sum(group.open for group in self.groups)

    @property
    def purged(self) -> int:
        """How many are too old."""
        return sum(group.purged for group in self.groups)

    @property
    def claimed(self) -> int:
        """How many are in another replay."""
        return sum(group.claimed for group in self.groups)


async def selected_by(store: Store, which: FailureFilter) -> Selected:
    """The groups of what is meant, as of now.

    Raises:
        NotConfigured: a chain that is named has never failed.
    """
    cut_off = await store.replays.cut_off()
    if which.chain_ids is not None:
        _refuse_unknown(await store.replays.unknown(which.chain_ids))
    groups = await store.replays.groups(which, cut_off, limit=GROUPS_MAX)
    return Selected(which=which, cut_off=cut_off, groups=groups)


def _refuse_unknown(ids: Sequence[str]) -> None:
    if not ids:
        return
    more = len(ids) - TOLD_MAX
    named = ", ".join(ids[:TOLD_MAX]) + (f" and {more} more" if more > 0 else "")
    raise NotConfigured(f"no failure of these chains is known: {named}")


def refuse_nothing(selected: Selected) -> None:
    """See that there is something to replay.

    Raises:
        NotConfigured: there is not; the text says why.
    """
    if selected.open:
        return
    why = [
        f"{count} {what}"
        for count, what in (
            (selected.purged, "are too old: their results were deleted"),
            (selected.claimed, "are in another replay"),
        )
        if count
    ]
    raise NotConfigured(
        f"nothing to replay: {'; '.join(why) if why else 'no failure is meant by that'}"
    )


def show_selected(selected: Selected) -> None:
    """Print it as a table and a sum."""
    if selected.groups:
        Console().print(groups_table(selected.groups[:SHOWN_MAX]))
    if (more := len(selected.groups) - SHOWN_MAX) > 0:
        print(f"and {more} more groups; --json tells all")
    parts = [f"{selected.open} to replay"]
    if selected.purged:
        parts.append(f"{selected.purged} too old: their results were deleted")
    if selected.claimed:
        parts.append(f"{selected.claimed} in another replay")
    print("; ".join(parts))


def selected_json(selected: Selected) -> dict[str, JsonValue]:
    """What `--json` tells of it."""
    return {
        "filter": filter_json(selected.which),
        "cutOff": selected.cut_off.at.isoformat(),
        "toReplay": selected.open,
        "tooOld": selected.purged,
        "inReplay": selected.claimed,
        "groups": [group_json(group) for group in selected.groups],
    }
