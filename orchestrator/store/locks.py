"""Things that one process at a time may do, though they lock no row of their own.

On SQLite a transaction that writes is alone anyway; on PostgreSQL it takes a lock by
number, which goes with the transaction.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from sqlalchemy import func, select

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Alone(IntEnum):
    """What is done alone; any numbers will do, as long as they never change."""

    UPGRADE = 7_203_114_809_661_245
    APPEND = 7_203_114_809_661_246


def alone(connection: Connection, what: Alone) -> None:
    """Wait until nobody else does this, and keep others waiting until the commit."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(what)))
