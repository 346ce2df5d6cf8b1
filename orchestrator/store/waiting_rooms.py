"""Waiting rows in an operator's hands: looked at, hurried, taken out (DESIGN §5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, bindparam, case, delete, func, or_, select, tuple_, update

from orchestrator.ports import (
    RETRY,
    Message,
    WaitingFilter,
    WaitingRow,
    outbox_row,
)
from orchestrator.store.rows import waiting_of
from orchestrator.store.tables import PARKED as IS_PARKED
from orchestrator.store.tables import TIMED, waiting
from orchestrator.store.waiting import FREE, put

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, RowMapping, Select

#: As lists are ordered; the number tells rows of one moment apart.
_ORDER: Final = (waiting.c.due_at, waiting.c.created_at, waiting.c.number)

_THESE: Final = waiting.c.number.in_(bindparam("numbers", expanding=True))
_HURRY: Final = (
    update(waiting)
    .where(_THESE)
    .values(due_at=bindparam("now"), kind=case((IS_PARKED, RETRY), else_=waiting.c.kind))
)
_TAKE: Final = (
    select(waiting.c.number, waiting.c.id, waiting.c.chain_id)
    .where(waiting.c.id.in_(bindparam("ids", expanding=True)), FREE)
    .order_by(waiting.c.number)
    .with_for_update(skip_locked=True)
)
_DELETE: Final = delete(waiting).where(_THESE)


def page(
    which: WaitingFilter, after: WaitingRow | None, limit: int
) -> Select[*tuple[object, ...]]:
    """The rows that are meant, by due time, from where the page before has ended."""
    query = select(waiting).where(*_meant(which)).order_by(*_ORDER).limit(limit)
    if after is None:
        return query
    last = (after.waiting.due_at, after.waiting.created_at, after.number)
    typed = zip(last, _ORDER, strict=True)
    values = [bindparam(None, value, type_=column.type) for value, column in typed]
    return query.where(tuple_(*_ORDER) > tuple_(*values))


def waiting_row_of(row: RowMapping, now: datetime) -> WaitingRow:
    """A row of `page`."""
    until: datetime | None = row["lease_until"]
    held = until is not None and until > now
    return WaitingRow(waiting=waiting_of(row), number=row["number"], held=held)


def counted(which: WaitingFilter) -> Select[*tuple[object, ...]]:
    """How many rows are meant, by kind."""
    query = select(waiting.c.kind, func.count().label("rows"))
    return query.where(*_meant(which)).group_by(waiting.c.kind).order_by(waiting.c.kind)


def hurry(
    connection: Connection, which: WaitingFilter, now: datetime, limit: int
) -> dict[str, str]:
    """Make rows due that nobody holds, nor is just taking, the oldest first."""
    later = or_(IS_PARKED, waiting.c.due_at > bindparam("now"))
    query = (
        select(waiting.c.number, waiting.c.id, waiting.c.kind)
        .where(*_meant(which), FREE, later)
        .order_by(waiting.c.created_at, waiting.c.number)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = connection.execute(query, {"now": now}).mappings().all()
    if rows:
        numbers = [row["number"] for row in rows]
        connection.execute(_HURRY, {"numbers": numbers, "now": now})
    return {row["id"]: row["kind"] for row in rows}


def swap(
    connection: Connection, swaps: Mapping[str, Sequence[Message]], now: datetime
) -> set[str]:
    """Delete rows that nobody holds, nor is just taking, and put others for them."""
    found = connection.execute(_TAKE, {"ids": sorted(swaps), "now": now})
    rows = found.mappings().all()
    if rows:
        connection.execute(_DELETE, {"numbers": [row["number"] for row in rows]})
    put(
        connection,
        [
            outbox_row(message, row["chain_id"], now)
            for row in rows
            for message in swaps[row["id"]]
        ],
    )
    return {row["id"] for row in rows}


def _meant(which: WaitingFilter) -> list[ColumnElement[bool]]:
    columns = {waiting.c.chain_id: which.chain_id, waiting.c.endpoint: which.endpoint}
    meant = [column == value for column, value in columns.items() if value is not None]
    lists = {waiting.c.id: which.ids, waiting.c.kind: which.kinds}
    meant += [
        column.in_(values) for column, values in lists.items() if values is not None
    ]
    if which.due_before is not None:
        meant.append(and_(TIMED, waiting.c.due_at < which.due_before))
    return meant
