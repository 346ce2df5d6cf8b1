"""The words of a chain: its rows, its states, and the ids derived from them.

Read this first, then `handover.py`, which holds every rule that changes a row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from schemas.irma import SessionRequest
from schemas.messages import End

#: A chain's budget (DESIGN §4), all configurable.
DEFAULT_STEPS_MAX: Final = 20
DEFAULT_WALL_TIME: Final = timedelta(days=7)

#: Who means to ask again has to change something (the URL of the next step will do); an
#: endpoint that has lost count asks its user for the same thing three times, not twenty.
DEFAULT_IDENTICAL_MAX: Final = 3

#: For how long the same `Idempotency-Key` means the same chain.
IDEMPOTENCY: Final = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True, order=True)
class Slot:
    """(chain, step, generation): the one place of a session, or of the chain's end."""

    chain_id: str
    step: int
    generation: int = 0

    @property
    def following(self) -> Slot:
        """The slot of the step after this one."""
        return replace(self, step=self.step + 1)

    def event_id(self, event_type: str, ordinal: str | int = 0) -> str:
        """The id of an event of this slot: what happened, so a repeat has the same id.

        Standard Webhooks forbids dots in ids; those of the type become underscores.
        """
        kind = re.sub(r"[^a-z]", "_", event_type)
        return f"{self.chain_id}-{self.step}-{self.generation}-{kind}-{ordinal}"

    def sealed_as(self, field: str) -> str:
        """The name a sealed column of this slot's row is bound to."""
        return f"row:{self.chain_id}-{self.step}-{self.generation}-{field}"


class ChainState(StrEnum):
    """`running` until one of the four ends."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class StepState(StrEnum):
    """States of a row (handover.md, "Who writes what")."""

    OFFERED = "offered"
    FORWARDED = "forwarded"
    DETACHED = "detached"
    STARTING = "starting"
    LIVE = "live"
    COMPLETED = "completed"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    FAILED = "failed"
    #: The slot holds the chain's end instead of a session.
    END = "end"

    @property
    def ended(self) -> bool:
        """Whether nobody has to look at the row any more."""
        return self in _ENDED

    @property
    def pending(self) -> bool:
        """Whether it is to be a session, but nobody knows yet which one."""
        return self in _PENDING


_PENDING: Final = frozenset(
    {
        StepState.OFFERED,
        StepState.FORWARDED,
        StepState.DETACHED,
        StepState.STARTING,
    }
)

_ENDED: Final = frozenset(
    {
        StepState.FINISHED,
        StepState.CANCELLED,
        StepState.EXPIRED,
        StepState.FAILED,
        StepState.END,
    }
)


@dataclass(frozen=True, kw_only=True)
class Chain:
    """One chain's row.

    Attributes:
        idempotency: keyed hash of the requestor's `Idempotency-Key`, if it gave one.
        body_hash: keyed hash of the request that came with that key.
        purged_at: when its results and other secrets were deleted.
        replayed_at: when its generation began, if it is not the first.
    """

    id: str
    requestor: str
    backend: str
    state: ChainState
    generation: int
    created_at: datetime
    ended_at: datetime | None = None
    reason: str | None = None
    idempotency: str | None = None
    body_hash: str | None = None
    purged_at: datetime | None = None
    replayed_at: datetime | None = None

    @property
    def since(self) -> datetime:
        """When its generation began; a replay has the whole wall time again."""
        return self.replayed_at or self.created_at

    def takes(self, slot: Slot) -> bool:
        """Rule H9: whether a change to this slot may still have an effect."""
        return self.state is ChainState.RUNNING and self.generation == slot.generation


@dataclass(frozen=True, kw_only=True)
class Step:
    """One slot's row; `sealed_*` are envelopes bound to `Slot.sealed_as(field)`.

    Attributes:
        token_hash: keyed hash of the backend's requestor token, known once live.
        answer_hash: keyed hash of what claimed the slot, to tell a repeat from a rival.
        reply_hash: keyed hash of the answer that was taken in by the reply URL.
        repeats: how many steps before it, in a row, asked for the very same.
        cause: event id of what led to this row.
        completed_at: when a proved result of this step was taken in.
        live_at: since when its session is known to be live.
        check_at: when the clock has to look again (rule H5); None once ended.
    """

    slot: Slot
    state: StepState
    session_type: str = ""
    cause: str = ""
    created_at: datetime
    check_at: datetime | None
    in_flow: bool = False
    deadline: datetime | None = None
    forwarded_at: datetime | None = None
    completed_at: datetime | None = None
    live_at: datetime | None = None
    chained: bool = False
    announced: bool = False
    session_timeout_s: int = 0
    lease_owner: str | None = None
    lease_until: datetime | None = None
    token_hash: str | None = None
    answer_hash: str | None = None
    reply_hash: str | None = None
    repeats: int = 0
    final_status: str | None = None
    reason: str | None = None
    sealed_request: str | None = None
    sealed_prepared: str | None = None
    sealed_package: str | None = None
    sealed_token: str | None = None
    sealed_result: str | None = None


@dataclass(frozen=True, kw_only=True)
class View:
    """What a rule sees: the chain, the step it is about and the slot after it."""

    chain: Chain
    step: Step | None
    following: Step | None
    now: datetime


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a chain ends, by which event, and why; `endpoint` is the one that was asked."""

    end: End
    cause: str
    reason: str | None = None
    endpoint: str | None = None


def ended(chain: Chain, ending: Ending, now: datetime) -> Chain:
    """The chain's row at its end."""
    state = ChainState(ending.end.value)
    return replace(chain, state=state, ended_at=now, reason=ending.reason)


def over_budget(
    chain: Chain, steps: int, now: datetime, *, steps_max: int, wall_time: timedelta
) -> str | None:
    """Why a chain may not have another step, or None (G8)."""
    if steps > steps_max:
        return f"the chain is longer than {steps_max} steps"
    if now - chain.since > wall_time:
        return f"the chain is older than {wall_time.total_seconds():.0f} s"
    return None


def looping(repeats: int, *, identical_max: int) -> str | None:
    """Why a chain may not ask for the very same once more, or None (G8).

    Args:
        repeats: how many requests before this one, in a row, are the same.
        identical_max: how many there may be with this one.
    """
    if repeats < identical_max:
        return None
    return f"the chain has made the same request {identical_max} times in a row"


def timeout_of(request: SessionRequest) -> int:
    """How long a session waits for the app, in seconds; 0 is the backend's default.

    The IRMA server takes any 64-bit number; no session outlives a chain.
    """
    return min(max(request.timeout, 0), int(DEFAULT_WALL_TIME.total_seconds()))
