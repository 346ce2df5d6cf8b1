"""The clock worker: publishes what is due and looks at rows that nobody moved (H5).

Two tables, one beat: `waiting` holds messages until their time (retries, the outbox),
`steps` says of every row that is not ended when it has to be looked at. Rows are leased,
so several clocks may run, and what one takes and drops dead is taken again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
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
    Refused,
    Unavailable,
    Unroutable,
)
from orchestrator.domain.handover import Detach, Due
from orchestrator.domain.lookup import Forwarded, Lookup
from orchestrator.domain.ruling import Ruling, preceding
from orchestrator.ports import (
    Backend,
    Clock,
    Message,
    Publisher,
    Store,
    Waiting,
    work_message,
)
from orchestrator.rows import RowSecrets
from orchestrator.rulings import Rulings
from orchestrator.telemetry import bind_chain
from orchestrator.work import WorkMaker, start_message
from schemas.irma import SessionResult

_log = structlog.get_logger(__name__)

#: How long rows that were taken are ours.
LEASE: Final = timedelta(seconds=10)

#: Messages published at a time.
MESSAGES: Final = 100

#: Rows looked at at a time, side by side: a round takes as long as the backend may take
#: for one answer, and a process that is to stop waits for one round (G9).
CHECKS: Final = 16

#: How many waiting rows of a chain are looked through; it has hardly ever more than one.
WAITING_MAX: Final = 100

#: The beat when nothing is due.
IDLE_S: Final = 0.1

#: The pause after a fault of broker or store.
FAULT_PAUSE_S: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class ClockWorker:
    """Runs until `stop` is set."""

    store: Store
    rulings: Rulings
    publisher: Publisher
    rows: RowSecrets
    make: WorkMaker
    backend: Backend
    clock: Clock
    owner: str
    session_lifetime: timedelta
    wall_time: timedelta

    async def run(self, stop: asyncio.Event) -> None:
        """Do both until stopped; what is due does not wait for a backend that hangs."""
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_repeat(self.publish_due, stop))
                both.create_task(_repeat(self.check_due, stop))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def publish_due(self) -> int:
        """Publish messages whose time has come; returns how many there were."""
        due = await self.store.take_due_waiting(
            self.clock(), owner=self.owner, lease=LEASE, limit=MESSAGES
        )
        if due:
            await self._publish(due)
        return len(due)

    async def check_due(self) -> int:
        """Look at rows whose time has come, side by side; returns how many there were."""
        steps = await self.store.take_due_steps(self.clock(), lease=LEASE, limit=CHECKS)
        looks = map(self._look, steps)
        for fault in await asyncio.gather(*looks, return_exceptions=True):
            if fault is not None:
                raise fault
        return len(steps)

    async def _publish(self, due: Sequence[Waiting]) -> None:
        """Publish rows and drop them; one that is never taken stays, others do not."""
        try:
            await self.publisher.publish(*(row.message for row in due))
        except (Refused, Unroutable) as error:
            if len(due) == 1:
                _log.error("clock.refused", row=due[0].id, error=type(error).__name__)
                return
            for row in due:
                await self._publish([row])
            return
        await self.store.drop_waiting([row.id for row in due])
        _log.info("clock.published", count=len(due))

    async def _look(self, step: Step) -> None:
        slot = step.slot
        with bind_chain(slot.chain_id, slot.step, slot.generation):
            try:
                await self._check(step)
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - one chain's trouble stays its own
                _log.error("clock.check_failed", error=type(error).__name__)

    async def _check(self, step: Step) -> None:
        """Look at one row by its state."""
        _log.debug("clock.check", state=step.state)
        match step.state:
            case StepState.OFFERED:
                await self._detach(step.slot, handover.detach)
            case StepState.DETACHED | StepState.STARTING:
                await self._start(step.slot)
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
            lives_until=lookup.lives_until(step, self.session_lifetime),
        )
        unknown = found.status is None
        if unknown and verdict is Forwarded.LOST and await self._is_told_of(slot):
            verdict = Forwarded.WAIT
        _log.info("clock.forwarded", verdict=verdict.name)
        await self._judged(slot, verdict, found)

    async def _is_told_of(self, slot: Slot) -> bool:
        """Whether a message waits that may hold the token of its session (H2)."""
        waiting = await self.store.waiting(chain_id=slot.chain_id, limit=WAITING_MAX)
        return any(row.kind == "intake" for row in waiting)

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
            await self._report(slot, result)
        else:
            await self.rulings.by_outbox(slot, lookup.look_again)

    async def _report(self, slot: Slot, result: SessionResult) -> None:
        """Tell the session worker what was found stored."""

        def told(due: bool, view: View) -> list[Message]:  # noqa: FBT001 - an outcome
            if not due:
                return []
            requestor = view.chain.requestor
            return [work_message(self.make.intake(slot, requestor, result, "poll"))]

        await self.rulings.by_outbox(slot, lookup.report_due, told)

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
        outcome = await self.rulings.by_outbox(
            slot,
            lambda view: rule(view, slot),
            lambda outcome, view: (
                [start_message(slot, view.chain.requestor)]
                if outcome is Detach.DETACHED
                else []
            ),
        )
        _log.info("clock.detach", outcome=outcome.name)

    async def _start(self, slot: Slot) -> None:
        outcome = await self.rulings.by_outbox(
            slot,
            lambda view: handover.due_start(view, slot, wall_time=self.wall_time),
            lambda outcome, view: (
                [start_message(slot, view.chain.requestor)]
                if outcome is Due.START
                else []
            ),
        )
        _log.info("clock.start", outcome=outcome.name)


async def _repeat(beat: Callable[[], Awaitable[int]], stop: asyncio.Event) -> None:
    """Beat until stopped; a fault of broker or store is waited out."""
    while not stop.is_set():
        try:
            pause_s = 0.0 if await beat() else IDLE_S
        except OrchestratorError as error:
            _log.warning("clock.fault", error=type(error).__name__)
            pause_s = FAULT_PAUSE_S
        await _stopped(stop, pause_s)


async def _stopped(stop: asyncio.Event, pause_s: float) -> None:
    """Pause, but not longer than until the stop."""
    try:
        async with asyncio.timeout(pause_s):
            await stop.wait()
    except TimeoutError:
        return
