"""A PostgreSQL to work with: the one that was named, or a private cluster of this run."""

import asyncio
import os
import random
import secrets
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from sqlalchemy import Connection
from yarl import URL

from orchestrator.domain.errors import NotConfigured, StoreUnavailable
from orchestrator.local import cluster
from orchestrator.local.cluster import Cluster
from orchestrator.local.ports import free_ports, taken
from orchestrator.local.processes import ProcessError, Processes
from orchestrator.store.database import open_database

#: An initialised cluster serves within half a second; the rest is for a busy machine.
BOOT_TIMEOUT_S: Final = 30.0
#: Between two looks whether a starting server answers already.
LOOK_S: Final = 0.02
#: A port may be taken between choosing and binding; thrice in a row is something else.
TRIES: Final = 3
#: To make a database takes 50 ms, and on a busy disk as long as it takes.
PATIENCE_S: Final = 60.0

SERVER: Final = "postgres"


class PostgresqlError(Exception):
    """No PostgreSQL to work with; the text says why and what to do."""


@dataclass(frozen=True)
class Postgresql:
    """A running PostgreSQL on which databases can be made."""

    #: A database to ask from, with credentials.
    url: str = field(repr=False)
    version: str
    #: The process behind it, if it is ours to stop and start.
    server: "PrivateCluster | None" = field(default=None, repr=False)

    @asynccontextmanager
    async def database(self, name: str) -> AsyncIterator[str]:
        """The URL of a fresh database, which is removed afterwards."""
        try:
            await _ask(self.url, f'CREATE DATABASE "{name}"')
            yield str(URL(self.url).with_path(f"/{name}"))
        finally:
            await _ask(self.url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


class PrivateCluster:
    """A cluster in its own folder and its server; may be stopped and started."""

    def __init__(
        self, bin_folder: Path, made: Cluster, user: str | None, processes: Processes
    ) -> None:
        self._bin = bin_folder
        self._cluster = made
        self._user = user
        self._processes = processes

    @property
    def url(self) -> str:
        """Its first database, with the credentials of its only role."""
        return self._cluster.url

    @property
    def pid(self) -> int:
        """The server's process id, while it runs."""
        return self._processes.pid(SERVER)

    async def boot(self) -> None:
        """Make the cluster and start it, on another port if that was snatched away."""
        cluster.write_password(self._cluster)
        cluster.hand_over(self._cluster, self._user)
        await self._processes.run(
            "initdb",
            cluster.initdb_argv(self._bin, self._cluster),
            cwd=self._cluster.folder,
            user=self._user,
        )
        self._cluster.password_file.unlink()
        for tries_left in reversed(range(TRIES)):
            try:
                await self.start()
            except ProcessError:
                if not tries_left or not taken([self._cluster.port]):
                    raise
                self._cluster = replace(self._cluster, port=_choose_port())
            else:
                return

    async def start(self) -> None:
        """Start the server unless it runs; ready when it answers."""
        if self._processes.runs(SERVER):
            return
        await self._processes.start(
            SERVER,
            cluster.server_argv(self._bin, self._cluster),
            ready=self._answers,
            ready_timeout_s=BOOT_TIMEOUT_S,
            cwd=self._cluster.folder,
            user=self._user,
        )

    async def stop(self) -> None:
        """Stop the server as an operator would, whoever is connected."""
        await self._processes.stop(SERVER, by=signal.SIGINT)

    async def kill(self) -> None:
        """End the server and its helpers by kill -9."""
        helpers = _children(self.pid)  # each leads a group of its own
        await self._processes.kill(SERVER)
        for pid in helpers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def end(self) -> None:
        """Stop at once: whoever starts it again has to repair it first."""
        await self._processes.stop(SERVER, by=signal.SIGQUIT)

    async def _answers(self) -> None:
        while True:
            with suppress(StoreUnavailable):
                await _ask(self.url, "SELECT 1")
                return
            await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def postgresql(run_dir: Path, url: str | None) -> AsyncIterator[Postgresql]:
    """The server at `url`; without one, a private cluster that spares the disk.

    Raises:
        PostgresqlError: there is none to work with.
    """
    if url is not None:
        yield await given_postgresql(url)
        return
    async with private_postgresql(run_dir, durable=False) as private:
        yield private


@asynccontextmanager
async def private_postgresql(
    run_dir: Path, *, durable: bool = True
) -> AsyncIterator[Postgresql]:
    """A private cluster, removed in the end; its log stays under `run_dir`.

    Its data are in a temporary folder: as root we start the server as another user, to
    whom a run folder of ours need not be open.

    Raises:
        PostgresqlError: it did not start.
    """
    bin_folder, user = _programs_and_user()
    with tempfile.TemporaryDirectory(
        prefix="session-chain-postgresql-", ignore_cleanup_errors=True
    ) as folder:
        made = Cluster(Path(folder), _choose_port(), secrets.token_hex(24), durable)
        async with Processes(run_dir / "postgresql") as processes:
            private = PrivateCluster(bin_folder, made, user, processes)
            try:
                await private.boot()
            except ProcessError as error:
                raise PostgresqlError(
                    f"the private PostgreSQL did not start: {error}\nName a running one"
                    " in POSTGRESQL_URL"
                ) from error
            try:
                yield Postgresql(private.url, await _version(private.url), private)
            finally:
                await private.end()


async def given_postgresql(url: str) -> Postgresql:
    """The server that someone named, once it has answered.

    Raises:
        PostgresqlError: it does not answer us, or we may make no databases there.
    """
    remedy = "correct it, or unset it for a private cluster"
    try:
        version = await _version(url)
        may_create = await _ask(
            url, "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname=current_user"
        )
    except (NotConfigured, StoreUnavailable) as error:
        raise PostgresqlError(f"POSTGRESQL_URL: {error}; {remedy}") from error
    if not may_create:
        raise PostgresqlError(f"POSTGRESQL_URL: its role lacks CREATEDB; {remedy}")
    return Postgresql(url, version)


def _programs_and_user() -> tuple[Path, str | None]:
    remedy = (
        "Run deploy/local/setup.sh --tests (as make test does), or name a running"
        " PostgreSQL in POSTGRESQL_URL"
    )
    bin_folder = cluster.programs()
    if bin_folder is None:
        raise PostgresqlError(f"no PostgreSQL under {cluster.VERSIONS}. {remedy}")
    try:
        return bin_folder, cluster.system_user()
    except KeyError:
        raise PostgresqlError(
            f"PostgreSQL refuses root, and there is no user {cluster.SYSTEM_USER} to run"
            f" it as. {remedy}"
        ) from None


async def _version(url: str) -> str:
    return str(await _ask(url, "SHOW server_version"))


async def _ask(url: str, statement: str) -> object:
    """Run one statement on a connection of its own, outside any transaction."""

    def act(connection: Connection) -> object:
        result = connection.exec_driver_sql(statement)
        return result.scalar() if result.returns_rows else None

    async with open_database(url, patience_s=PATIENCE_S) as database:
        return await database.look(act)


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()]


def _choose_port() -> int:
    (port,) = free_ports(1, random.SystemRandom())
    return port
