"""Starts a detached session on its own, under a lease (handover.md, H7 and H8)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import structlog
from ulid import ULID

from orchestrator.domain import disclosure, handover
from orchestrator.domain.chain import Slot, Step
from orchestrator.domain.errors import BackendRefused, BackendUnavailable, UnknownChain
from orchestrator.domain.handover import Lease, WentLive
from orchestrator.domain.ruling import preceding
from orchestrator.ports import Backend, Publisher, Started, Store
from orchestrator.rows import RowSecrets
from orchestrator.rulings import Rulings
from schemas.irma import SessionRequest

_log = structlog.get_logger(__name__)

#: The claim stores the result in the transaction that makes the row, so it will not come
#: any more; without it the user could go on as somebody else.
NOT_STORED: Final = "what was disclosed before is not stored, so it cannot be required"


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
        request = await self._request(row)
        if request is None:
            await self._refused(slot, owner, NOT_STORED)
            return
        try:
            started = await self.backend.start(request)
        except BackendUnavailable:
            _log.warning("session.backend_away")
            await self.rulings.by_outbox(
                slot, lambda view: handover.start_later(view, owner=owner)
            )
        except BackendRefused as error:
            _log.warning("session.refused", status=error.status, error=error.error)
            reason = f"the backend refused the next session: {error}"
            await self._refused(slot, owner, reason)
        else:
            await self._live(slot, owner, started)

    async def _request(self, row: Step) -> SessionRequest | None:
        """What the backend gets; None where what was disclosed before is not known.

        Who starts a session has to require that again (reference irma.md §7.6), so it is
        added for each start and not stored: in flow the IRMA server does it by itself.
        """
        prepared = self.rows.prepared(row)
        if row.slot.step == 1:
            return prepared
        before = await self._before(row.slot)
        result = self.rows.result(before) if before else None
        if result is None or not result.proved:
            return None
        return prepared.with_disclose(disclosure.required_again(result))

    async def _before(self, slot: Slot) -> Step | None:
        """The step before; the first of a later generation follows one of an earlier."""
        before = preceding(slot)
        for generation in range(slot.generation, -1, -1):
            row = await self.store.step(replace(before, generation=generation))
            if row is not None:
                return row
        return None

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

    async def _refused(self, slot: Slot, owner: str, reason: str) -> None:
        """The session can never be started, and the chain fails for it."""
        await self.rulings.by_outbox(
            slot,
            lambda view: handover.start_refused(view, slot, owner=owner, reason=reason),
        )
        _log.warning("session.not_started")
