"""How fast a replay goes: a bucket of tokens that fills as time passes.

The clock is handed in. A bucket holds at most what comes in a second, so who has paused
does not make up for it all at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

#: What a bucket holds at most, in seconds of its pace.
_BURST_S: Final = 1.0


@dataclass
class Bucket:
    """Tokens at a pace a second; the first is there at once."""

    pace: float
    filled_at: datetime
    tokens: float = 1.0

    def available(self, now: datetime) -> int:
        """How many whole tokens there are."""
        passed_s = max((now - self.filled_at).total_seconds(), 0.0)
        most = max(self.pace * _BURST_S, 1.0)
        self.tokens = min(self.tokens + passed_s * self.pace, most)
        self.filled_at = now
        return int(self.tokens)

    def next_in_s(self, now: datetime) -> float:
        """How long until there is a whole token."""
        if self.available(now):
            return 0.0
        return (1.0 - self.tokens) / self.pace

    def take(self, count: int) -> None:
        """Use tokens."""
        self.tokens -= count
