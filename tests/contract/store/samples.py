"""Rows and events to write, with everything that a test does not care about filled in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from orchestrator.domain.chain import Chain, ChainState, Slot, Step, StepState
from orchestrator.ports import Message, Waiting
from schemas.events import Event
from tests.support.events import started

#: The time of every store under test, with microseconds to lose.
NOW: Final = datetime(2026, 3, 29, 0, 59, 58, 765_432, tzinfo=UTC)

SECOND: Final = timedelta(seconds=1)
LEASE: Final = timedelta(seconds=30)


def a_chain(
    chain_id: str = "C1",
    *,
    requestor: str = "acme",
    state: ChainState = ChainState.RUNNING,
    created_at: datetime = NOW,
) -> Chain:
    """A running chain."""
    return Chain(
        id=chain_id,
        requestor=requestor,
        backend="irma",
        state=state,
        generation=0,
        created_at=created_at,
    )


def a_step(
    chain_id: str = "C1",
    step: int = 1,
    *,
    generation: int = 0,
    state: StepState = StepState.LIVE,
    check_at: datetime | None = None,
    token_hash: str | None = None,
) -> Step:
    """A live step that nobody has to look at."""
    return Step(
        slot=Slot(chain_id=chain_id, step=step, generation=generation),
        state=state,
        created_at=NOW,
        check_at=check_at,
        token_hash=token_hash,
    )


def a_message(message_id: str = "m1") -> Message:
    """A small work message."""
    return Message(id=message_id, routing_key="sessions", body=b"{}")


def a_row(
    row_id: str = "w1",
    *,
    due_at: datetime = NOW,
    created_at: datetime = NOW,
    chain_id: str | None = None,
) -> Waiting:
    """A callback that waits for its next attempt."""
    return Waiting(
        id=row_id,
        kind="retry",
        due_at=due_at,
        created_at=created_at,
        chain_id=chain_id,
        message=a_message(row_id),
    )


def an_event(event_id: str = "e1", *, chain_id: str = "C1") -> Event:
    """A session that is live."""
    return started(event_id, chain_id)
