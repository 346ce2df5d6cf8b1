"""Very many chains that have failed, made by the database itself.

All are copies of one chain that has failed. Secrets are bound to their rows, so what is
sealed in the copies cannot be opened: enough to be counted, claimed and let go of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import String, cast, func, insert, literal, literal_column, select, text

from orchestrator.store.database import Database
from orchestrator.store.tables import chains, failures, steps

if TYPE_CHECKING:
    from sqlalchemy import Column, ColumnElement, Connection, FromClause, Table

#: Chains of one transaction.
_AT_ONCE: Final = 50_000

_TABLES: Final = ((chains, "id"), (steps, "chain_id"), (failures, "chain_id"))

#: As long as a ULID; none begins like this before the year 2100.
_ID_CHARS: Final = 26
_ID_BEGINS: Final = "5"


async def multiply(database: Database, chain_id: str, count: int) -> None:
    """So many copies of a chain: its rows and its failure."""
    for first in range(1, count + 1, _AT_ONCE):
        last = min(first + _AT_ONCE - 1, count)

        def act(connection: Connection, first: int = first, last: int = last) -> None:
            numbers = _numbers(connection, first, last)
            copy = _copy_id(connection, numbers.c.n)
            for table, key in _TABLES:
                source = table.c[key] == chain_id
                copied = select(*_values(table, key, copy)).where(source)
                rows = copied.select_from(table.join(numbers, literal(value=True)))
                names = [column.name for column in _columns(table)]
                connection.execute(insert(table).from_select(names, rows))

        await database.write(act)
    # As a database that has grown by itself would have it.
    await database.write(lambda connection: connection.execute(text("ANALYZE")).close())


def _columns(table: Table) -> list[Column[Any]]:
    """All but what counts by itself."""
    return [column for column in table.c if column.name != "number"]


def _values(table: Table, key: str, copy: ColumnElement[str]) -> list[ColumnElement[Any]]:
    """A row under another name."""
    return [copy if one.name == key else one for one in _columns(table)]


def _numbers(connection: Connection, first: int, last: int) -> FromClause:
    if connection.dialect.name == "postgresql":
        series = func.generate_series(first, last).table_valued("n")
        return series.render_derived(name="numbers")
    begin = select(literal(first).label("n")).cte("numbers", recursive=True)
    return begin.union_all(select(begin.c.n + 1).where(begin.c.n < last))


def _copy_id(connection: Connection, number: ColumnElement[int]) -> ColumnElement[str]:
    digits = _ID_CHARS - len(_ID_BEGINS)
    if connection.dialect.name == "postgresql":
        padded: ColumnElement[str] = func.lpad(cast(number, String), digits, "0")
    else:
        padded = func.printf(f"%0{digits}d", number)
    return literal_column(f"'{_ID_BEGINS}'", String) + padded
