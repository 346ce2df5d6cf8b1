"""Replays one chain: opens its next generation where the last one failed.

The rule is `domain.generations`; here its secrets are opened and sealed again for the new
slot, and what goes on from there, a callback or a start, is an outbox row of the
transaction that opens the generation. So it is made once, whoever dies in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from orchestrator.domain import generations
from orchestrator.domain.chain import Slot, Step, StepState
from orchestrator.domain.errors import SealBroken, SealKeyUnknown
from orchestrator.domain.generations import Again, Carried, NotReplayed, Opened
from orchestrator.domain.ruling import preceding
from orchestrator.ports import Clock, Message, Store, work_message
from orchestrator.preparing import Preparer
from orchestrator.rows import RowSecrets
from orchestrator.rulings import Rulings
from orchestrator.sealing import key_in
from orchestrator.telemetry import bind_chain
from orchestrator.work import WorkMaker, start_message
from schemas.events import Purpose
from schemas.irma import SessionRequest, SessionResult, Status
from schemas.messages import Lane

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What is to be written, and the work that goes out with it."""

    slot: Slot
    carried: Carried
    work: Message


@dataclass(frozen=True, kw_only=True)
class Reopener:
    """Opens the next generations of chains."""

    store: Store
    rulings: Rulings
    rows: RowSecrets
    make: WorkMaker
    preparer: Preparer
    clock: Clock

    async def replay(
        self, chain_id: str, generation: int, *, url: str | None = None
    ) -> Opened | NotReplayed:
        """Do anew what has failed in this generation of a chain.

        Args:
            chain_id: the chain.
            generation: the one that has failed; if another is open by now, nothing is
                done, so a replay that is repeated is made once.
            url: where a result is POSTed to, if not where the step's request says.

        Raises:
            SealBroken: what is sealed in the chain's row is not what was sealed, or
                cannot be read.
            SealKeyUnknown: it is sealed with a key that is not here, and with which.
        """
        plan = await self._plan(chain_id, generation, url)
        if isinstance(plan, NotReplayed):
            return plan
        slot = plan.slot
        with bind_chain(slot.chain_id, slot.step, slot.generation):
            outcome = await self.rulings.by_outbox(
                slot,
                lambda view: generations.reopen(view, slot, plan.carried),
                lambda outcome, _: [plan.work] if isinstance(outcome, Opened) else [],
            )
            _log.info("chain.replayed", outcome=type(outcome).__name__)
            return outcome

    async def _plan(
        self, chain_id: str, generation: int, url: str | None
    ) -> _Plan | NotReplayed:
        """What would be done, by the rows as they are; the rule looks once more."""
        chain = await self.store.chain(chain_id)
        if chain is None:
            return NotReplayed(reason="there is no such chain")
        reason = generations.not_replayable(chain, generation)
        if reason is not None:
            return NotReplayed(reason=reason)
        row = last_of(await self.store.steps(chain_id), generation)
        what = generations.again(row) if row else None
        if row is None or what is None:
            return NotReplayed(reason="nothing of the chain can be done again")
        with _readable(row, self.rows.sealer.key_id):
            if what is Again.CALLBACK:
                return self._callback(row, chain.requestor, url)
            return self._session(row, chain.requestor)

    def _callback(
        self, row: Step, requestor: str, url: str | None
    ) -> _Plan | NotReplayed:
        """The same result once more; a new callback, so it has a new `webhook-id`."""
        request, result = self.rows.request(row), self.rows.result(row)
        target = request.next_session
        if result is None or target is None:
            return NotReplayed(reason="the step's result has nowhere to go")
        slot = generations.next_generation(row.slot)
        callback = self.make.callback(
            slot,
            requestor,
            as_told(result),
            purpose=Purpose.NEXT,
            url=url or target.url,
            validity_s=request.validity,
            cause=generations.replayed_id(slot),
        ).model_copy(update={"lane": Lane.REPLAY})
        carried = self._proved(slot, request, result)
        return _Plan(slot=row.slot, carried=carried, work=work_message(callback))

    def _proved(
        self, slot: Slot, request: SessionRequest, result: SessionResult
    ) -> Carried:
        return Carried(
            sealed_request=self.rows.seal_request(slot, request),
            sealed_token=self.rows.seal_token(slot, result.token),
            sealed_result=self.rows.seal_result(slot, result),
        )

    def _session(self, row: Step, requestor: str) -> _Plan:
        """The session is prepared anew: what is in its URLs names the generation."""
        request = self.rows.request(row)
        slot = generations.next_generation(row.slot)
        prepared = self.preparer.prepared(request, slot, requestor, self.clock())
        carried = Carried(
            sealed_request=self.rows.seal_request(slot, request),
            sealed_prepared=self.rows.seal_prepared(slot, prepared),
            attributes=tuple(request.attribute_ids()),
        )
        return _Plan(slot=row.slot, carried=carried, work=start_message(slot, requestor))


@contextmanager
def _readable(row: Step, sealing_key: str) -> Iterator[None]:
    """What a row holds cannot be read, which is a fault of this row and no other's."""
    try:
        yield
    except SealKeyUnknown:
        sealed = (row.sealed_request, row.sealed_result)
        keys = {key_in(one) for one in sealed if one is not None} - {sealing_key}
        raise SealKeyUnknown(missing(*sorted(keys))) from None
    except (ValueError, TypeError, LookupError) as error:
        # Its text may hold what was sealed.
        why = f"what was sealed cannot be read ({type(error).__name__})"
        raise SealBroken(why) from None


def missing(*key_ids: str) -> str:
    """That one of these keys is not here."""
    return f"sealed with key {' or '.join(key_ids)}, which is not here"


def as_told(result: SessionResult) -> SessionResult:
    """A result as it was POSTed: the user was still connected (irma.md §7.2)."""
    told = {"status": Status.CONNECTED, "next_session": None}
    return result.model_copy(update=told)


def last_of(steps: list[Step], generation: int) -> Step | None:
    """The last session of a generation: the one before the slot of its end."""
    rows = {step.slot: step for step in steps if step.slot.generation == generation}
    ends = [slot for slot, row in rows.items() if row.state is StepState.END]
    return rows.get(preceding(ends[0])) if ends else None
