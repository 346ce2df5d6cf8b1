"""What users, endpoint, subscriber and database have in their journals of one outage.

Times are seconds since the epoch, all by the clock of one machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

#: What is in flight at the edges of an outage belongs to it.
EDGE_S: Final = 2.0


class Phase(StrEnum):
    """When something happened."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


@dataclass(frozen=True, kw_only=True)
class Away:
    """From when until when it was away."""

    from_s: float
    until_s: float

    @property
    def lasted_s(self) -> float:
        """How long."""
        return self.until_s - self.from_s

    def phase(self, at_s: float) -> Phase:
        """The phase of a moment."""
        if at_s < self.from_s:
            return Phase.BEFORE
        return Phase.DURING if at_s < self.until_s else Phase.AFTER

    def near(self, at_s: float) -> bool:
        """Whether it was away at this moment, or nearly."""
        return self.from_s - EDGE_S <= at_s < self.until_s + EDGE_S


@dataclass(frozen=True, kw_only=True)
class Sitting:
    """One session as its user lived it.

    Attributes:
        shared_s: when the user agreed; what comes then is waiting.
        waited_s: how long the app waited for the end of it.
        ended_well: whether the app said so.
        detached: whether it did not come to the app by itself.
    """

    step: int
    shared_s: float
    waited_s: float
    ended_well: bool
    detached: bool


@dataclass(kw_only=True)
class User:
    """One user's chain: how many sessions there should be, and those there were."""

    chain_id: str
    begun_s: float
    sessions: int
    sittings: list[Sitting] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    @property
    def last_shared_s(self) -> float | None:
        """When the user had done all there was to do."""
        if len(self.sittings) < self.sessions:
            return None
        return self.sittings[-1].shared_s


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A chain that was not started; `clear` if a requestor can tell what to do."""

    at_s: float
    status: int
    clear: bool


@dataclass(frozen=True, kw_only=True)
class Posted:
    """One attempt of a callback, as the endpoint got it; `result` without time stamps."""

    chain_id: str
    step: int
    webhook_id: str
    result: str
    at_s: float


@dataclass(frozen=True, kw_only=True)
class Told:
    """One event, as a subscriber got it."""

    id: str
    type: str
    chain_id: str
    step: int
    generation: int
    sequence: int


@dataclass(frozen=True, kw_only=True)
class Viewing:
    """A chain page that was open: streams that ended too soon, and refusals by time."""

    chain_id: str
    cut: int
    refused: Sequence[tuple[float, int]]


@dataclass(frozen=True, kw_only=True)
class Said:
    """One line of a process' log."""

    event: str
    at_s: float


@dataclass(frozen=True, kw_only=True)
class Signs:
    """What a process says when something is away, and when it is back.

    Attributes:
        over: None for a process that only stops to complain.
    """

    away: str
    over: str | None


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A chain's rows: its state, when it ended, the final status of each session."""

    chain_id: str
    state: str
    ended_s: float | None
    statuses: Sequence[str | None]


@dataclass(frozen=True, kw_only=True)
class Books:
    """All journals of one outage.

    Attributes:
        offered: chains a second, as they were asked for.
        refuses: whether new chains have to be refused meanwhile.
    """

    away: Away
    rate: float
    offered: float
    refuses: bool
    users: Sequence[User]
    refusals: Sequence[Refusal]
    posted: Sequence[Posted]
    told: Sequence[Told]
    viewings: Sequence[Viewing]
    kept: Mapping[str, Kept]

    @property
    def ours(self) -> set[str]:
        """The chains that somebody was told of."""
        return {user.chain_id for user in self.users}
