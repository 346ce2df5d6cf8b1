"""Looks at each ruling as it is written, whoever made it, and at the rows after it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from orchestrator.domain.chain import Chain, ChainState, Slot, Step, StepState, View
from orchestrator.domain.errors import StoreUnavailable
from orchestrator.ports import Changes
from orchestrator.store import SqlStore
from tests.unit.domain.model.fates import effect
from tests.unit.domain.model.ledger import (
    FINAL,
    TRANSITIONS,
    Broken,
    claim_of,
    hold,
    only_finished,
)
from tests.unit.domain.model.points import Points

T = TypeVar("T")

#: What writes; reading has no fate.
WRITES: Final = frozenset(
    {
        "begin_chain",
        "put_waiting",
        "take_due_waiting",
        "take_due_steps",
        "drop_waiting",
        "park",
        "release_parked",
        "change_endpoint",
    }
)

_REPLAYED: Final = frozenset({StepState.FINISHED, StepState.DETACHED})
_CHAIN_ENDS: Final = ("completed", "failed", "cancelled", "expired")


@dataclass
class Judged:
    """The real store; its writes have fates, and its decisions are looked at."""

    real: SqlStore
    points: Points
    wrongs: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> object:
        method = getattr(self.real, name)
        return partial(self._fated if name in WRITES else self._counted, method)

    async def decide(self, slot: Slot, rule: Callable[[View], tuple[T, Changes]]) -> T:
        """Let the rule decide; what it breaks is noted, for workers catch much."""

        def judged(view: View) -> tuple[T, Changes]:
            outcome, changes = rule(view)
            try:
                judge(view, changes)
            except Broken as broken:
                self.wrongs.append(str(broken))
            return outcome, changes

        return await self._fated(self.real.decide, slot, judged)

    async def _fated(
        self, method: Callable[..., Awaitable[T]], *args: object, **more: object
    ) -> T:
        fault = StoreUnavailable("whether this was written is unknown")
        return await effect(partial(self._counted, method, *args, **more), fault)

    async def _counted(
        self, method: Callable[..., Awaitable[T]], *args: object, **more: object
    ) -> T:
        self.points.busy += 1
        try:
            return await method(*args, **more)
        finally:
            self.points.busy -= 1


def judge(view: View, changes: Changes) -> None:
    """What has to hold of every ruling."""
    chain = changes.chain
    opened = chain is not None and chain.generation != view.chain.generation
    if chain is not None and opened:
        _check_opened(view.chain, chain, changes.steps)
    elif chain is not None:
        hold("H9: a chain ends once", view.chain.state is ChainState.RUNNING)
    before = {row.slot: row for row in (view.step, view.following) if row}
    for row in changes.steps:
        due = row.state.ended == (row.check_at is None)
        hold("H5: who is not ended has check_at", due)
        if not opened:
            _check_row(view, before.get(row.slot), row)


def _check_opened(before: Chain, after: Chain, rows: Sequence[Step]) -> None:
    failed = before.state in {ChainState.FAILED, ChainState.EXPIRED}
    hold("a replay needs a chain that has failed", failed)
    hold("a replay opens the next generation", after.generation == before.generation + 1)
    first = [row.slot.generation == after.generation for row in rows]
    hold("a generation begins with one row of its own", first == [True])
    hold("a generation begins as it should", {row.state for row in rows} <= _REPLAYED)


def _check_row(view: View, before: Step | None, row: Step) -> None:
    old = None if before is None else before.state
    allowed = row.state is old or row.state in TRANSITIONS.get(old, set())
    hold(f"the transition {old} -> {row.state} exists", allowed)
    if before is not None:
        hold("one claim per slot", claim_of(before) == claim_of(row))
    if not view.chain.takes(row.slot):
        hold("H9: nothing changes on an ended chain", only_finished(before, row))


def check_rows(chain: Chain, rows: Sequence[Step]) -> None:
    """What has to hold of a chain's rows together."""
    hold("a chain has rows", bool(rows))
    for generation in range(chain.generation + 1):
        mine = [row for row in rows if row.slot.generation == generation]
        last = max(row.slot.step for row in mine)
        ends = [row.slot.step for row in mine if row.state is StepState.END]
        hold("one end, in the last slot", ends in ([], [last]))
        over = generation < chain.generation or chain.state is not ChainState.RUNNING
        hold("a generation is over exactly if a slot holds its end", bool(ends) == over)
        for row in mine:
            due = row.state.ended == (row.check_at is None)
            hold("H5: who is not ended has check_at", due)
            closed = generation < chain.generation
            idle = row.state.ended or row.state is StepState.COMPLETED
            hold("H9: nothing is left to do in a closed generation", idle or not closed)


def untold(rows: Sequence[Step], told: AbstractSet[str]) -> set[str]:
    """What the rows give rise to of which nobody was told, once everything has ended."""
    firsts: dict[int, int] = {}
    for row in rows:
        slot = row.slot
        firsts[slot.generation] = min(slot.step, firsts.get(slot.generation, slot.step))
    missing = set()
    for row in rows:
        first = row.slot.generation > 0 and row.slot.step == firsts[row.slot.generation]
        if first and row.slot.event_id("chain.replayed") not in told:
            missing.add("chain.replayed")
        if not (first and row.sealed_prepared is None):
            missing |= _untold_of(row, told)
    return missing


def _untold_of(row: Step, told: AbstractSet[str]) -> set[str]:
    if row.state is StepState.END:
        ends = {row.slot.event_id(f"chain.{end}") for end in _CHAIN_ENDS}
        return set() if ends & told else {"the end of the chain"}
    kinds = ["session.requested"]
    kinds += ["session.started"] if row.announced else []
    kinds += [f"session.{row.state}"] if row.state in FINAL else []
    return {kind for kind in kinds if row.slot.event_id(kind) not in told}
