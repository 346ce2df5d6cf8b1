"""Messages that are due, and what went out of them."""

from __future__ import annotations

from datetime import timedelta

from orchestrator.ports import Message, Waiting
from tests.support.samples import NOW
from tests.support.workshop import Workshop


def waiting(name: str, due_s: float = 0.0, body: bytes = b"{}") -> Waiting:
    """A message that is due some time from now."""
    return Waiting(
        id=name,
        kind="retry",
        due_at=NOW + timedelta(seconds=due_s),
        message=Message(id=f"{name}:work", routing_key="sessions", body=body),
        created_at=NOW,
    )


def published(workshop: Workshop) -> list[str]:
    """The ids of all messages that went out."""
    return [message.id for message in workshop.publisher.messages]
