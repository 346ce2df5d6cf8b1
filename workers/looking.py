"""Looks at rows that nobody moved, and at what their backend has stored (H1, H2, H5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from orchestrator.domain import handover, lookup, settling
from orchestrator.domain.chain import Slot, Step, StepState, View
from orchestrator.domain.errors import BackendRefused, BackendUnavailable, Unavailable
from orchestrator.domain.handover import Detach, Due
from orchestrator.domain.lookup import Forwarded, Lookup
from orchestrator.domain.ruling import Ruling, preceding
from orchestrator.domain.settling import Missing
from orchestrator.pointing import next_found_live, package_of_next
from orchestrator.ports import Backend, Clock, Message, Store, work_message
from orchestrator.rows import RowSecrets
from orchestrator.rulings import Rulings
from orchestrator.telemetry import bind_chain
from orchestrator.work import WorkMaker, start_message
from schemas.irma import SessionResult, Status
from workers.hearsay import Hearsay
from workers.notifying import Notifier

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Looker:
    """Looks at one row at a time, by its state."""

    store: Store
    rulings: Rulings
    rows: RowSecrets
    make: WorkMaker
    backend: Backend
    notifier: Notifier
    clock: Clock
    session_lifetime: timedelta
    wall_time: timedelta

    async def look(self, step: Step) -> None:
        """Look at one row; a fault of broker or store is the caller's to wait out."""
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
        if found.status is None and verdict is Forwarded.LOST:
            verdict, found = await self._by_hearsay(step)
        _log.info("clock.forwarded", verdict=verdict.name)
        await self._judged(before, slot, verdict, found)

    async def _by_hearsay(self, step: Step) -> tuple[Forwarded, Lookup]:
        """Step n is forgotten: do messages wait that may hold the session's token (H2)?

        Then it is not lost, and once no session of the step can live any more, a state
        among them speaks for it: nothing that is stored will ever tell whose it is (H1).
        """
        told = await Hearsay(store=self.store, sealer=self.rows.sealer).of(step.slot)
        if not told.waits:
            return Forwarded.LOST, Lookup(status=None)
        over = lookup.over(step, self.clock(), self.session_lifetime)
        if not over or told.token is None:
            return Forwarded.WAIT, Lookup(status=None)
        return Forwarded.LIVE, Lookup(status=None, next_token=told.token)

    async def _judged(
        self, before: Step, slot: Slot, verdict: Forwarded, found: Lookup
    ) -> None:
        token = found.next_token
        if verdict is Forwarded.LIVE and token is not None:
            await next_found_live(self.rulings, self.backend, self.rows, before, token)
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
            await self._missing(slot)
        elif result.status.final:
            await self._report(slot, result)
        else:
            await self._still_live(step, token)

    async def _still_live(self, step: Step, token: str) -> None:
        """It has not ended; where its pointer was not to be had, it may be by now."""
        slot = step.slot
        await self.rulings.by_outbox(slot, lookup.look_again)
        if step.state is not StepState.LIVE or step.sealed_package is not None:
            return
        before = await self.store.step(preceding(slot))
        if before is None:
            return
        package = await package_of_next(self.backend, self.rows, before, token)
        if package is not None:
            sealed = self.rows.seal_package(slot, package)
            token_hash = self.rows.sealer.token_hash(token)
            known = await self.rulings.by_outbox(
                slot,
                lambda view: lookup.found_pointer(
                    view, slot, token_hash=token_hash, sealed_package=sealed
                ),
            )
            _log.info("clock.pointer", known=known)

    async def _missing(self, slot: Slot) -> None:
        """Its backend does not know the session (H6)."""

        def told(outcome: Missing, view: View) -> list[Message]:
            match outcome:
                case Missing.KEPT:
                    return self.notifier.as_taken_in(slot, view)
                case Missing.EXPIRED:
                    return self.notifier.as_ended(slot, view, Status.TIMEOUT)
                case Missing.CANCELLED:
                    return self.notifier.as_ended(slot, view, Status.CANCELLED)
                case _:
                    return []

        outcome = await self.rulings.by_outbox(
            slot,
            lambda view: settling.settle_missing(
                view, slot, session_lifetime=self.session_lifetime
            ),
            told,
        )
        _log.info("clock.missing", outcome=outcome.name)

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
