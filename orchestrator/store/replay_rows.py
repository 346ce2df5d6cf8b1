"""Plans of replays as rows, and rows as plans."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Final

from orchestrator.domain.replaying import (
    Claimed,
    CutOff,
    Replay,
    ReplayKind,
    ReplayState,
)
from orchestrator.store import failures as found
from orchestrator.store.rows import Values

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

_FIELDS: Final = tuple(
    field.name for field in fields(Replay) if field.name not in {"filter", "cut_off"}
)


def plan_values(plan: Replay) -> Values:
    """A plan as its row; who has leased it is nobody else's."""
    return {name: getattr(plan, name) for name in _FIELDS} | {
        "filter": found.filter_values(plan.filter),
        "cut_off_at": plan.cut_off.at,
        "cut_off_number": plan.cut_off.number,
    }


def plan_of(row: RowMapping) -> Replay:
    """A row as its plan."""
    told = {"state": ReplayState(row["state"]), "kind": ReplayKind(row["kind"])}
    own = {name: row[name] for name in _FIELDS} | told
    return Replay(
        filter=found.filter_of(row["filter"]),
        cut_off=CutOff(at=row["cut_off_at"], number=row["cut_off_number"]),
        **own,
    )


def claimed_of(row: RowMapping) -> Claimed:
    """A failure's row, as a plan has it."""
    return Claimed(
        number=row["number"],
        failure=found.failure_of(row),
        begun=row["taken_at"] is not None,
    )
