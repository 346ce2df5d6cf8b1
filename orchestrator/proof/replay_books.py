"""What the proof of an outage and its replay has seen, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.proof.replay_command import Told
from orchestrator.proof.replay_journal import Posted


class Victim(StrEnum):
    """What is killed by kill -9, in this order."""

    WORKER = "the replay worker"
    BROKER = "the broker"


@dataclass(frozen=True, kw_only=True)
class Kill:
    """What was killed, and how many chains the plan had replayed then."""

    what: Victim
    replayed: int

    def __str__(self) -> str:
        """For people."""
        return f"{self.what} at {self.replayed:,}"


@dataclass(frozen=True, kw_only=True)
class InHand:
    """How many callbacks may come again under their ids, by what the kills hit.

    Attributes:
        first: of the generation in which a chain begins.
        replayed: of those that the replay has opened.
    """

    first: int
    replayed: int


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
        pace: chains a second, as the plan was made.
        failed: the chains that the outage has failed, each with its URL.
        live: the others.
        windows_min: how many windows such a run has to have.
        cut_short: why there were no more windows, if there were not.
        rss_mb: the most that a replay worker ever had, each time one ran.
        complaint: of the command that followed the plan, if it has not ended well.
        left: what was not gone in the end, in words.
        died: processes that ended and should not have.
        in_hand: what the kills explain of callbacks that came again.
        spared: why something was not killed, and what to do about it.
    """

    pace: float
    rate: float
    failed: Mapping[str, str]
    live: Mapping[str, str]
    rows: Mapping[str, Row]
    posts: Sequence[Posted]
    windows: Sequence[Window]
    windows_min: int
    plan: Told
    complaint: str
    took_s: float
    failing_took_s: float
    rss_mb: Sequence[float]
    killed: Sequence[Kill]
    in_hand: InHand
    cut_short: str = ""
    left: Sequence[str] = ()
    died: Sequence[str] = ()
    spared: Sequence[str] = ()
