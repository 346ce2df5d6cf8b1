"""Starts a detached session on its own, under a lease (handover.md, H7 and H8)."""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from ulid import ULID

from orchestrator.domain import handover
from orchestrator.domain.chain import Slot
from orchestrator.domain.errors import BackendRefused, BackendUnavailable, UnknownChain
from orchestrator.domain.handover import Lease, WentLive
from orchestrator.ports import Backend, Publisher, Started, Store
from orchestrator.rows import RowSecrets
from orchestrator.rulings import Rulings

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Starter:
    """Turns rows that are `detached` into live sessions."""

    store: Store
    rulings: Rulings
    publisher: Publisher
    rows: RowSecrets
    backend: Backend
    owner: str

    async def start(self, slot: Slot) -> None:
        """Lease the row, start its session, and announce it."""
        # Every lease has an owner of its own, so that two of one process are two as well.
        owner = f"{self.owner}-{ULID()}"
        lease, again = await self.rulings.by_message(
            slot, lambda view: handover.lease_start(view, slot, owner=owner)
        )
        if lease is not Lease.MINE:
            await self.publisher.publish(*again)
            return
        row = await self.store.step(slot)
        if row is None:
            raise UnknownChain("a leased row is gone")
        try:
            started = await self.backend.start(self.rows.prepared(row))
        except BackendUnavailable:
            _log.warning("session.backend_away")
            await self.rulings.by_outbox(
                slot, lambda view: handover.start_later(view, owner=owner)
            )
        except BackendRefused as error:
            await self._refused(slot, owner, error)
        else:
            await self._live(slot, owner, started)

    async def _live(self, slot: Slot, owner: str, started: Started) -> None:
        """Only the lease's owner makes it live; else the new session is cancelled."""
        token_hash = self.rows.sealer.token_hash(started.token)
        sealed_token = self.rows.seal_token(slot, started.token)
        sealed_package = self.rows.seal_package(slot, started.package)
        outcome = await self.rulings.by_outbox(
            slot,
            lambda view: handover.went_live(
                view,
                slot,
                owner=owner,
                token_hash=token_hash,
                sealed_token=sealed_token,
                sealed_package=sealed_package,
            ),
        )
        _log.info("session.started", outcome=outcome.name)
        if outcome is WentLive.SUPERSEDED:
            await self.backend.cancel(started.token)

    async def _refused(self, slot: Slot, owner: str, error: BackendRefused) -> None:
        reason = f"the backend refused the next session: {error}"
        await self.rulings.by_outbox(
            slot,
            lambda view: handover.start_refused(view, slot, owner=owner, reason=reason),
        )
        _log.warning("session.refused", status=error.status, error=error.error)
