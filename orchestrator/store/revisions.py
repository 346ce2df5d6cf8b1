"""Which schema a database has, and whether this program knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import inspect, text

from orchestrator.domain.errors import NotConfigured
from orchestrator.store.database import is_missing, open_database

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: The revisions under `migrations/versions`, the oldest first; a test compares them.
REVISIONS: Final = (
    "0001",
    "0002",
    "0003",
    "0004",
    "0005",
    "0006",
    "0008",
    "0009",
    "0010",
    "0011",
)


async def check_schema(url: str) -> None:
    """Do nothing if the database has the schema this program knows.

    It only looks: it takes no lock and makes no file.

    Raises:
        NotConfigured: it has another; the text says what to do.
        StoreUnavailable: the database cannot be reached.
    """
    async with open_database(url) as database:
        if is_missing(url):
            raise NotConfigured("there is no database yet: run `chainctl db upgrade`")
        found = await database.look(_found)
    if found == REVISIONS[-1]:
        return
    if found in {None, *REVISIONS}:
        raise NotConfigured(
            f"the database is at revision {found or 'none'}, this program needs "
            f"{REVISIONS[-1]}: run `chainctl db upgrade`"
        )
    raise NotConfigured(
        f"the database is at revision {found}, which this program does not know: "
        "it is newer, run the newer program"
    )


def _found(connection: Connection) -> str | None:
    """What Alembic has noted; its table is not there before the first upgrade."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)
