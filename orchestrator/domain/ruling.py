"""What a rule returns, when rows are looked at again, and how a chain ends.

A rule takes a `View` (the chain's row, a slot's row and the following one, read under the
chain's lock) and returns a `Ruling`: an outcome for the caller, the rows to write in the
same transaction, and the events that belong to it. No rule reads a clock, a database or a
message. The rules H1-H10 are those of the hand-over's reference, which were checked on a
model: change them only with a model check.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from orchestrator.domain import happenings
from orchestrator.domain.chain import Chain, Ending, Slot, Step, StepState, View, ended

if TYPE_CHECKING:
    from datetime import datetime

    from schemas.events import Event

O_co = TypeVar("O_co", covariant=True)
Outcome = TypeVar("Outcome")

#: Rule H5: when the clock looks at a row again.
CHECK_OFFERED: Final = timedelta(seconds=5)
CHECK_FORWARDED: Final = timedelta(seconds=10)
CHECK_FORWARDED_MAX: Final = timedelta(seconds=60)
CHECK_LIVE: Final = timedelta(seconds=20)
CHECK_MAX: Final = timedelta(minutes=10)

#: How soon a `forwarded` row is looked at again once its session's callback came in: the
#: IRMA server calls before it stores (reference irma.md §8, "Stale read").
CHECK_AFTER_CALLBACK: Final = timedelta(milliseconds=250)

#: A worker that starts a session has this long; the backend's own limit is shorter.
START_LEASE: Final = timedelta(seconds=15)

#: Pause before a start is tried again when the backend was away; it doubles.
START_PAUSE: Final = timedelta(seconds=5)


@dataclass(frozen=True, kw_only=True)
class Ruling(Generic[O_co]):
    """What a rule decided; empty changes mean that nothing is written.

    `ending` is how the chain ends by it, if it does.
    """

    outcome: O_co
    steps: tuple[Step, ...] = ()
    chain: Chain | None = None
    events: tuple[Event, ...] = ()
    ending: Ending | None = None


def telling_overtaken(
    view: View, ruling: Ruling[Outcome]
) -> Ruling[tuple[Outcome, Step | None]]:
    """The ruling, and the row before it if that pointed to a session it gives up.

    The result of another session of the step was proved (rule H3): who decides that
    cancels the first one, so that nobody is left in a session that leads nowhere.
    """
    given_up = any(_points_elsewhere(view.step, after) for after in ruling.steps)
    return Ruling(
        outcome=(ruling.outcome, view.step if given_up else None),
        steps=ruling.steps,
        chain=ruling.chain,
        events=ruling.events,
        ending=ruling.ending,
    )


def _points_elsewhere(before: Step | None, after: Step) -> bool:
    if before is None or before.state.ended or before.token_hash is None:
        return False
    return after.slot == before.slot and after.token_hash != before.token_hash


def started(view: View, step: Step) -> Event:
    """`session.started` of this row."""
    return happenings.session_started(view.chain, step, view.now)


def chain_over(view: View, slot: Slot, ending: Ending) -> Event:
    """The event of the chain's end, which sits in the slot after `slot`."""
    return happenings.chain_ended(view.chain, slot.following, ending, view.now)


def preceding(slot: Slot) -> Slot:
    """The slot before this one."""
    return replace(slot, step=slot.step - 1)


def end_chain(
    view: View,
    slot: Slot,
    ending: Ending,
    outcome: Outcome,
    *,
    steps: tuple[Step, ...],
    events: tuple[Event, ...] = (),
    answer_hash: str | None = None,
) -> Ruling[Outcome]:
    """Claim the slot after `slot` for the end, and end the chain, in one ruling."""
    row = Step(
        slot=slot.following,
        state=StepState.END,
        cause=ending.cause,
        created_at=view.now,
        check_at=None,
        answer_hash=answer_hash,
        reason=ending.reason,
    )
    return Ruling(
        outcome=outcome,
        steps=(*steps, row),
        chain=ended(view.chain, ending, view.now),
        events=(*events, chain_over(view, slot, ending)),
        ending=ending,
    )


def detached_row(row: Step, now: datetime) -> Step:
    """The row once the app is known not to wait; its start is due at once (H5)."""
    return replace(row, state=StepState.DETACHED, check_at=now, in_flow=False)


def doubling(age: timedelta, first: timedelta, longest: timedelta) -> timedelta:
    """The next pause of something that began `age` ago, so that pauses double."""
    return min(max(age, first), longest)
