"""The secrets of one chain are deleted now, not when its time is over.

What happened stays: rows without their secrets and events, which never had any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from orchestrator.domain import happenings
from orchestrator.domain.chain import Chain, ChainState, Ending, Step, StepState, ended
from schemas.messages import End

if TYPE_CHECKING:
    from schemas.events import Event

#: Why a chain that was still running ends.
REASON: Final = "the operator has erased it"


@dataclass(frozen=True, kw_only=True)
class Erasure:
    """What is written; with a `refusal` nothing is.

    Attributes:
        refusal: why the chain is not erased.
        chain: its row afterwards.
        steps: its steps' rows afterwards.
        events: what has happened by that.
        given_up: rows, as they were, whose sessions may be going on at their backend.
    """

    refusal: str | None = None
    chain: Chain | None = None
    steps: tuple[Step, ...] = ()
    events: tuple[Event, ...] = ()
    given_up: tuple[Step, ...] = ()


def erase(chain: Chain, steps: Sequence[Step], now: datetime, *, cancel: bool) -> Erasure:
    """Delete the secrets of a chain that is over.

    Args:
        chain: its row.
        steps: all its rows, by generation and step.
        now: what the time is.
        cancel: end it first if it is still running, and give up sessions that are open.
    """
    open_ = [step for step in steps if step.check_at is not None]
    running = chain.state is ChainState.RUNNING
    if running and not cancel:
        return Erasure(refusal="it is still running: wait for its end, or say --cancel")
    if open_ and not cancel:
        return Erasure(
            refusal=f"it is {chain.state}, but a session of it has not ended:"
            " wait for that, or say --cancel"
        )
    closed = [_closed(step) for step in open_]
    over: list[Event] = [_session_over(chain, step, now) for step in closed]
    rows = [*(step for step in steps if step.check_at is None), *closed]
    if running:
        chain, last, event = _cancelled(chain, steps, now)
        rows.append(last)
        over.append(event)
    return Erasure(
        chain=replace(chain, purged_at=now, idempotency=None, body_hash=None),
        steps=tuple(map(_erased, rows)),
        events=tuple(over),
        given_up=tuple(step for step in open_ if step.state is StepState.LIVE),
    )


def _closed(step: Step) -> Step:
    """Nobody looks at it any more; a session whose result was proved has ended well."""
    proved = step.state is StepState.COMPLETED
    return replace(
        step,
        state=StepState.FINISHED if proved else StepState.CANCELLED,
        final_status="DONE" if proved else "CANCELLED",
        check_at=None,
        lease_owner=None,
        lease_until=None,
        reason=REASON,
    )


def _session_over(chain: Chain, step: Step, now: datetime) -> Event:
    proved = step.state is StepState.FINISHED
    return happenings.session_ended(
        chain,
        step,
        "session.finished" if proved else "session.cancelled",
        now,
        status=step.final_status or "",
        proof_status="VALID" if proved else None,
        reason=step.reason,
    )


def _cancelled(
    chain: Chain, steps: Sequence[Step], now: datetime
) -> tuple[Chain, Step, Event]:
    """The chain's end, in the slot after its last one."""
    last = max(step.slot for step in steps if step.slot.generation == chain.generation)
    end = Step(
        slot=last.following,
        state=StepState.END,
        created_at=now,
        check_at=None,
        cause=last.event_id("session.requested"),
        reason=REASON,
    )
    ending = Ending(end=End.CANCELLED, cause=end.cause, reason=REASON)
    event = happenings.chain_ended(chain, end.slot, ending, now)
    return ended(chain, ending, now), end, event


def _erased(step: Step) -> Step:
    return replace(
        step,
        token_hash=None,
        answer_hash=None,
        reply_hash=None,
        sealed_request=None,
        sealed_prepared=None,
        sealed_package=None,
        sealed_token=None,
        sealed_result=None,
    )
