"""Sealing keys: which of them rows still name, and when they were used last.

An envelope names its key in front of what is sealed (`v1.<key id>.…`); a message has its
envelope in its body. To count is to look at every row, which only operators ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    Text,
    bindparam,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from orchestrator.domain.chain import Slot, Step
from orchestrator.domain.key_retirement import KeyUse
from orchestrator.ports import Waiting
from orchestrator.store.rows import slot_values, step_of, step_values, waiting_of
from orchestrator.store.tables import metadata, sealing_keys, steps, waiting
from orchestrator.store.upsert import add_or_keep

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Column, ColumnElement, Connection, RowMapping, Select, Table

ALL: Final = select(sealing_keys).order_by(sealing_keys.c.key_id)

_ADD: Final = add_or_keep(sealing_keys, ["key_id"])
_USED: Final = (
    update(sealing_keys)
    .where(
        sealing_keys.c.key_id == bindparam("used"),
        or_(
            sealing_keys.c.last_used_at.is_(None),
            sealing_keys.c.last_used_at < bindparam("now"),
        ),
    )
    .values(last_used_at=bindparam("now"))
)

#: Pages of rows. What somebody else has locked is passed over: to wait for it with other
#: rows in hand might never end.
_STEPS: Final = (
    select(steps)
    .where(
        tuple_(steps.c.chain_id, steps.c.step, steps.c.generation)
        > tuple_(bindparam("chain_id"), bindparam("step"), bindparam("generation"))
    )
    .order_by(steps.c.chain_id, steps.c.step, steps.c.generation)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_WAITING: Final = (
    select(waiting)
    .where(waiting.c.number > bindparam("after"))
    .order_by(waiting.c.number)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_FIRST: Final = Slot(chain_id="", step=0)

_ROWS: Final = "rows"
_HEAD: Final = "v1."
_IN_BODY: Final = f'"sealed":"{_HEAD}'


def note(
    connection: Connection, *, used: Iterable[str], known: Iterable[str], now: datetime
) -> None:
    """Note keys that are used now, and keys that are known; a later time stays."""
    used = sorted(used)
    add = _ADD[connection.dialect.name]
    for key_id in sorted({*used, *known}):
        values = {"key_id": key_id, "first_seen_at": now, "last_used_at": None}
        connection.execute(add, values)
    for key_id in used:
        connection.execute(_USED, {"used": key_id, "now": now})


def key_use_of(row: RowMapping) -> KeyUse:
    """A row as what is noted of a key."""
    return KeyUse(
        key_id=row["key_id"],
        first_seen_at=row["first_seen_at"],
        last_used_at=row["last_used_at"],
    )


def count(connection: Connection) -> dict[str, dict[str, int]]:
    """How many rows name a key, by key and table; a row may name several."""
    counts: dict[str, dict[str, int]] = {}
    for table in metadata.sorted_tables:
        keys = _keys(table, connection.dialect.name)
        if not keys:
            continue
        for group in connection.execute(_grouped(table, keys)).mappings():
            named = {group[name] for name in group if name != _ROWS}
            for key_id in named - {None, ""}:
                of_key = counts.setdefault(key_id, {})
                of_key[table.name] = of_key.get(table.name, 0) + group[_ROWS]
    return counts


def reseal_steps(
    connection: Connection, rule: Callable[[Step], Step], after: Slot | None, limit: int
) -> tuple[Slot | None, int]:
    """Write the secrets of a page of rows anew; the last row, and how many changed."""
    place = slot_values(after or _FIRST) | {"limit": limit}
    rows = [step_of(row) for row in connection.execute(_STEPS, place).mappings()]
    changed = 0
    for row in rows:
        before, after_it = _sealed(row), _sealed(rule(row))
        if before != after_it:
            mine = (
                steps.c[name] == value for name, value in slot_values(row.slot).items()
            )
            connection.execute(update(steps).where(*mine).values(**after_it))
            changed += 1
    return (rows[-1].slot if rows else None), changed


def _sealed(row: Step) -> dict[str, object]:
    values = step_values(row)
    return {name: values[name] for name in values if name.startswith("sealed_")}


def reseal_waiting(
    connection: Connection, rule: Callable[[Waiting], bytes], after: int, limit: int
) -> tuple[int | None, int]:
    """Write the messages of a page of rows anew; last number, and how many changed."""
    page = {"after": after, "limit": limit}
    rows = connection.execute(_WAITING, page).mappings().all()
    changed = 0
    for row in rows:
        body = rule(waiting_of(row))
        if body != row["body"]:
            mine = waiting.c.number == row["number"]
            connection.execute(update(waiting).where(mine).values(body=body))
            changed += 1
    return (rows[-1]["number"] if rows else None), changed


def _grouped(table: Table, keys: list[ColumnElement[str]]) -> Select[*tuple[object, ...]]:
    """Rows by the keys that they name: one pass, and few groups."""
    named = [key.label(f"key_{number}") for number, key in enumerate(keys)]
    each = select(*named).select_from(table).subquery()
    return select(*each.c, func.count().label(_ROWS)).group_by(*each.c)


def _keys(table: Table, dialect: str) -> list[ColumnElement[str]]:
    """The key that each of a table's envelopes names; none where nothing is sealed."""
    if table is waiting:
        return [_key_in_body(dialect)]
    return [
        _key_in(column, dialect)
        for column in table.c
        if column.name == "sealed" or column.name.startswith("sealed_")
    ]


def _key_in(column: Column[str], dialect: str) -> ColumnElement[str]:
    if dialect == "postgresql":
        key: ColumnElement[str] = func.split_part(column, ".", 2)
    else:
        key = _before_dot(func.substr(column, len(_HEAD) + 1))
    return case((column.like(f"{_HEAD}%.%"), key))


def _key_in_body(dialect: str) -> ColumnElement[str]:
    if dialect == "postgresql":
        plain = func.encode(waiting.c.body, "escape")
        pattern = _IN_BODY.replace(".", "[.]") + "([^.]+)[.]"
        found: ColumnElement[str] = func.substring(plain, pattern)
        return found
    text = cast(waiting.c.body, Text)
    at = func.instr(text, literal(_IN_BODY))
    return case((at > 0, _before_dot(func.substr(text, at + len(_IN_BODY)))))


def _before_dot(text: ColumnElement[str]) -> ColumnElement[str]:
    """What stands before the first dot, as SQLite says it."""
    key: ColumnElement[str] = func.substr(text, 1, func.instr(text, ".") - 1)
    return key
