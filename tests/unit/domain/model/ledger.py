"""The rows of one chain, written as the store writes them, and what must hold of them.

Every ruling is checked as it is written; `Broken` names the promise it would break.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

from orchestrator.domain.chain import Chain, ChainState, Slot, Step, StepState, View
from orchestrator.domain.ruling import Ruling

T = TypeVar("T")

#: How long the clock that takes a row keeps it from the others.
CLOCK_LEASE: Final = timedelta(seconds=10)

#: What a session can come to at its backend.
FINAL: Final = frozenset(
    {StepState.FINISHED, StepState.CANCELLED, StepState.EXPIRED, StepState.FAILED}
)

#: Every transition of handover.md; staying is always allowed. A VALID result counts from
#: any session of the step, so each state but `offered` may end by one (H3).
TRANSITIONS: Final[Mapping[StepState | None, AbstractSet[StepState]]] = {
    None: {StepState.OFFERED, StepState.DETACHED, StepState.END},
    StepState.OFFERED: {StepState.FORWARDED, StepState.DETACHED},
    StepState.FORWARDED: FINAL
    | {StepState.LIVE, StepState.DETACHED, StepState.COMPLETED},
    StepState.DETACHED: {
        StepState.STARTING,
        StepState.COMPLETED,
        StepState.FINISHED,
        StepState.EXPIRED,
    },
    StepState.STARTING: FINAL | {StepState.LIVE, StepState.DETACHED, StepState.COMPLETED},
    StepState.LIVE: FINAL | {StepState.COMPLETED},
    StepState.COMPLETED: FINAL,
}


class Broken(AssertionError):
    """A promise that does not hold."""


def hold(promise: str, kept: bool) -> None:  # noqa: FBT001 - it reads like assert
    """Say which promise is broken."""
    if not kept:
        raise Broken(promise)


@dataclass
class Ledger:
    """One chain's rows, and the ids of the events that it owes and has told."""

    chain: Chain
    rows: dict[Slot, Step]
    owed: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)

    def decide(self, slot: Slot, rule: Callable[[View], Ruling[T]], now: datetime) -> T:
        """As `Rulings.by_outbox`: the events go out with the rows."""
        outcome, events = self.by_message(slot, rule, now)
        self.told |= events
        return outcome

    def by_message(
        self, slot: Slot, rule: Callable[[View], Ruling[T]], now: datetime
    ) -> tuple[T, set[str]]:
        """As `Rulings.by_message`: the caller tells the events."""
        view = View(
            chain=self.chain,
            step=self.rows.get(slot),
            following=self.rows.get(slot.following),
            now=now,
        )
        ruling = rule(view)
        for row in ruling.steps:
            self._write(row)
        if ruling.chain is not None:
            self._end(ruling.chain)
        events = {event.id for event in ruling.events}
        self.owed |= events
        return ruling.outcome, events

    def take_due(self, now: datetime) -> list[Step]:
        """As `Store.take_due_steps`: rows whose time has come, moved on by the lease."""
        due = [
            row
            for row in self.rows.values()
            if row.check_at is not None and row.check_at <= now
        ]
        for row in due:
            self.rows[row.slot] = replace(row, check_at=now + CLOCK_LEASE)
        return due

    def close(self) -> None:
        """Close the generation, as the start of a replay does (rule H9)."""
        self.chain = replace(self.chain, generation=1)

    @property
    def open(self) -> bool:
        """Whether anything may happen yet."""
        return self.chain.state is ChainState.RUNNING and self.chain.generation == 0

    @property
    def last(self) -> Step:
        """The row of the newest slot."""
        return self.rows[max(self.rows)]

    def check(self) -> None:
        """What has to hold of the rows together."""
        ends = [row.slot for row in self.rows.values() if row.state is StepState.END]
        hold("one end, in the last slot", ends in ([], [self.last.slot]))
        over = self.chain.state is not ChainState.RUNNING
        hold("the chain has ended exactly if a slot holds its end", bool(ends) == over)
        steps = sorted(slot.step for slot in self.rows)
        hold("no slot is left out", steps == list(range(1, len(steps) + 1)))
        for row in self.rows.values():
            hold(
                "H5: who is not ended has check_at", row.state.ended == (not row.check_at)
            )

    def _write(self, row: Step) -> None:
        before = self.rows.get(row.slot)
        old = None if before is None else before.state
        allowed = row.state is old or row.state in TRANSITIONS.get(old, set())
        hold(f"the transition {old} -> {row.state} exists", allowed)
        if before is not None:
            hold("one claim per slot", claim_of(before) == claim_of(row))
        if not self.open:
            hold("H9: nothing changes on an ended chain", only_finished(before, row))
        self.rows[row.slot] = row

    def _end(self, chain: Chain) -> None:
        hold("H9: a chain ends once", self.open)
        hold("a chain ends by reaching its end", chain.ended_at is not None)
        self.chain = chain


def claim_of(row: Step) -> tuple[object, ...]:
    """What a row has from who claimed its slot."""
    return row.cause, row.answer_hash, row.created_at, row.session_type


def only_finished(before: Step | None, row: Step) -> bool:
    """Whether only a completed row got its final state, or is looked at again."""
    if before is None:
        return False
    if before.state is StepState.COMPLETED and row.state in FINAL:
        return True
    return replace(before, check_at=row.check_at) == row
