"""Brings a database up to date. Alembic is heavy, so only who upgrades loads this."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from alembic import command
from alembic.config import Config

from orchestrator.store.database import open_database
from orchestrator.store.locks import Alone, alone

if TYPE_CHECKING:
    from sqlalchemy import Connection

_MIGRATIONS: Final = Path(__file__).with_name("migrations")

#: An upgrade may have to rewrite tables, or wait for another process that does.
_UPGRADE_PATIENCE_S: Final = 600.0


async def migrate(url: str) -> None:
    """Upgrade to the newest revision, all or nothing; one process at a time.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    async with open_database(url, patience_s=_UPGRADE_PATIENCE_S) as database:
        await database.write(_upgrade)


def _upgrade(connection: Connection) -> None:
    alone(connection, Alone.UPGRADE)
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
