"""Chains and their steps: the statements, and what is done with them in a transaction.

Statements are built once: to build one takes longer than SQLite does to run it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, func, select, tuple_, update

from orchestrator.domain.chain import IDEMPOTENCY, Chain, Slot, Step, StepState, View
from orchestrator.domain.errors import UnknownChain
from orchestrator.ports import ChainRow, Clock
from orchestrator.store.rows import (
    chain_of,
    chain_values,
    slot_values,
    step_of,
    step_values,
)
from orchestrator.store.tables import UNPURGED, chains, steps
from orchestrator.store.upsert import add_or_keep, add_or_replace

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from sqlalchemy import Connection, RowMapping, Select

_KEY: Final = ("chain_id", "step", "generation")

CHAIN: Final = select(chains).where(chains.c.id == bindparam("chain_id"))

STEPS: Final = (
    select(steps)
    .where(steps.c.chain_id == bindparam("chain_id"))
    .order_by(steps.c.generation, steps.c.step)
)
STEP: Final = select(steps).where(*(steps.c[name] == bindparam(name) for name in _KEY))
#: What a replay has carried over knows what follows the session.
STEP_BY_TOKEN: Final = (
    select(steps)
    .where(steps.c.token_hash == bindparam("token_hash"))
    .order_by(steps.c.generation.desc())
    .limit(1)
)

_LOCKED_CHAIN: Final = CHAIN.with_for_update()
_LOCKED_STEPS: Final = STEPS.with_for_update()
_LOCKED_PAIR: Final = (
    select(steps)
    .where(
        steps.c.chain_id == bindparam("chain_id"),
        steps.c.generation == bindparam("generation"),
        steps.c.step.between(bindparam("step"), bindparam("following")),
    )
    .order_by(steps.c.step)
    .with_for_update()
)
_REPLACE_CHAIN: Final = update(chains).where(chains.c.id == bindparam("chain_id"))
_ADD_CHAIN: Final = add_or_keep(chains, ("idempotency",))
BEGUN: Final = select(chains).where(
    chains.c.idempotency == bindparam("idempotency"),
    chains.c.created_at > bindparam("since"),
)
_FORGET_KEY: Final = (
    update(chains)
    .where(
        chains.c.idempotency == bindparam("key"),
        chains.c.created_at <= bindparam("since"),
    )
    .values(idempotency=None)
)
#: A session may outlive its chain: what it comes to has to be told and stored first.
_TO_LOOK_AT: Final = (
    select(steps.c.step)
    .where(steps.c.chain_id == chains.c.id, steps.c.check_at.is_not(None))
    .exists()
)
#: The next requestor, by name, of whom something has ended, and when the first of that.
#: As each has a time of its own, to look at all of them by time would find those whose
#: results are kept for long again and again.
_FIRST_ENDED: Final = (
    select(chains.c.requestor, chains.c.ended_at)
    .where(UNPURGED, chains.c.requestor > bindparam("after"))
    .order_by(chains.c.requestor, chains.c.ended_at)
    .limit(1)
)
_PURGEABLE: Final = (
    select(chains.c.id)
    .where(
        UNPURGED,
        chains.c.requestor == bindparam("requestor"),
        chains.c.ended_at < bindparam("before"),
        ~_TO_LOOK_AT,
    )
    .order_by(chains.c.ended_at)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_SECRETS: Final = [column.name for column in steps.c if column.name.startswith("sealed_")]
_PUT_STEP: Final = add_or_replace(steps, _KEY)

_DUE: Final = (
    select(steps)
    .where(steps.c.check_at <= bindparam("now"))
    .order_by(steps.c.check_at)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
#: Whether there is one, without a lock: most often there is none.
ANY_DUE: Final = select(steps.c.step).where(steps.c.check_at <= bindparam("now")).limit(1)


def look(connection: Connection, slot: Slot, now: Clock) -> View:
    """Lock the chain's row (rule H9), then read what is around the slot.

    Two statements: only the second is sure to see what the last holder of the lock wrote.
    It locks too, because the clock moves `check_at` without the chain's lock.

    Raises:
        UnknownChain: there is nothing to lock.
    """
    key = slot_values(slot)
    row = connection.execute(_LOCKED_CHAIN, key).mappings().one_or_none()
    if row is None:
        raise UnknownChain(f"there is no chain {slot.chain_id}")
    pair = key | {"following": slot.following.step}
    rows = connection.execute(_LOCKED_PAIR, pair).mappings()
    found = {step.slot: step for step in map(step_of, rows)}
    return View(
        chain=chain_of(row),
        step=found.get(slot),
        following=found.get(slot.following),
        now=now(),
    )


def add_chain(connection: Connection, chain: Chain) -> Chain | None:
    """Write a chain that was not there, unless its idempotency key has begun one.

    Of two requests at once the later one waits for the other's row and then finds it.
    """
    values = chain_values(chain)
    if chain.idempotency is None:
        connection.execute(chains.insert(), values)
        return None
    since = chain.created_at - IDEMPOTENCY
    connection.execute(_FORGET_KEY, {"key": chain.idempotency, "since": since})
    if connection.execute(_ADD_CHAIN[connection.dialect.name], values).rowcount == 1:
        return None
    parameters = {"idempotency": chain.idempotency, "since": since}
    return chain_of(connection.execute(BEGUN, parameters).mappings().one())


def purge(
    connection: Connection,
    ended_before: Callable[[str], datetime],
    now: datetime,
    limit: int,
) -> int:
    """Delete the secrets of chains that have ended before; what happened stays.

    Not before all of their sessions have ended too. Of each requestor the oldest go
    first, and of all of them those of the one whose are overdue for longest.
    """
    ids: list[str] = []
    for requestor, before in _overdue(connection, ended_before):
        if len(ids) == limit:
            break
        values = {"requestor": requestor, "before": before, "limit": limit - len(ids)}
        ids += connection.execute(_PURGEABLE, values).scalars()
    if ids:
        empty = dict.fromkeys(_SECRETS)
        connection.execute(update(steps).where(steps.c.chain_id.in_(ids)).values(**empty))
        mine = update(chains).where(chains.c.id.in_(ids))
        connection.execute(mine.values(purged_at=now, body_hash=None))
    return len(ids)


def _overdue(
    connection: Connection, ended_before: Callable[[str], datetime]
) -> list[tuple[str, datetime]]:
    """Requestors of whom something may be purged, and what of theirs ended before."""
    found: list[tuple[timedelta, str, datetime]] = []
    after = ""
    while first := connection.execute(_FIRST_ENDED, {"after": after}).one_or_none():
        after, ended_at = first.requestor, first.ended_at
        before = ended_before(after)
        if ended_at < before:
            found.append((before - ended_at, after, before))
    return [(requestor, before) for _, requestor, before in sorted(found, reverse=True)]


def look_at_all(connection: Connection, chain_id: str) -> tuple[Chain, list[Step]]:
    """Lock a chain's row (rule H9) and all its steps', and read them.

    Raises:
        UnknownChain: there is nothing to lock.
    """
    key = {"chain_id": chain_id}
    row = connection.execute(_LOCKED_CHAIN, key).mappings().one_or_none()
    if row is None:
        raise UnknownChain(f"there is no chain {chain_id}")
    rows = connection.execute(_LOCKED_STEPS, key).mappings()
    return chain_of(row), [step_of(one) for one in rows]


def replace_chain(connection: Connection, chain: Chain) -> None:
    """Write a chain's row anew."""
    connection.execute(_REPLACE_CHAIN, chain_values(chain) | {"chain_id": chain.id})


def put_steps(connection: Connection, rows: Sequence[Step]) -> None:
    """Create or replace rows."""
    if rows:
        statement = _PUT_STEP[connection.dialect.name]
        connection.execute(statement, [step_values(row) for row in rows])


def take_due(
    connection: Connection, now: datetime, *, lease: timedelta, limit: int
) -> list[Step]:
    """Take rows whose `check_at` has come, but not those that another is just taking."""
    due = connection.execute(_DUE, {"now": now, "limit": limit}).mappings()
    taken = [replace(step_of(row), check_at=now + lease) for row in due]
    if taken:
        keys = [tuple(slot_values(row.slot).values()) for row in taken]
        mine = tuple_(*(steps.c[name] for name in _KEY)).in_(keys)
        connection.execute(update(steps).where(mine).values(check_at=now + lease))
    return taken


def newest(state: str | None, requestor: str | None) -> Select[*tuple[object, ...]]:
    """Chains with their number of sessions; the chain's end takes a slot, but is none."""
    sessions = (
        select(func.coalesce(func.max(steps.c.step), 0))
        .where(steps.c.chain_id == chains.c.id, steps.c.state != StepState.END)
        .scalar_subquery()
    )
    query = select(chains, sessions.label("steps"))
    if state is not None:
        query = query.where(chains.c.state == state)
    if requestor is not None:
        query = query.where(chains.c.requestor == requestor)
    return query.order_by(chains.c.created_at.desc(), chains.c.id.desc())


def chain_row_of(row: RowMapping) -> ChainRow:
    """A row of `newest`."""
    return ChainRow(chain=chain_of(row), steps=row["steps"])
