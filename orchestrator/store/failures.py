"""Failures: written with the end of a chain, found by what they have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, bindparam, case, func, or_, select

from orchestrator.domain.chain import ChainState, Slot
from orchestrator.domain.failing import (
    Failure,
    FailureFilter,
    FailureGroup,
    FailureKind,
    FailureReason,
)
from orchestrator.domain.replaying import Outcome, ReplayKind
from orchestrator.store.rows import Values, slot_values
from orchestrator.store.tables import chains, failures
from orchestrator.store.upsert import add_or_keep

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, RowMapping, Select

    from orchestrator.domain.replaying import CutOff, Replay

_FIELDS: Final = tuple(field.name for field in fields(Failure) if field.name != "slot")
_ADD: Final = add_or_keep(failures, ("chain_id", "generation"))

LAST: Final = select(func.max(failures.c.number))
KNOWN: Final = (
    select(failures.c.chain_id)
    .where(failures.c.chain_id.in_(bindparam("ids", expanding=True)))
    .distinct()
)

#: A chain that was opened again has not failed any more, or in another way.
_STANDS: Final = and_(
    chains.c.id == failures.c.chain_id,
    chains.c.generation == failures.c.generation,
    chains.c.state.in_((ChainState.FAILED, ChainState.EXPIRED)),
)
_KEPT: Final = chains.c.purged_at.is_(None)
_UNHANDLED: Final = failures.c.handling_id.is_(None)
_UNCLAIMED: Final = failures.c.replay_id.is_(None)

_REFUSED: Final = failures.c.outcome == Outcome.REFUSED
_UNREAD: Final = failures.c.outcome == Outcome.UNREAD
_OTHERS: Final = or_(failures.c.outcome.is_(None), failures.c.outcome == Outcome.REPLAYED)

#: What a plan of each kind may take: also what another could not read, as a key may be
#: back since. What cannot be replayed can be given up all the same: it is too old, or was
#: refused before.
_FREE: Final = {
    ReplayKind.REPLAY: and_(_UNHANDLED, or_(_UNCLAIMED, _UNREAD), _KEPT),
    ReplayKind.HANDLE: and_(_UNHANDLED, or_(_UNCLAIMED, _UNREAD, _REFUSED)),
}


def add(connection: Connection, failure: Failure) -> None:
    """Write a failure; of each generation there is one."""
    connection.execute(_ADD[connection.dialect.name], failure_values(failure))


def failure_values(failure: Failure) -> Values:
    """A failure as its row."""
    own: Values = {name: getattr(failure, name) for name in _FIELDS}
    return slot_values(failure.slot) | own


def failure_of(row: RowMapping) -> Failure:
    """A row as its failure."""
    slot = Slot(chain_id=row["chain_id"], step=row["step"], generation=row["generation"])
    own = {name: row[name] for name in _FIELDS}
    kind, reason = FailureKind(row["kind"]), FailureReason(row["reason"])
    return Failure(slot=slot, **own | {"kind": kind, "reason": reason})


def grouped(
    which: FailureFilter, cut_off: CutOff, limit: int
) -> Select[*tuple[object, ...]]:
    """Failures that are meant and stand, by reason, endpoint and status."""
    by = (failures.c.reason, failures.c.endpoint, failures.c.status)
    claimable = _count(_FREE[ReplayKind.REPLAY])
    return (
        select(
            *by,
            claimable.label("open"),
            _count(~_KEPT & _UNHANDLED).label("purged"),
            _count(_KEPT & _UNHANDLED & ~_UNCLAIMED & _OTHERS).label("claimed"),
            _count(_KEPT & _UNHANDLED & _REFUSED).label("refused"),
            _count(~_UNHANDLED).label("handled"),
            func.min(failures.c.failed_at).label("first_at"),
            func.max(failures.c.failed_at).label("last_at"),
        )
        .join(chains, _STANDS)
        .where(*meant(which, cut_off))
        .group_by(*by)
        .order_by(claimable.desc(), failures.c.reason, failures.c.endpoint)
        .limit(limit)
    )


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def group_of(row: RowMapping) -> FailureGroup:
    """A row of `grouped`."""
    return FailureGroup(**dict(row) | {"reason": FailureReason(row["reason"])})


def claimable(plan: Replay, *, after: int, to: int) -> Select[int]:
    """The numbers, in a range, of failures that a plan means and can claim."""
    return (
        select(failures.c.number)
        .join(chains, _STANDS)
        .where(
            failures.c.number > after,
            failures.c.number <= to,
            _FREE[plan.kind],
            *meant(plan.filter, plan.cut_off),
        )
        .order_by(failures.c.number)
        .with_for_update(of=failures)
    )


def standing(
    which: FailureFilter, cut_off: CutOff, *, after: int, limit: int
) -> Select[*tuple[object, ...]]:
    """The next failures that are meant and could be replayed."""
    return (
        select(*failures.c)
        .join(chains, _STANDS)
        .where(
            failures.c.number > after,
            _FREE[ReplayKind.REPLAY],
            *meant(which, cut_off),
        )
        .order_by(failures.c.number)
        .limit(limit)
    )


def end_of_page(after: int, to: int, limit: int) -> Select[int]:
    """The number of the last failure of a page, if the page is full."""
    return (
        select(failures.c.number)
        .where(failures.c.number > after, failures.c.number <= to)
        .order_by(failures.c.number)
        .offset(limit - 1)
        .limit(1)
    )


def meant(which: FailureFilter, cut_off: CutOff) -> list[ColumnElement[bool]]:
    """The conditions of a filter and a cut-off."""
    columns = {
        failures.c.requestor: which.requestor,
        failures.c.endpoint: which.endpoint,
        failures.c.reason: which.reason,
        failures.c.status: which.status,
        failures.c.step: which.step,
    }
    found = [column == value for column, value in columns.items() if value is not None]
    found += [failures.c.failed_at <= cut_off.at, failures.c.number <= cut_off.number]
    if which.since is not None:
        found.append(failures.c.failed_at >= which.since)
    if which.until is not None:
        found.append(failures.c.failed_at < which.until)
    if which.chain_ids is not None:
        found.append(failures.c.chain_id.in_(which.chain_ids))
    return found


def filter_values(which: FailureFilter) -> Values:
    """A filter as JSON, without what does not matter."""
    values = {field.name: getattr(which, field.name) for field in fields(which)}
    return {name: _told(value) for name, value in values.items() if value is not None}


def _told(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, Sequence) and not _text(value) else value


def _text(value: object) -> bool:
    return isinstance(value, str)


def filter_of(values: dict[str, object]) -> FailureFilter:
    """JSON as its filter."""
    read: dict[str, object] = dict(values)
    for name in ("since", "until"):
        if name in read:
            read[name] = datetime.fromisoformat(str(read[name]))
    if "reason" in read:
        read["reason"] = FailureReason(str(read["reason"]))
    if isinstance(ids := read.get("chain_ids"), list):
        read["chain_ids"] = tuple(ids)
    return FailureFilter(**read)  # type: ignore[arg-type]  # it was written from one
