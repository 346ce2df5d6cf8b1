"""The clock worker: publishes what is due and looks at rows that nobody moved (H5).

Two tables, one beat: `waiting` holds messages until their time (retries, the outbox),
`steps` says of every row that is not ended when it has to be looked at. Rows are leased,
so several clocks may run, and what one takes and drops dead is taken again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from orchestrator.domain import handover, lookup, settling
from orchestrator.domain.chain import Slot, Step, StepState, View
from orchestrator.domain.errors import (
    BackendRefused,
    BackendUnavailable,
    OrchestratorError,
)
from orchestrator.domain.handover import Detach
from orchestrator.domain.lookup import Forwarded, Lookup
from orchestrator.domain.ruling import Ruling, preceding
from orchestrator.ports import Backend, Clock, Message, Publisher, Store, work_message
from orchestrator.rows import RowSecrets
from orchestrator.rulings import Rulings
from orchestrator.telemetry import bind_chain
from orchestrator.work import WorkMaker, start_message

_log = structlog.get_logger(__name__)

#: Rows taken at a time, and how long they are ours.
BATCH: Final = 100
LEASE: Final = timedelta(seconds=10)

#: The beat when nothing is due.
IDLE_S: Final = 0.1

#: The pause after a fault of broker or store.
FAULT_PAUSE_S: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class ClockWorker:
    """Runs until `stop` is set; `beat` is one round."""

    store: Store
    rulings: Rulings
    publisher: Publisher
    rows: RowSecrets
    make: WorkMaker
    backend: Backend
    clock: Clock
    owner: str
    session_lifetime: timedelta

    async def run(self, stop: asyncio.Event) -> None:
        """Beat until stopped; a fault of broker or store is waited out."""
        while not stop.is_set():
            try:
                pause_s = 0.0 if await self.beat() else IDLE_S
            except OrchestratorError as error:
                if not error.held:
                    raise
                _log.warning("clock.fault", error=type(error).__name__)
                pause_s = FAULT_PAUSE_S
            await _stopped(stop, pause_s)

    async def beat(self) -> int:
        """Publish due messages and check due rows; returns how many there were."""
        now = self.clock()
        due = await self.store.take_due_waiting(
            now, owner=self.owner, lease=LEASE, limit=BATCH
        )
        if due:
            await self.publisher.publish(*(row.message for row in due))
            await self.store.drop_waiting([row.id for row in due])
            _log.info("clock.published", count=len(due))
        steps = await self.store.take_due_steps(now, lease=LEASE, limit=BATCH)
        for step in steps:
            slot = step.slot
            with bind_chain(slot.chain_id, slot.step, slot.generation):
                await self._check(step)
        return len(due) + len(steps)

    async def _check(self, step: Step) -> None:
        """Look at one row by its state."""
        _log.debug("clock.check", state=step.state)
        match step.state:
            case StepState.OFFERED:
                await self._detach(step.slot, handover.detach)
            case StepState.DETACHED | StepState.STARTING:
                await self.publisher.publish(await self._start(step.slot))
            case StepState.FORWARDED:
                await self._find(step)
            case StepState.LIVE | StepState.COMPLETED:
                await self._poll(step)
            case _:
                _log.error("clock.ended_row_due", state=step.state)

    async def _find(self, step: Step) -> None:
        """What has the IRMA server stored of the step before a forwarded one (H1, H2)?"""
        slot = step.slot
        before = await self.store.step(preceding(slot))
        token = self.rows.token(before) if before else None
        if before is None or token is None or step.forwarded_at is None:
            await self.rulings.by_outbox(slot, lookup.look_again)
            return
        found = await self._look_up(token)
        if found is None:
            await self.rulings.by_outbox(slot, lookup.look_again)
            return
        verdict = lookup.judge_forwarded(
            found,
            now=self.clock(),
            asked_at=before.completed_at or step.created_at,
            forwarded_at=step.forwarded_at,
            session_timeout=timedelta(seconds=step.session_timeout_s)
            or self.session_lifetime,
            session_lifetime=self.session_lifetime,
        )
        _log.info("clock.forwarded", verdict=verdict.name)
        await self._judged(slot, verdict, found)

    async def _judged(self, slot: Slot, verdict: Forwarded, found: Lookup) -> None:
        token = found.next_token
        if verdict is Forwarded.LIVE and token is not None:
            await self.rulings.by_outbox(
                slot,
                lambda view: lookup.found_live(
                    view,
                    slot,
                    token_hash=self.rows.sealer.token_hash(token),
                    sealed_token=self.rows.seal_token(slot, token),
                ),
            )
        elif verdict is Forwarded.LOST:
            await self._detach(slot, lookup.found_lost)
        else:
            await self.rulings.by_outbox(slot, lookup.look_again)

    async def _poll(self, step: Step) -> None:
        """Was a final state stored whose callback never came?"""
        slot = step.slot
        token = self.rows.token(step)
        if token is None:
            await self.rulings.by_outbox(slot, lookup.look_again)
            return
        try:
            result = await self.backend.result(token)
        except (BackendUnavailable, BackendRefused) as error:
            _log.warning("clock.backend", error=type(error).__name__)
            await self.rulings.by_outbox(slot, lookup.look_again)
            return
        if result is None:
            await self.rulings.by_outbox(
                slot,
                lambda view: settling.settle_missing(
                    view, slot, session_lifetime=self.session_lifetime
                ),
            )
        elif result.status.final:
            requestor = await self._requestor(slot)
            intake = self.make.intake(slot, requestor, result, "poll")
            await self.publisher.publish(work_message(intake))
        else:
            await self.rulings.by_outbox(slot, lookup.look_again)

    async def _look_up(self, token: str) -> Lookup | None:
        """What the backend has stored of a session; None when it did not say."""
        try:
            result = await self.backend.result(token)
        except (BackendUnavailable, BackendRefused) as error:
            _log.warning("clock.backend", error=type(error).__name__)
            return None
        if result is None:
            return Lookup(status=None)
        return Lookup(status=result.status, next_token=result.next_session)

    async def _detach(
        self, slot: Slot, rule: Callable[[View, Slot], Ruling[Detach]]
    ) -> None:
        start = await self._start(slot)
        outcome = await self.rulings.by_outbox(
            slot,
            lambda view: rule(view, slot),
            lambda outcome: [start] if outcome is Detach.DETACHED else [],
        )
        _log.info("clock.detach", outcome=outcome.name)

    async def _start(self, slot: Slot) -> Message:
        return start_message(slot, await self._requestor(slot))

    async def _requestor(self, slot: Slot) -> str:
        chain = await self.store.chain(slot.chain_id)
        if chain is None:
            raise KeyError(slot.chain_id)
        return chain.requestor


async def _stopped(stop: asyncio.Event, pause_s: float) -> None:
    """Pause, but not longer than until the stop."""
    try:
        async with asyncio.timeout(pause_s):
            await stop.wait()
    except TimeoutError:
        return
