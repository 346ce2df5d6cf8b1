"""A case that came to what it should have come to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from orchestrator.domain.chain import ChainState
from orchestrator.domain.delivery import RetryPolicy
from orchestrator.proof.sightings import (
    App,
    Attempt,
    Content,
    Decided,
    Expected,
    Planned,
    Seen,
)

POLICY = RetryPolicy(background_delays_s=(1.0, 2.0))
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def at(after_s: float) -> datetime:
    """So long after the first attempt."""
    return NOW + timedelta(seconds=after_s)


def content(after_s: float) -> Content:
    """What an attempt made then carries."""
    second = int(at(after_s).timestamp())
    return Content(
        webhook_id="C1-1-0-c",
        result="{}",
        stamps=(second, second),
        trace=f"00-{after_s}-01",
        genuine=True,
    )


def attempt(after_s: float) -> Attempt:
    """An attempt that the endpoint answered at once."""
    moment = at(after_s)
    return Attempt(at=moment, replied_at=moment, content=content(after_s))


EXPECTED = Expected(
    decided=("503 live", "503 background", "202 later", "reply end"),
    attempts=3,
    state=ChainState.COMPLETED,
    app=App.ENDED_WELL,
    replies=(204,),
)
LIVE = Planned(clock="live", delay_s=0.25, at=at(0.25))
BACKGROUND = Planned(clock="background", delay_s=1.1, at=at(1.4))
SEEN = Seen(
    decided=(
        Decided(text="503 live", at=at(0), retry=LIVE),
        Decided(text="503 background", at=at(0.3), retry=BACKGROUND),
        Decided(text="202 later", at=at(1.5)),
        Decided(text="reply end", at=at(2), replied=True),
    ),
    attempts=(attempt(0), attempt(0.3), attempt(1.5)),
    state=ChainState.COMPLETED,
    ended_at=at(2.1),
    app=App.ENDED_WELL,
    replies=(204,),
)
