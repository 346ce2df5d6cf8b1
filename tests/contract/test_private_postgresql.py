"""A private PostgreSQL cluster, and the server that someone named."""

import asyncio
import ctypes
import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection
from yarl import URL

from orchestrator.domain.errors import StoreUnavailable
from orchestrator.local import cluster
from orchestrator.local.postgresql import (
    Postgresql,
    PostgresqlError,
    given_postgresql,
    private_postgresql,
)
from orchestrator.store.database import open_database
from tests.broker.local_support import IPV4, ended, listening_addresses, python


async def ask(url: str, *statements: str) -> object:
    """Run statements on a connection of its own; what the last one answers."""

    def act(connection: Connection) -> object:
        results = [connection.exec_driver_sql(statement) for statement in statements]
        return results[-1].scalar() if results[-1].returns_rows else None

    async with open_database(url) as database:
        return await database.write(act)


def processes_of(server_pid: int) -> set[int]:
    """The server and its helpers."""
    children = Path(f"/proc/{server_pid}/task/{server_pid}/children").read_text()
    return {server_pid, *map(int, children.split())}


async def test_a_database_is_fresh_and_removed_afterwards(
    postgresql: Postgresql,
) -> None:
    """Even while somebody is connected to it."""
    async with postgresql.database(f"test-{uuid.uuid4()}") as url:
        await ask(url, "CREATE TABLE mine ()")
        async with open_database(url) as late:
            await late.look(lambda connection: connection.exec_driver_sql("SELECT 1"))
            assert await ask(url, "SELECT count(*) FROM pg_class WHERE relname='mine'")
    with pytest.raises(StoreUnavailable, match="3D000"):
        await ask(url, "SELECT 1")


async def test_a_named_server_is_used_as_it_is(postgresql: Postgresql) -> None:
    """Given its URL, a server is found with its version, and databases can be made."""
    named = await given_postgresql(postgresql.url)
    assert (named.version, named.server) == (postgresql.version, None)
    async with named.database(f"test-{uuid.uuid4()}") as url:
        assert await ask(url, "SELECT 1") == 1


@pytest.mark.parametrize(
    "url,why", [("127.0.0.1:1/x", "ConnectionRefused"), ("h:port/x", "cannot be read")]
)
async def test_a_named_server_that_is_not_there_is_an_error(url: str, why: str) -> None:
    """The error names the variable, never the credentials."""
    with pytest.raises(PostgresqlError, match=f"POSTGRESQL_URL.*{why}") as error:
        await given_postgresql(f"postgresql://user:s3cret@{url}")
    assert "s3cret" not in str(error.value)


async def test_a_named_server_has_to_let_us_make_databases(
    postgresql: Postgresql,
) -> None:
    """The error says which right its role lacks."""
    role = f"test-{uuid.uuid4()}"
    await ask(postgresql.url, f"CREATE ROLE \"{role}\" LOGIN PASSWORD 'p'")
    try:
        with pytest.raises(PostgresqlError, match=r"POSTGRESQL_URL: .*CREATEDB"):
            await given_postgresql(
                str(URL(postgresql.url).with_user(role).with_password("p"))
            )
    finally:
        await ask(postgresql.url, f'DROP ROLE "{role}"')


async def test_a_machine_without_postgresql_is_told_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the server is not installed, the error says how to install or name one."""
    monkeypatch.setattr(cluster, "VERSIONS", tmp_path / "none")
    with pytest.raises(PostgresqlError, match=r"setup\.sh --tests.*POSTGRESQL_URL"):
        await private_postgresql(tmp_path).__aenter__()


async def test_root_needs_a_user_to_run_the_server_as(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the package's user is missing, the error says so and how to do without."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(cluster, "SYSTEM_USER", f"nobody-{uuid.uuid4()}")
    with pytest.raises(PostgresqlError, match=r"no user nobody-.*POSTGRESQL_URL"):
        await private_postgresql(tmp_path).__aenter__()


async def test_a_server_that_does_not_start_is_told_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster that cannot be made is an error that quotes what initdb said."""
    monkeypatch.setattr(cluster, "ROLE", "pg_refused")
    with pytest.raises(PostgresqlError, match=r"did not start(?s:.)*pg_refused"):
        await private_postgresql(tmp_path).__aenter__()


async def test_a_killed_server_comes_back_with_its_data(stoppable: Postgresql) -> None:
    """It listens on loopback only, is never root, and keeps data through kill -9."""
    assert stoppable.server is not None
    pids = processes_of(stoppable.server.pid)
    assert listening_addresses(pids) == {IPV4}
    owner = pwd.getpwuid(Path(f"/proc/{stoppable.server.pid}").stat().st_uid)
    assert owner.pw_uid != 0
    async with stoppable.database(f"test-{uuid.uuid4()}") as url:
        await ask(url, "CREATE TABLE kept AS SELECT 7 AS number")
        await stoppable.server.kill()
        await ended(pids)
        await stoppable.server.start()
        assert await ask(url, "SELECT number FROM kept") == 7


SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from orchestrator.local.postgresql import private_postgresql

async def main(run_dir: Path) -> None:
    async with private_postgresql(run_dir, durable=False) as private:
        print(private.server.pid, flush=True)
        if sys.argv[2] == "stay":
            await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the supervisor makes temporary folders; the server's user may enter it."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    for left in folder.glob("*/data/postmaster.pid"):
        remove_shared_memory(left)
    shutil.rmtree(folder)


def remove_shared_memory(pid_file: Path) -> None:
    """The kernel keeps 56 bytes of a killed server, until it is started again."""
    _, segment = pid_file.read_text().splitlines()[6].split()
    assert ctypes.CDLL(None).shmctl(int(segment), 0, None) == 0  # IPC_RMID


@pytest.mark.parametrize("what", ["stay", "go"])
async def test_a_server_does_not_outlive_its_supervisor(
    tmp_path: Path, temporary: Path, what: str
) -> None:
    """Killed or done, server and helpers are gone; done, it leaves no folder behind."""
    supervisor = await asyncio.create_subprocess_exec(
        *python(SUPERVISOR, str(tmp_path), what), stdout=subprocess.PIPE
    )
    assert supervisor.stdout is not None
    running = {int(await supervisor.stdout.readline())}
    if what == "stay":
        running |= processes_of(*running)
        supervisor.kill()
    await supervisor.wait()
    await ended(running)
    assert bool(list(temporary.iterdir())) is (what == "stay")
