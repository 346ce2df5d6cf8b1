"""The schema: revisions and tables say the same, and upgrading is safe at any time."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from orchestrator.domain.errors import NotConfigured, StoreUnavailable
from orchestrator.store import check_schema, revisions, schema
from orchestrator.store.database import open_database
from orchestrator.store.schema import migrate
from orchestrator.store.tables import metadata


def differences(connection: Connection) -> list[object]:
    """What Alembic would write into a new revision."""
    options = {"compare_type": True, "compare_server_default": True}
    context = MigrationContext.configure(connection, opts=options)
    found: list[object] = compare_metadata(context, metadata)
    return found


async def test_the_migrated_schema_is_the_one_in_the_tables(url: str) -> None:
    """Whoever changes a table without a revision is told here."""
    async with open_database(url) as database:
        assert await database.write(differences) == []


def test_the_known_revisions_are_those_there_are() -> None:
    """The list that processes go by at start is that of the migrations."""
    folder = Path(schema.__file__).with_name("migrations")
    scripts = ScriptDirectory(str(folder)).walk_revisions()
    assert tuple(script.revision for script in scripts)[::-1] == revisions.REVISIONS


async def test_an_upgraded_database_passes(url: str) -> None:
    """Upgrading again changes nothing."""
    await migrate(url)
    await check_schema(url)


async def test_an_old_database_is_told_with_the_remedy(empty_url: str) -> None:
    """The text says what to type."""
    async with open_database(empty_url) as database:
        await database.write(lambda _: None)

    with pytest.raises(NotConfigured, match=r"revision none.*`chainctl db upgrade`"):
        await check_schema(empty_url)


async def test_a_missing_file_is_told_with_the_remedy(tmp_path: Path) -> None:
    """To look makes no file, and does not repeat where it should have been."""
    path = tmp_path / "missing" / "chains.db"

    for _ in range(2):
        with pytest.raises(NotConfigured, match="`chainctl db upgrade`") as caught:
            await check_schema(f"sqlite:///{path}")
        assert "missing" not in str(caught.value)
        path.parent.mkdir(exist_ok=True)

    assert list(path.parent.iterdir()) == []


async def test_a_file_that_cannot_be_looked_for_is_away(tmp_path: Path) -> None:
    """An upgrade would not find it either."""
    with pytest.raises(StoreUnavailable, match="SQLITE_CANTOPEN"):
        await check_schema(f"sqlite:///{tmp_path / ('x' * 300)}")


async def test_looking_at_the_schema_waits_for_no_writer(tmp_path: Path) -> None:
    """A process starts though another one is in the middle of a long transaction."""
    path = tmp_path / "chains.db"
    await migrate(f"sqlite:///{path}")
    with closing(sqlite3.connect(path, isolation_level=None)) as rival:
        rival.execute("BEGIN IMMEDIATE")
        await check_schema(f"sqlite:///{path}")


async def test_a_newer_database_is_told_apart(empty_url: str) -> None:
    """An upgrade with this program would not help."""
    await migrate(empty_url)
    newer = text("UPDATE alembic_version SET version_num = 'f00f'")
    async with open_database(empty_url) as database:
        await database.write(lambda connection: connection.execute(newer).rowcount)

    with pytest.raises(NotConfigured, match=r"revision f00f.*newer program"):
        await check_schema(empty_url)


async def test_several_processes_may_upgrade_at_once(empty_url: str) -> None:
    """One does it, the others find it done."""
    program = "import asyncio, sys; from orchestrator.store.schema import migrate;"
    program += "asyncio.run(migrate(sys.argv[1]))"
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, empty_url)
        for _ in range(3)
    ]
    ended = await asyncio.wait_for(
        asyncio.gather(*(process.wait() for process in processes)), 30
    )

    assert ended == [0, 0, 0]
    await check_schema(empty_url)


async def test_a_failed_upgrade_leaves_nothing_behind(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All revisions or none: the next attempt starts where this one did."""
    broken = tmp_path / "100% broken"
    shutil.copytree(schema._MIGRATIONS, broken)
    (broken / "versions" / "r9999_broken.py").write_text(
        "revision = 'broken'\n"
        f"down_revision = '{revisions.REVISIONS[-1]}'\n"
        "def upgrade():\n"
        "    raise ZeroDivisionError\n"
    )
    with monkeypatch.context() as patch:
        patch.setattr(schema, "_MIGRATIONS", broken)
        with pytest.raises(ZeroDivisionError):
            await migrate(empty_url)

    async with open_database(empty_url) as database:
        tables = await database.write(lambda c: inspect(c).get_table_names())
    assert tables == []
