"""Events: written once each, numbered without a gap per chain (G4), or per endpoint.

The subject of an event is its chain or, of operators' events, the endpoint; `chain_id`
holds either.

The next number is the highest one written plus one, and batches are written one at a
time, those of all parts of the history; so the order of `number` is the order in which
they become visible, over all chains. Each part publishes what it has written itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, func, select, update

from orchestrator.store.among import among
from orchestrator.store.locks import Alone, alone
from orchestrator.store.rows import event_values
from orchestrator.store.tables import events
from schemas.events import Event

if TYPE_CHECKING:
    from sqlalchemy import Connection

KNOWN: Final = select(events.c.id).where(among(events.c.id, "ids"))
UNPUBLISHED: Final = (
    select(events)
    .where(events.c.part == bindparam("part"), events.c.published_at.is_(None))
    .order_by(events.c.number)
    .limit(bindparam("limit"))
)
UNPUBLISHED_IDS: Final = UNPUBLISHED.with_only_columns(events.c.id)
OF_CHAIN: Final = (
    select(events)
    .where(events.c.chain_id == bindparam("chain_id"))
    .order_by(events.c.sequence)
)

_HIGHEST: Final = (
    select(events.c.chain_id, func.max(events.c.sequence))
    .where(among(events.c.chain_id, "chain_ids"))
    .group_by(events.c.chain_id)
)
_ADD: Final = events.insert()
_MARK: Final = (
    update(events)
    .where(among(events.c.id, "ids"), events.c.published_at.is_(None))
    .values(published_at=bindparam("now"))
)


def append(connection: Connection, batch: Sequence[Event], part: int) -> list[Event]:
    """Write those that are new, each with its chain's next sequence."""
    alone(connection, Alone.APPEND)
    ids = connection.execute(KNOWN, {"ids": [event.id for event in batch]})
    new = unseen(batch, set(ids.scalars()))
    if new:
        chain_ids = sorted({event.subject for event in new})
        highest = connection.execute(_HIGHEST, {"chain_ids": chain_ids})
        new = number(new, dict(highest.all()))
        connection.execute(_ADD, [event_values(event, part) for event in new])
    return new


def unseen(batch: Iterable[Event], seen: set[str]) -> list[Event]:
    """Events with new ids, each id once, the first one counts."""
    first: dict[str, Event] = {}
    for event in batch:
        first.setdefault(event.id, event)
    return [event for event in first.values() if event.id not in seen]


def number(batch: Iterable[Event], highest: Mapping[str, int]) -> list[Event]:
    """Give each event its chain's next sequence, in order."""
    last = dict(highest)
    numbered: list[Event] = []
    for event in batch:
        last[event.subject] = last.get(event.subject, 0) + 1
        numbered.append(event.model_copy(update={"sequence": last[event.subject]}))
    return numbered


def mark_published(connection: Connection, ids: Sequence[str], now: datetime) -> None:
    """Mark events; the first mark stays."""
    if ids:
        connection.execute(_MARK, {"ids": list(ids), "now": now})
