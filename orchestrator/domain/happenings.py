"""Builds the events of a chain from its rows; the ids follow from what happened.

Each event names its cause, the event that had to come first; the history keeps them in
that order (DESIGN §5).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Literal

from orchestrator.domain.breaker import BreakerState, Endpoint, Kept
from orchestrator.domain.chain import Chain, ChainState, Ending, Slot, Step
from orchestrator.domain.delivery import Answer, NoAnswer, Reply, RetryLater, RetryLive
from orchestrator.domain.posting import traceparent_of
from schemas import events
from schemas.irma import SessionResult
from schemas.messages import CallbackWork, End

ChainEnd = Literal["chain.completed", "chain.failed", "chain.cancelled", "chain.expired"]

_CHAIN_ENDS: Final[dict[End, ChainEnd]] = {
    End.COMPLETED: "chain.completed",
    End.FAILED: "chain.failed",
    End.CANCELLED: "chain.cancelled",
    End.EXPIRED: "chain.expired",
}

#: As much of a reason as an event takes (`schemas.events.EndReason`): it may repeat what
#: an endpoint has sent, so its length is not ours.
REASON_CHARS_MAX: Final = 500

#: How many attribute ids an event names at most; a request may repeat them without end.
ATTRIBUTES_MAX: Final = 100

SessionEnd = Literal[
    "session.finished", "session.cancelled", "session.expired", "session.failed"
]


EndpointEvent = Literal[
    "endpoint.opened", "endpoint.closed", "endpoint.paused", "endpoint.resumed"
]


def _envelope(
    slot: Slot,
    requestor: str,
    event_id: str,
    cause: str | None,
    now: datetime,
    *,
    traceparent: str | None = None,
) -> events.EnvelopeFields:
    """What every event says of itself; its span is its own unless it is given."""
    return {
        "id": event_id,
        "subject": slot.chain_id,
        "time": now,
        "chainid": slot.chain_id,
        "step": slot.step,
        "generation": slot.generation,
        "requestor": requestor,
        "causationid": cause,
        "traceparent": traceparent or traceparent_of(slot.chain_id, event_id),
    }


def chain_started(chain: Chain, slot: Slot) -> events.ChainStarted:
    """The first event of every chain."""
    event_id = slot.event_id("chain.started")
    return events.ChainStarted(
        **_envelope(slot, chain.requestor, event_id, None, chain.created_at),
        data=events.ChainStartedData(backend=chain.backend),
    )


def session_requested(
    chain: Chain, step: Step, attributes: tuple[str, ...], now: datetime
) -> events.SessionRequested:
    """A session was decided upon; its row exists."""
    slot = step.slot
    event_id = slot.event_id("session.requested")
    return events.SessionRequested(
        **_envelope(slot, chain.requestor, event_id, step.cause or None, now),
        data=events.SessionRequestedData(
            session_type=step.session_type,
            backend=chain.backend,
            attributes=_named(attributes),
            chained=step.chained,
            in_flow=step.in_flow,
        ),
    )


def session_started(chain: Chain, step: Step, now: datetime) -> events.SessionStarted:
    """A session is known to be live."""
    slot = step.slot
    event_id, cause = slot.event_id("session.started"), slot.event_id("session.requested")
    return events.SessionStarted(
        **_envelope(slot, chain.requestor, event_id, cause, now),
        data=events.SessionStartedData(
            session_type=step.session_type,
            backend=chain.backend,
            in_flow=step.in_flow,
        ),
    )


def session_connected(chain: Chain, step: Step, now: datetime) -> events.SessionConnected:
    """The user's app has connected; whoever sees it again says the same."""
    slot = step.slot
    event_id, cause = slot.event_id("session.connected"), slot.event_id("session.started")
    return events.SessionConnected(
        **_envelope(slot, chain.requestor, event_id, cause, now),
        data=events.SessionConnectedData(
            session_type=step.session_type, backend=chain.backend
        ),
    )


def session_completed(
    slot: Slot, requestor: str, result: SessionResult, event_id: str, now: datetime
) -> events.SessionCompleted:
    """A session was proved and its result handed to us; `event_id` names its session."""
    disclosed = [
        attribute.id
        for attributes in result.disclosed or ()
        for attribute in attributes or ()
    ]
    cause = slot.event_id("session.started")
    return events.SessionCompleted(
        **_envelope(slot, requestor, event_id, cause, now),
        data=events.SessionCompletedData(
            session_type=result.type,
            proof_status=result.proof_status or "",
            disclosed=_named(disclosed),
        ),
    )


def session_ended(
    chain: Chain,
    step: Step,
    kind: SessionEnd,
    now: datetime,
    *,
    status: str,
    proof_status: str | None = None,
    reason: str | None = None,
) -> events.SessionEnded:
    """A session is final at its backend (or could not be started at all)."""
    slot = step.slot
    before = "session.started" if step.announced else "session.requested"
    cause = slot.event_id(before)
    return events.SessionEnded(
        type=kind,
        **_envelope(slot, chain.requestor, slot.event_id(kind), cause, now),
        data=events.SessionEndedData(
            session_type=step.session_type,
            status=status,
            proof_status=proof_status,
            reason=_brief(reason),
        ),
    )


def chain_ended(
    chain: Chain, slot: Slot, ending: Ending, now: datetime
) -> events.ChainEnded:
    """The chain is over; `slot` is the one that holds its end."""
    kind = _CHAIN_ENDS[ending.end]
    last = replace(slot, step=slot.step - 1)
    return events.ChainEnded(
        type=kind,
        **_envelope(last, chain.requestor, slot.event_id(kind), ending.cause, now),
        data=events.ChainEndedData(
            steps=last.step,
            duration_s=round((now - chain.created_at).total_seconds(), 3),
            reason=_brief(ending.reason),
        ),
    )


def chain_replayed(
    chain: Chain, slot: Slot, again: Literal["callback", "session"], now: datetime
) -> events.ChainReplayed:
    """The next generation begins at `slot`; `chain` is as the one before has left it."""
    last = replace(slot.following, generation=chain.generation)
    cause = last.event_id(f"chain.{chain.state}")
    event_id = slot.event_id("chain.replayed")
    return events.ChainReplayed(
        **_envelope(slot, chain.requestor, event_id, cause, now),
        data=events.ChainReplayedData(
            again=again,
            ended="expired" if chain.state is ChainState.EXPIRED else "failed",
            reason=_brief(chain.reason),
        ),
    )


def _of_callback(
    work: CallbackWork, event_type: str, now: datetime
) -> events.EnvelopeFields:
    """The envelope of an attempt's event; the attempt tells it from the others.

    Its span is the attempt's own, as the endpoint has got it.
    """
    slot = Slot(chain_id=work.chain_id, step=work.step, generation=work.generation)
    event_id = f"{work.id}-{event_type.replace('.', '_')}-{work.attempt}"
    span = traceparent_of(work.chain_id, work.id, work.attempt)
    return _envelope(slot, work.requestor, event_id, work.cause, now, traceparent=span)


def callback_retrying(
    work: CallbackWork, reply: Reply, retry: RetryLive | RetryLater, now: datetime
) -> events.CallbackRetrying:
    """An attempt failed; the next one is planned."""
    return events.CallbackRetrying(
        **_of_callback(work, "callback.retrying", now),
        data=events.CallbackRetryingData(
            endpoint=work.endpoint,
            purpose=work.purpose,
            attempt=work.attempt,
            clock="live" if isinstance(retry, RetryLive) else "background",
            delay_ms=round(retry.delay_s * 1000),
            next_at=now + timedelta(seconds=retry.delay_s),
            status=_status(reply),
            fault=_fault(reply),
        ),
    )


def callback_parked(
    work: CallbackWork, kept: Kept, now: datetime
) -> events.CallbackParked:
    """The next attempt is kept back; parked again it is the same event."""
    return events.CallbackParked(
        **_of_callback(work, "callback.parked", now),
        data=events.CallbackParkedData(
            endpoint=work.endpoint,
            purpose=work.purpose,
            attempt=work.attempt,
            kept=kept.value,
        ),
    )


def callback_answered(
    work: CallbackWork,
    reply: Reply,
    answer: Literal["next", "end", "later", "noted"],
    now: datetime,
) -> events.CallbackAnswered:
    """The endpoint has spoken; `answer` is what it said."""
    return events.CallbackAnswered(
        **_of_callback(work, "callback.answered", now),
        data=events.CallbackAnsweredData(
            endpoint=work.endpoint,
            purpose=work.purpose,
            attempt=work.attempt,
            status=_status(reply),
            duration_ms=round(reply.duration_s * 1000),
            answer=answer,
        ),
    )


def callback_replied(
    work: CallbackWork, answer: Literal["next", "end"], now: datetime
) -> events.CallbackAnswered:
    """The endpoint has spoken by the reply URL; of a step only one such word is taken."""
    event_id = f"{work.id}-callback_answered-reply"
    slot = Slot(chain_id=work.chain_id, step=work.step, generation=work.generation)
    return events.CallbackAnswered(
        **_envelope(slot, work.requestor, event_id, work.cause, now),
        data=events.CallbackAnsweredData(
            endpoint=work.endpoint,
            purpose=work.purpose,
            attempt=work.attempt,
            answer=answer,
        ),
    )


def callback_failed(
    work: CallbackWork, reply: Reply | None, reason: str, now: datetime
) -> events.CallbackFailed:
    """The callback was given up: after a reply, or by an operator."""
    return events.CallbackFailed(
        **_of_callback(work, "callback.failed", now),
        data=events.CallbackFailedData(
            endpoint=work.endpoint,
            purpose=work.purpose,
            attempt=work.attempt,
            reason=reason[:REASON_CHARS_MAX],
            status=_status(reply),
            fault=_fault(reply),
        ),
    )


def endpoint_changed(
    before: Endpoint, after: Endpoint, now: datetime
) -> events.EndpointChanged | None:
    """What operators should know of a change; None of steps in between."""
    kind = _endpoint_event(before, after)
    if kind is None:
        return None
    opened = after.state is BreakerState.OPEN
    return events.EndpointChanged(
        type=kind,
        id=f"{endpoint_id(after.origin)}-{kind.replace('.', '_')}-{after.version}",
        subject=after.origin,
        time=now,
        data=events.EndpointChangedData(
            state=after.state.value,
            paused=after.paused_at is not None,
            trips=after.trips,
            attempts=after.attempts,
            failures=after.failures,
            probe_at=after.release_at if opened else None,
            note=_brief(after.note),
        ),
    )


def _endpoint_event(before: Endpoint, after: Endpoint) -> EndpointEvent | None:
    if (before.paused_at is None) != (after.paused_at is None):
        return "endpoint.resumed" if after.paused_at is None else "endpoint.paused"
    if after.state is BreakerState.OPEN and after.trips != before.trips:
        return "endpoint.opened"
    if after.state is BreakerState.CLOSED and before.state is not BreakerState.CLOSED:
        return "endpoint.closed"
    return None


def endpoint_id(origin: str) -> str:
    """Names an endpoint in ids, where its origin's signs are not allowed."""
    return f"endpoint-{hashlib.sha256(origin.encode()).hexdigest()[:24]}"


def _status(reply: Reply | None) -> int | None:
    return reply.status if isinstance(reply, Answer) else None


def _fault(reply: Reply | None) -> str | None:
    return reply.fault.value if isinstance(reply, NoAnswer) else None


def _named(ids: Iterable[str]) -> tuple[str, ...]:
    """Each id once, and not more than an event should hold."""
    return tuple(dict.fromkeys(ids))[:ATTRIBUTES_MAX]


def _brief(reason: str | None) -> str | None:
    return None if reason is None else reason[:REASON_CHARS_MAX]
