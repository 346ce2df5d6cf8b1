"""For how long the results of a chain are kept after its end, by requestor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

#: What nobody configures otherwise.
DEFAULT_KEPT: Final = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class Retention:
    """The common time, and those of requestors that have one of their own, by key."""

    common: timedelta = DEFAULT_KEPT
    own: Mapping[str, timedelta] = field(default_factory=dict)

    def of(self, requestor: str) -> timedelta:
        """How long this requestor's results are kept, though it may be gone by now."""
        return self.own.get(requestor, self.common)

    def ended_before(self, requestor: str, now: datetime) -> datetime:
        """What of this requestor's ended before this has no results any more."""
        return now - self.of(requestor)
