"""What a replay worker keeps of a plan in hand: its paces, and which endpoints it leaves.

Nothing of it has to last: whoever takes a plan over begins with a fresh one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from orchestrator.domain.pacing import Bucket
from workers.holding_back import HeldBack

#: Between two looks for what may go out, while all that is left is blocked: such a look
#: goes through all of a plan.
BLOCKED_EVERY: Final = timedelta(seconds=2)


@dataclass
class Going:
    """A plan in hand.

    Attributes:
        bucket: the plan's pace; `of_endpoints` those of each endpoint.
        silent_at: until when outcomes could not come, as far as is known here: a plan
            taken in hand has waited for we do not know what.
        held: how endpoints stood at `held_at`.
        looked_at: when outcomes were looked for.
        blocked: without which endpoints nothing could go out, at `blocked_at`.
        let_go_to: up to which failure a cancelled plan has let go of what it never began.
    """

    bucket: Bucket
    silent_at: datetime
    of_endpoints: dict[str, Bucket] = field(default_factory=dict)
    held: HeldBack = field(default_factory=HeldBack)
    held_at: datetime | None = None
    looked_at: datetime | None = None
    blocked: frozenset[str] = frozenset()
    blocked_at: datetime | None = None
    let_go_to: int = 0

    def without(self, now: datetime) -> frozenset[str]:
        """Endpoints that take nothing now, or have had enough."""
        exhausted = (
            origin
            for origin, bucket in self.of_endpoints.items()
            if bucket.available(now) < 1
        )
        return self.held.blocked.union(exhausted)

    def stuck(self, without: frozenset[str], now: datetime) -> bool:
        """Whether nothing could go out just now, and the same is blocked still."""
        if self.blocked_at is None or without != self.blocked:
            return False
        return now - self.blocked_at < BLOCKED_EVERY

    def looked(self, without: frozenset[str], found: int, now: datetime) -> None:
        """So many could go out."""
        self.blocked = without
        self.blocked_at = None if found or not without else now

    def spend(self, endpoint: str | None, pace: float | None, now: datetime) -> None:
        """One more for this endpoint; a probe is followed by none until it is back."""
        if endpoint is None:
            return
        if endpoint in self.held.probes:
            self.held = self.held.probed(endpoint)
        if pace is not None:
            fresh = Bucket(pace=pace, filled_at=now)
            self.of_endpoints.setdefault(endpoint, fresh).take(1)
