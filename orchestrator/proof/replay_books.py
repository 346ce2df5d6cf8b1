"""What the proof of an outage and its replay has seen, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.proof.replay_command import Told
from orchestrator.proof.replay_journal import Posted


@dataclass(frozen=True, kw_only=True)
class Window:
    """Some seconds of live traffic, with the replay paused or running.

    Attributes:
        latencies_s: from publishing to the endpoint, the quickest first.
        replayed: how many chains the replay took up meanwhile.
    """

    replaying: bool
    from_s: float
    to_s: float
    latencies_s: Sequence[float]
    replayed: int

    @property
    def lasted_s(self) -> float:
        """How long it was."""
        return self.to_s - self.from_s


@dataclass(frozen=True, kw_only=True)
class Row:
    """A chain as its rows are in the end.

    Attributes:
        ends: how often it was said to have ended, by generation.
        sessions: how many rows of sessions each generation has.
    """

    state: str
    generation: int
    ends: Mapping[int, int]
    sessions: Mapping[int, int]


@dataclass(frozen=True, kw_only=True)
class Books:
    """One run.

    Attributes:
        pace: chains a second, as the command was told.
        failed: the chains that the outage has failed, each with its URL.
        live: the others.
        rss_mb: the most that a replay worker ever had, each time one ran.
        complaint: of the command that replayed, if it has not ended well.
        left: what was not gone in the end, in words.
        died: processes that ended and should not have.
    """

    pace: float
    rate: float
    failed: Mapping[str, str]
    live: Mapping[str, str]
    rows: Mapping[str, Row]
    posts: Sequence[Posted]
    windows: Sequence[Window]
    plan: Told
    complaint: str
    took_s: float
    failing_took_s: float
    rss_mb: Sequence[float]
    left: Sequence[str] = ()
    died: Sequence[str] = ()
    killed: Sequence[str] = field(default_factory=tuple)
