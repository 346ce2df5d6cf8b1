"""Endpoints: how they stand, and what is parked for them (DESIGN §4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, bindparam, delete, func, or_, select, update

from orchestrator.domain.breaker import BreakerState, Endpoint, Release, fresh
from orchestrator.ports import EndpointRow, Waiting
from orchestrator.store.rows import endpoint_of, endpoint_values
from orchestrator.store.tables import PARKED, endpoints, waiting
from orchestrator.store.upsert import add_or_keep
from orchestrator.store.waiting import FREE, put, take_parked

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, RowMapping

#: A closed endpoint is one like any other again an hour after its last portion or change:
#: long enough to be seen in the list, and longer than any news or lease is on its way.
CLOSED_KEPT: Final = timedelta(hours=1)

#: One that is not closed is only tried by what is parked for it. When nothing is, for
#: longer than the longest pause between retries (10 h), its callbacks have all been given
#: up, and nobody would ever close it.
ILL_KEPT: Final = timedelta(days=1)

#: Rows deleted at a time.
PURGES: Final = 1000

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

_MAY_RELEASE: Final = and_(
    endpoints.c.paused_at.is_(None),
    endpoints.c.release_at <= bindparam("now"),
    select(waiting.c.number)
    .where(PARKED, waiting.c.endpoint == endpoints.c.origin, FREE)
    .exists(),
)
_RELEASABLE: Final = (
    ALL.where(_MAY_RELEASE)
    .order_by(endpoints.c.release_at, endpoints.c.origin)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True, key_share=True, of=endpoints)
)
#: Whether there is one, without a lock: most often there is none.
ANY_RELEASABLE: Final = select(endpoints.c.origin).where(_MAY_RELEASE).limit(1)
#: Nobody deletes these while they are being parked for; they may be written meanwhile.
_KEEP: Final = (
    select(endpoints.c.origin)
    .where(endpoints.c.origin.in_(bindparam("origins", expanding=True)))
    .order_by(endpoints.c.origin)
    .with_for_update(read=True, key_share=True)
)
_NOTHING_PARKED: Final = (
    ~select(waiting.c.number)
    .where(PARKED, waiting.c.endpoint == endpoints.c.origin)
    .exists()
)


def _unchanged_since(name: str) -> ColumnElement[bool]:
    since, release_at = endpoints.c.since, endpoints.c.release_at
    return and_(since < bindparam(name), release_at < bindparam(name))


_FORGOTTEN: Final = (
    select(endpoints.c.origin)
    .where(
        endpoints.c.paused_at.is_(None),
        or_(
            and_(endpoints.c.state == BreakerState.CLOSED, _unchanged_since("closed")),
            _unchanged_since("ill"),
        ),
        _NOTHING_PARKED,
    )
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True, of=endpoints)
)
_FORGET: Final = delete(endpoints).where(
    endpoints.c.origin.in_(bindparam("origins", expanding=True)), _NOTHING_PARKED
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
    """Add rows and, for the clock to go by, their endpoints.

    What a purge has deleted in between is added anew; then it is too young to be purged.
    """
    origins = sorted({row.endpoint or "" for row in rows})
    for origin in origins:
        _add(connection, fresh(origin, now))
    kept = set(connection.execute(_KEEP, {"origins": origins}).scalars())
    for origin in origins:
        if origin not in kept:
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


def purge(connection: Connection, now: datetime) -> int:
    """Delete rows of endpoints that nobody has to know of any more; how many.

    Two statements: only the second is sure to see what was parked by the last holder of
    a row's lock.
    """
    found = connection.execute(
        _FORGOTTEN,
        {"closed": now - CLOSED_KEPT, "ill": now - ILL_KEPT, "limit": PURGES},
    )
    origins = found.scalars().all()
    if not origins:
        return 0
    return connection.execute(_FORGET, {"origins": origins}).rowcount


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
