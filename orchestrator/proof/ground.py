"""What every proof stands on: a run folder, a broker, and a database if it asks."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from orchestrator.local.postgresql import (
    Postgresql,
    given_postgresql,
    private_postgresql,
)
from orchestrator.local.rabbitmq import Broker, broker
from orchestrator.local.stack import Plan, Stack, sandbox_and_endpoint
from orchestrator.proof.lab import Lab, lab_at_work
from orchestrator.proof.names import Databases
from orchestrator.proof.report import Report


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What a proof runs on; every installation gets a vhost and a database of its own."""

    run_dir: Path
    broker: Broker
    postgresql: Postgresql | None
    versions: Mapping[str, str] = field(default_factory=dict)

    @asynccontextmanager
    async def lab(self, plan: Plan) -> AsyncIterator[Lab]:
        """A whole installation, stopped afterwards; its files stay in the run folder."""
        async with (
            self._place(plan) as (run_dir, vhost_url, placed),
            lab_at_work(run_dir, vhost_url, placed) as lab,
        ):
            yield lab

    @asynccontextmanager
    async def stack(self, plan: Plan) -> AsyncIterator[Stack]:
        """The same, and nobody who looks at its events."""
        async with (
            self._place(plan) as (run_dir, vhost_url, placed),
            sandbox_and_endpoint(run_dir, placed) as around,
            around.started(vhost_url) as stack,
        ):
            yield stack

    @asynccontextmanager
    async def _place(self, plan: Plan) -> AsyncIterator[tuple[Path, str, Plan]]:
        """A folder, a vhost and a database."""
        name = f"proof-{secrets.token_hex(6)}"
        run_dir = self.run_dir / name
        run_dir.mkdir()
        async with AsyncExitStack() as stack:
            vhost_url = await stack.enter_async_context(self.broker.vhost(name))
            if self.postgresql is not None:
                url = await stack.enter_async_context(self.postgresql.database(name))
                plan = replace(plan, database_url=url)
            yield run_dir, vhost_url, plan


@asynccontextmanager
async def ground(
    run_dir: Path, environ: Mapping[str, str], database: Databases
) -> AsyncIterator[Ground]:
    """Broker and database: those that were named, else private ones.

    Raises:
        BrokerError, ManagementError, PostgresqlError: there is none to work with.
    """
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(
            broker(
                run_dir,
                environ.get("RABBITMQ_URL"),
                environ.get("RABBITMQ_MANAGEMENT_URL"),
            )
        )
        cluster = None
        versions = {"rabbitmq": running.version}
        if database is Databases.POSTGRESQL:
            cluster = await stack.enter_async_context(
                _postgresql(run_dir, environ.get("POSTGRESQL_URL"))
            )
            versions["postgresql"] = cluster.version
        else:
            versions["sqlite"] = sqlite3.sqlite_version
        yield Ground(
            run_dir=run_dir, broker=running, postgresql=cluster, versions=versions
        )


@asynccontextmanager
async def _postgresql(run_dir: Path, url: str | None) -> AsyncIterator[Postgresql]:
    """A private one writes to the disk, as an operator's would."""
    if url is not None:
        yield await given_postgresql(url)
        return
    async with private_postgresql(run_dir) as private:
        yield private


#: A proof: told what it stands on and where to say how far it is, it finds what it finds.
Proof = Callable[[Ground, Callable[[str], None]], Awaitable[Report]]
