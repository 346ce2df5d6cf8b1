"""Events to work with, filled in where a test does not care."""

from __future__ import annotations

from schemas.events import EnvelopeFields, SessionStarted, SessionStartedData
from tests.support.samples import NOW


def envelope(
    event_id: str = "e1",
    chain: str = "C1",
    *,
    step: int = 1,
    requestor: str = "acme",
    cause: str | None = None,
) -> EnvelopeFields:
    """Around what happened in a chain."""
    return {
        "id": event_id,
        "subject": chain,
        "time": NOW,
        "chainid": chain,
        "step": step,
        "generation": 0,
        "requestor": requestor,
        "causationid": cause,
    }


def started(
    event_id: str = "e1",
    chain: str = "C1",
    *,
    requestor: str = "acme",
    cause: str | None = None,
    sequence: int | None = None,
) -> SessionStarted:
    """A session that is live, because of something."""
    return SessionStarted(
        **envelope(event_id, chain, requestor=requestor, cause=cause),
        sequence=sequence,
        data=SessionStartedData(session_type="disclosing", backend="irma", in_flow=True),
    )
