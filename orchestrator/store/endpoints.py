"""Endpoints: how they stand, and what is parked for them (DESIGN §4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, func, select, update

from orchestrator.domain.breaker import BreakerState, Endpoint, Release, fresh
from orchestrator.ports import EndpointRow, Waiting
from orchestrator.store.rows import endpoint_of, endpoint_values
from orchestrator.store.tables import PARKED, endpoints, waiting
from orchestrator.store.upsert import add_or_keep
from orchestrator.store.waiting import FREE, put, take_parked

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping

ALL: Final = select(endpoints)
ONE: Final = ALL.where(endpoints.c.origin == bindparam("origin"))

_COUNTED: Final = (
    select(
        waiting.c.endpoint,
        func.count().label("parked"),
        func.min(waiting.c.created_at).label("oldest_at"),
    )
    .where(PARKED)
    .group_by(waiting.c.endpoint)
    .subquery()
)
LISTED: Final = (
    select(endpoints, _COUNTED.c.parked, _COUNTED.c.oldest_at)
    .outerjoin(_COUNTED, _COUNTED.c.endpoint == endpoints.c.origin)
    .order_by(endpoints.c.origin)
)

_RELEASABLE: Final = (
    ALL.where(
        endpoints.c.paused_at.is_(None),
        endpoints.c.release_at <= bindparam("now"),
        select(waiting.c.number)
        .where(PARKED, waiting.c.endpoint == endpoints.c.origin, FREE)
        .exists(),
    )
    .order_by(endpoints.c.release_at, endpoints.c.origin)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True, of=endpoints)
)
_ADD: Final = add_or_keep(endpoints, ["origin"])
_WRITE: Final = update(endpoints).where(endpoints.c.origin == bindparam("named"))
_BUSY: Final = _WRITE.where(
    endpoints.c.state == BreakerState.CLOSED,
    endpoints.c.release_at < bindparam("until"),
).values(release_at=bindparam("until"))
_SET: Final = _WRITE.where(endpoints.c.version == bindparam("expected"))


def park(
    connection: Connection,
    rows: Sequence[Waiting],
    now: datetime,
    busy_until: Mapping[str, datetime],
) -> None:
    """Add rows and, for the clock to go by, their endpoints."""
    for origin in sorted({row.endpoint or "" for row in rows}):
        _add(connection, fresh(origin, now))
    put(connection, rows)
    for origin, until in sorted(busy_until.items()):
        connection.execute(_BUSY, {"named": origin, "until": until})


def release(
    connection: Connection,
    now: datetime,
    rule: Callable[[Endpoint], Release | None],
    *,
    owner: str,
    lease: timedelta,
    endpoints_max: int,
) -> list[Waiting]:
    """Lease what the rule releases; the locked row keeps other clocks from the same."""
    found = connection.execute(_RELEASABLE, {"now": now, "limit": endpoints_max})
    taken: list[Waiting] = []
    for endpoint in map(endpoint_of, found.mappings().all()):
        released = rule(endpoint)
        if released is None:
            continue
        rows = take_parked(
            connection,
            endpoint.origin,
            now,
            owner=owner,
            lease=lease,
            limit=released.count,
        )
        if rows:
            values = endpoint_values(released.endpoint)
            connection.execute(_WRITE, values | {"named": endpoint.origin})
        taken += rows
    return taken


def compare_and_set(connection: Connection, before: Endpoint, after: Endpoint) -> bool:
    """Write it if nobody else has since; what nobody has written yet is version 0."""
    if before.version == 0:
        _add(connection, before)
    values = endpoint_values(after)
    expected = {"named": after.origin, "expected": before.version}
    return connection.execute(_SET, values | expected).rowcount == 1


def endpoint_row_of(row: RowMapping) -> EndpointRow:
    """A row of `LISTED`."""
    return EndpointRow(
        endpoint=endpoint_of(row), parked=row["parked"] or 0, oldest_at=row["oldest_at"]
    )


def _add(connection: Connection, endpoint: Endpoint) -> None:
    connection.execute(_ADD[connection.dialect.name], endpoint_values(endpoint))
