"""Events by whose they are, for requestors that follow their own.

Batches are written one at a time (`history`), so the order of `number` is that in which
rows become visible: who has read up to a number misses nothing by reading on behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, func, select

from orchestrator.store.tables import events

if TYPE_CHECKING:
    from sqlalchemy import Connection, Select

_PAGE: Final = (
    select(events.c.number, events.c.id, events.c.body)
    .where(events.c.number > bindparam("after"))
    .limit(bindparam("limit"))
)
OF_ALL: Final = _PAGE.where(events.c.requestor == bindparam("requestor")).order_by(
    events.c.number
)
#: By sequence, which is the same order: a chain is short, and has an index by it. SQLite
#: would take the requestor's, which is long, did we ask for the column as it is.
OF_CHAIN: Final = _PAGE.where(
    events.c.chain_id == bindparam("chain_id"),
    func.coalesce(events.c.requestor, "") == bindparam("requestor"),
).order_by(events.c.sequence)
LAST: Final = (
    select(events.c.number, events.c.id, events.c.body)
    .where(events.c.requestor == bindparam("requestor"))
    .order_by(events.c.number.desc())
    .limit(1)
)
_WHOSE: Final = (
    select(events.c.requestor)
    .where(events.c.number > bindparam("after"), events.c.requestor.is_not(None))
    .distinct()
)
_HIGHEST: Final = select(func.max(events.c.number))


def numbered(chain_id: str | None) -> Select[tuple[int]]:
    """The number of an event, if it is the requestor's and of the chain."""
    query = select(events.c.number).where(
        events.c.id == bindparam("event_id"), events.c.requestor == bindparam("requestor")
    )
    return query if chain_id is None else query.where(events.c.chain_id == chain_id)


def since(connection: Connection, number: int | None) -> tuple[int, set[str]]:
    """The highest number, and whose events are behind the given one.

    The number is read first: what comes in between is told of twice, not never.
    """
    highest: int = connection.execute(_HIGHEST).scalar() or 0
    if number is None or highest == number:
        return highest, set()
    whose = connection.execute(_WHOSE, {"after": number}).scalars()
    return highest, {requestor for requestor in whose if requestor is not None}
