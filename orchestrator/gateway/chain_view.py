"""What a chain's rows mean for its requestor."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from orchestrator.domain.chain import Chain, Step, StepState
from orchestrator.domain.retention import Retention
from orchestrator.gateway.sessions import over
from orchestrator.rows import RowSecrets
from schemas.chains import ChainView, Flow, SessionView
from schemas.irma import SessionResult


def chain_view(
    chain: Chain,
    steps: Sequence[Step],
    secrets: RowSecrets | None,
    *,
    kept: Retention,
    now: datetime,
) -> ChainView:
    """All that is known of a chain; after its time, what happened but no results.

    Args:
        chain: its row.
        steps: its rows; the one that holds its end is no session.
        secrets: opens what is sealed in them; None: the caller may not see that.
        kept: how long results are told after the chain's end.
        now: what the time is.
    """
    told = None if over(chain, kept, now) else secrets
    own = kept.of(chain.requestor)
    return ChainView(
        id=chain.id,
        requestor=chain.requestor,
        state=chain.state.value,
        generation=chain.generation,
        created_at=chain.created_at,
        ended_at=chain.ended_at,
        reason=chain.reason,
        results_until=chain.ended_at + own if chain.ended_at else None,
        sessions=tuple(
            _session(step, told) for step in steps if step.state is not StepState.END
        ),
    )


def _session(step: Step, secrets: RowSecrets | None) -> SessionView:
    view = SessionView(
        step=step.slot.step,
        generation=step.slot.generation,
        type=step.session_type or None,
        state=step.state.value,
        status=step.final_status,
        flow=_flow(step),
        created_at=step.created_at,
        live_at=step.live_at,
        completed_at=step.completed_at,
        reason=step.reason,
    )
    return view if secrets is None else _with_secrets(view, step, secrets)


def _with_secrets(view: SessionView, step: Step, secrets: RowSecrets) -> SessionView:
    """What its requestor alone may see; what the user scans only while that leads on."""
    result = secrets.result(step)
    live = secrets.package(step) if step.state is StepState.LIVE else None
    return view.model_copy(
        update={
            "token": secrets.token(step),
            "proof_status": result.proof_status if result else None,
            "disclosed": _disclosed(result) if result else None,
            "session_ptr": live.session_ptr if live else None,
            "frontend_request": live.frontend_request if live else None,
        }
    )


def _flow(step: Step) -> Flow:
    if step.slot.step == 1:
        return Flow.FIRST
    return Flow.IN_FLOW if step.in_flow else Flow.DETACHED


def _disclosed(result: SessionResult) -> tuple[str, ...]:
    """Each attribute once, in the order of the result."""
    ids = [
        attribute.id
        for attributes in result.disclosed or ()
        for attribute in attributes or ()
    ]
    return tuple(dict.fromkeys(ids))
