"""When a requestor is told no more events: its URL fails too many of them for good."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

#: So many, and none taken in between, are no accident.
IN_A_ROW_MAX: Final = 10

#: Who goes on refusing some of its events is to say which it wants (`events_types`).
OF_DAY_MAX: Final = 100

DAY: Final = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Refusals:
    """Events that were given up, as one worker process has seen it.

    `of_day` counts from `since` on, for a day.
    """

    since: datetime
    in_a_row: int = 0
    of_day: int = 0

    def counting(self, now: datetime) -> Refusals:
        """With one more."""
        if now >= self.since + DAY:
            return Refusals(since=now, in_a_row=self.in_a_row + 1, of_day=1)
        return replace(self, in_a_row=self.in_a_row + 1, of_day=self.of_day + 1)

    def well(self) -> Refusals:
        """An event was taken."""
        return replace(self, in_a_row=0)

    @property
    def too_many(self) -> str | None:
        """Why the requestor is told nothing for now, if that is so."""
        if self.in_a_row >= IN_A_ROW_MAX:
            return f"{self.in_a_row} events in a row failed for good"
        if self.of_day >= OF_DAY_MAX:
            return f"{self.of_day} events of one day failed for good"
        return None
