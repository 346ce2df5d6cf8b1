"""Failures and plans to work with."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from orchestrator.domain.chain import Chain, ChainState, Slot, Step, StepState
from orchestrator.domain.failing import (
    Failure,
    FailureFilter,
    FailureKind,
    FailureReason,
)
from orchestrator.domain.replaying import CutOff, Replay, ReplayState
from orchestrator.ports import Changes, Store

MADE_AT: Final = datetime(2026, 3, 29, 0, 59, 58, 765_432, tzinfo=UTC)
SHOP: Final = "https://shop.example:443"


def a_failure(
    chain_id: str = "C1",
    *,
    requestor: str = "acme",
    reason: FailureReason = FailureReason.STATUS,
    endpoint: str | None = SHOP,
    status: int | None = 503,
    step: int = 1,
    failed_at: datetime = MADE_AT,
) -> Failure:
    """A callback that was given up."""
    return Failure(
        slot=Slot(chain_id=chain_id, step=step),
        requestor=requestor,
        kind=FailureKind.CALLBACK,
        reason=reason,
        text=f"given up after 9 attempts: status {status}",
        endpoint=endpoint,
        status=status,
        failed_at=failed_at,
    )


def a_plan(
    replay_id: str = "R1",
    *,
    which: FailureFilter | None = None,
    number: int = 0,
    at: datetime = MADE_AT,
    pace: float = 1_000.0,
    endpoint_pace: float | None = None,
    canary: bool = True,
    state: ReplayState = ReplayState.PLANNED,
) -> Replay:
    """A plan that takes what was written up to a number."""
    return Replay(
        id=replay_id,
        state=state,
        filter=which or FailureFilter(),
        made_at=at,
        cut_off=CutOff(at=at, number=number),
        pace=pace,
        endpoint_pace=endpoint_pace,
        canary=canary,
    )


async def fail_chain(
    store: Store, chain_id: str, at: datetime, *, purged_at: datetime | None = None
) -> None:
    """A chain ends as failed."""
    failure = replace(a_failure(chain_id), failed_at=at)
    chain = Chain(
        id=chain_id,
        requestor="acme",
        backend="irma",
        state=ChainState.RUNNING,
        generation=0,
        created_at=at,
    )
    step = Step(
        slot=failure.slot, state=StepState.COMPLETED, created_at=at, check_at=None
    )
    await store.begin_chain(chain, step, [])
    ended = replace(chain, state=ChainState.FAILED, ended_at=at, purged_at=purged_at)
    changes = Changes(chain=ended, failure=failure)
    await store.decide_chain(chain_id, lambda *_: (None, changes))
