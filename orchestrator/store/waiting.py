"""Waiting rows: messages that are published later, by whoever holds their lease."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, delete, or_, select, update

from orchestrator.ports import Waiting
from orchestrator.store.among import among
from orchestrator.store.rows import waiting_of, waiting_values
from orchestrator.store.tables import PARKED, TIMED, waiting
from orchestrator.store.upsert import add_or_keep, add_or_replace

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping

ALL: Final = (
    select(waiting)
    .order_by(waiting.c.due_at, waiting.c.created_at, waiting.c.number)
    .limit(bindparam("limit"))
)
OF_CHAIN: Final = ALL.where(waiting.c.chain_id == bindparam("chain_id"))
_ALL_OF_CHAIN: Final = select(waiting).where(waiting.c.chain_id == bindparam("chain_id"))

#: Rows that nobody holds.
FREE: Final = or_(
    waiting.c.lease_until.is_(None), waiting.c.lease_until <= bindparam("now")
)
_DUE: Final = ALL.where(
    TIMED,
    waiting.c.due_at <= bindparam("now"),
    FREE,
).with_for_update(skip_locked=True)
#: Whether there is one, without a lock: most often there is none.
ANY_DUE: Final = (
    select(waiting.c.number).where(TIMED, waiting.c.due_at <= bindparam("now")).limit(1)
)
_OLDEST: Final = (
    select(waiting)
    .where(PARKED, waiting.c.endpoint == bindparam("origin"), FREE)
    .order_by(waiting.c.created_at, waiting.c.number)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_LEASE: Final = (
    update(waiting)
    .where(waiting.c.number.in_(bindparam("numbers", expanding=True)))
    .values(lease_owner=bindparam("owner"), lease_until=bindparam("until"))
)
_ADD: Final = add_or_keep(waiting, ["id"])
_REPLACE: Final = add_or_replace(waiting, ["id"])
_DROP: Final = delete(waiting).where(among(waiting.c.id, "ids"))


def put(connection: Connection, rows: Sequence[Waiting]) -> None:
    """Add rows; one whose id is there already stays as it is."""
    if rows:
        statement = _ADD[connection.dialect.name]
        connection.execute(statement, [waiting_values(row) for row in rows])


def replace(connection: Connection, row: Waiting) -> None:
    """Add a row, in the place of one with its id; nobody holds it then."""
    connection.execute(_REPLACE[connection.dialect.name], waiting_values(row))


def take_due(
    connection: Connection,
    now: datetime,
    *,
    owner: str,
    lease: timedelta,
    limit: int,
) -> list[Waiting]:
    """Lease due rows that nobody holds, nor is just taking."""
    due = connection.execute(_DUE, {"now": now, "limit": limit})
    return _leased(connection, due.mappings().all(), owner, now + lease)


def take_parked(
    connection: Connection,
    origin: str,
    now: datetime,
    *,
    owner: str,
    lease: timedelta,
    limit: int,
) -> list[Waiting]:
    """Lease an endpoint's parked rows that nobody holds, the first parked first."""
    values = {"origin": origin, "now": now, "limit": limit}
    parked = connection.execute(_OLDEST, values)
    return _leased(connection, parked.mappings().all(), owner, now + lease)


def _leased(
    connection: Connection, rows: Sequence[RowMapping], owner: str, until: datetime
) -> list[Waiting]:
    if rows:
        numbers = [row["number"] for row in rows]
        values = {"numbers": numbers, "owner": owner, "until": until}
        connection.execute(_LEASE, values)
    return [waiting_of(row) for row in rows]


def forget(
    connection: Connection, chain_id: str, over: Callable[[Waiting], bool]
) -> None:
    """Delete those of a chain's rows that are over, whoever holds their lease."""
    found = connection.execute(_ALL_OF_CHAIN, {"chain_id": chain_id}).mappings()
    rows = [waiting_of(row) for row in found]
    drop(connection, [row.id for row in rows if over(row)])


def drop(connection: Connection, ids: Sequence[str]) -> None:
    """Delete rows."""
    if ids:
        connection.execute(_DROP, {"ids": list(ids)})
