"""Rows, requests and results to decide about, with what no test cares about filled in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from orchestrator.domain.chain import Chain, ChainState, Slot, Step, StepState, View
from orchestrator.domain.claiming import NextSession, Proved
from orchestrator.domain.settling import Report
from schemas.events import Purpose
from schemas.messages import CallbackWork

NOW: Final = datetime(2026, 3, 29, 0, 59, 58, 765_432, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)
MINUTE: Final = timedelta(minutes=1)

CHAIN: Final = Chain(
    id="01HANDOVER",
    requestor="acme",
    backend="irma",
    state=ChainState.RUNNING,
    generation=0,
    created_at=NOW - MINUTE,
)
#: The generation was closed by a replay.
REPLAYED: Final = replace(CHAIN, generation=1)
CANCELLED: Final = replace(CHAIN, state=ChainState.CANCELLED, ended_at=NOW - SECOND)
CLOSED: Final = (REPLAYED, CANCELLED)

FIRST: Final = Slot(chain_id=CHAIN.id, step=1)
SECOND_SLOT: Final = FIRST.following

#: The second step's row in each of its states, as the rules leave it.
OFFERED: Final = Step(
    slot=SECOND_SLOT,
    state=StepState.OFFERED,
    session_type="disclosing",
    cause="answered",
    created_at=NOW - SECOND,
    check_at=NOW + 4 * SECOND,
    in_flow=True,
    deadline=NOW + 2 * SECOND,
    chained=True,
    answer_hash="answer",
    sealed_request="request",
    sealed_prepared="prepared",
)
FORWARDED: Final = replace(
    OFFERED,
    state=StepState.FORWARDED,
    forwarded_at=NOW - SECOND,
    check_at=NOW + 9 * SECOND,
)
DETACHED: Final = replace(OFFERED, state=StepState.DETACHED, check_at=NOW, in_flow=False)
STARTING: Final = replace(
    DETACHED,
    state=StepState.STARTING,
    lease_owner="w1",
    lease_until=NOW + 10 * SECOND,
    check_at=NOW + 10 * SECOND,
)
LIVE: Final = replace(
    DETACHED,
    state=StepState.LIVE,
    announced=True,
    live_at=NOW - SECOND,
    check_at=NOW + 20 * SECOND,
    token_hash="token",
    sealed_token="sealed token",
    sealed_package="package",
)
COMPLETED: Final = replace(
    LIVE, state=StepState.COMPLETED, completed_at=NOW - SECOND, sealed_result="result"
)
FINISHED: Final = replace(
    COMPLETED, state=StepState.FINISHED, check_at=None, final_status="DONE"
)
END: Final = Step(
    slot=SECOND_SLOT,
    state=StepState.END,
    cause="answered",
    created_at=NOW - SECOND,
    check_at=None,
    answer_hash="answer",
)
ROWS: Final = (
    OFFERED,
    FORWARDED,
    DETACHED,
    STARTING,
    LIVE,
    COMPLETED,
    FINISHED,
    END,
)

PROVED: Final = Proved(
    token_hash="token", sealed_token="sealed token", sealed_result="proved result"
)
NEXT: Final = NextSession(
    session_type="issuing",
    attributes=("irma-demo.RU.studentCard.studentID",),
    chained=True,
    timeout_s=120,
    sealed_request="next request",
    sealed_prepared="next prepared",
)


def a_view(
    step: Step | None,
    following: Step | None = None,
    *,
    chain: Chain = CHAIN,
    now: datetime = NOW,
) -> View:
    """What a rule sees of a step, whatever its number, and of the one after it."""
    return View(chain=chain, step=step, following=following, now=now)


def a_report(
    status: str,
    proof_status: str | None = None,
    *,
    of: str = LIVE.token_hash or "",
    stored: bool = False,
) -> Report:
    """A session's final state, as its callback or a look-up tells it."""
    return Report(
        status=status,
        proof_status=proof_status,
        token_hash=of,
        sealed_token=f"sealed {of}",
        sealed_result=f"{status} result",
        stored=stored,
    )


def a_callback(*, attempt: int = 1, purpose: Purpose = Purpose.NEXT) -> CallbackWork:
    """The first step's result on its way to its URL."""
    return CallbackWork(
        id="01HANDOVER-1-0-session_completed-cafe",
        chain_id=CHAIN.id,
        step=1,
        generation=0,
        requestor="acme",
        cause="cause",
        purpose=purpose,
        endpoint="https://acme.example:443",
        session_type="disclosing",
        validity_s=120,
        attempt=attempt,
        sealed="sealed",
    )
