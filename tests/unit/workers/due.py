"""Messages that are due, and what went out of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

from orchestrator.ports import PARKED, Message, Waiting
from tests.support.samples import NOW
from tests.support.workshop import Workshop

SHOP: Final = "https://shop.example:443"


def waiting(name: str, due_s: float = 0.0, body: bytes = b"{}") -> Waiting:
    """A message that is due some time from now."""
    return Waiting(
        id=name,
        kind="retry",
        due_at=NOW + timedelta(seconds=due_s),
        message=Message(id=f"{name}:work", routing_key="sessions", body=body),
        created_at=NOW,
    )


def parked(name: str) -> Waiting:
    """A callback that waits for its endpoint."""
    return replace(waiting(name), kind=PARKED, endpoint=SHOP)


def published(workshop: Workshop) -> list[str]:
    """The ids of all messages that went out."""
    return [message.id for message in workshop.publisher.messages]
