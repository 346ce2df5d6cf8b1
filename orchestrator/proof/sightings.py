"""What a case of a proof should come to, and what was seen of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from orchestrator.domain.chain import ChainState


class App(StrEnum):
    """What the user's app saw of it."""

    ENDED_WELL = "ended well"
    NEXT = "next in flow"
    DETACHED = "ended well, next detached"
    TOLD = "error told"


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a case should come to.

    Attributes:
        decided: each decision in order, as `Decided.text`.
        attempts: how many the endpoint counts.
        unseen: how many were made that it cannot see.
        reason: what the chain's reason says; None: there is none.
        asked_s: the least pause before a background retry.
        replies: what the reply URL answered, in order.
        ends_after_s: how long after the first attempt the chain ends by the clock.
    """

    decided: tuple[str, ...]
    attempts: int
    unseen: int = 0
    state: ChainState = ChainState.COMPLETED
    app: App = App.ENDED_WELL
    reason: str | None = None
    asked_s: float = 0.0
    replies: tuple[int, ...] = ()
    ends_after_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Planned:
    """When the next attempt was to be made."""

    clock: Literal["live", "background"]
    delay_s: float
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Decided:
    """One decision about a callback, as its event tells it.

    Attributes:
        text: what came back and what was decided.
        replied: whether it came to the reply URL; else it is about an attempt.
    """

    text: str
    at: datetime
    retry: Planned | None = None
    replied: bool = False


@dataclass(frozen=True, kw_only=True)
class Content:
    """What an attempt carried.

    Attributes:
        result: the claims without their times.
        stamps: the whole seconds that it says it was made in, by header and by JWT.
        trace: names this attempt.
        genuine: whether both signatures held and the result is the session's own.
    """

    webhook_id: str
    result: str
    stamps: tuple[int, ...]
    trace: str
    genuine: bool


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt as the endpoint saw it; without content if it was not read."""

    at: datetime
    replied_at: datetime | None = None
    content: Content | None = None


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was seen of a case.

    Attributes:
        trouble: why it could not be played to its end.
    """

    decided: tuple[Decided, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    state: ChainState | None = None
    ended_at: datetime | None = None
    app: str = ""
    reason: str | None = None
    replies: tuple[int, ...] = ()
    trouble: str | None = None
