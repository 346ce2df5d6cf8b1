"""The one statement that the databases spell with different constructs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Executable, Table

#: One statement for each dialect, by its name.
ByDialect = dict[str, "Executable"]


def add_or_keep(table: Table, key: Sequence[str]) -> ByDialect:
    """An INSERT that leaves a row alone whose key is there already."""
    return {
        "postgresql": postgresql.insert(table).on_conflict_do_nothing(index_elements=key),
        "sqlite": sqlite.insert(table).on_conflict_do_nothing(index_elements=key),
    }


def add_or_replace(table: Table, key: Sequence[str]) -> ByDialect:
    """An INSERT that replaces a row whose key is there already; numbers stay."""
    others = [c.name for c in table.c if c.name not in key and not c.primary_key]
    to_postgresql, to_sqlite = postgresql.insert(table), sqlite.insert(table)
    return {
        "postgresql": to_postgresql.on_conflict_do_update(
            index_elements=key, set_={o: to_postgresql.excluded[o] for o in others}
        ),
        "sqlite": to_sqlite.on_conflict_do_update(
            index_elements=key, set_={o: to_sqlite.excluded[o] for o in others}
        ),
    }
