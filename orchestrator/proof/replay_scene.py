"""What takes part in an outage and its replay: endpoints, chains, and how it goes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.local.stack import Stack
from orchestrator.ports import Store
from orchestrator.proof.replay_command import Replays
from orchestrator.proof.replay_endpoints import Endpoints, endpoints_at_work
from orchestrator.proof.replay_http import HttpReplays
from orchestrator.proof.replay_rows import Rows
from orchestrator.proof.replay_traffic import Traffic
from orchestrator.store import open_store

#: Endpoints, and which of them are out.
ENDPOINTS: Final = 5
HIT: Final = (0, 1)

#: What answers when it is well: one in twenty refuses, as it would have done before.
REFUSES_EACH: Final = 20

#: Chains a second that are replayed, of many; few take at least so long.
PACE: Final = 10.0
_SHORTEST_S: Final = 150.0

#: So many chains leave time for all windows.
_WINDOWED_MIN: Final = 1_000

_PATIENCE_S: Final = 300.0


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a run goes.

    Attributes:
        rate: live chains a second.
        failing_rate: chains a second that fail.
        pace: chains a second that are replayed.
        settle_s: after the replay was paused or resumed, until a window begins.
        window_s: no window is longer, nor so long that five of them replay more than
            half of all.
        worker_at: what share is replayed when the worker is killed.
        broker_at: the same for the broker.
    """

    chains: int
    pace: float
    rate: float = 20.0
    failing_rate: float = 50.0
    pairs: int = 5
    settle_s: float = 3.0
    window_max_s: float = 30.0
    worker_at: float = 0.6
    broker_at: float = 0.75
    broker_away_s: float = 5.0

    @classmethod
    def of(cls, chains: int) -> Course:
        """A few chains are replayed more slowly, or there is no middle of it."""
        return cls(chains=chains, pace=min(PACE, chains / _SHORTEST_S))

    @property
    def windows_min(self) -> int:
        """A replay of a few may be over before there were all windows."""
        return 2 * self.pairs if self.chains >= _WINDOWED_MIN else 0

    @property
    def window_s(self) -> float:
        """So that half of the chains are left for what comes after the windows."""
        replaying_s = self.chains / 2 / self.pace / self.pairs
        return min(self.window_max_s, max(replaying_s - self.settle_s, 1.0))


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything that takes part.

    Attributes:
        replays: the way in.
    """

    stack: Stack
    store: Store
    rows: Rows
    endpoints: Endpoints
    live: Traffic
    failing: Traffic
    replays: Replays | HttpReplays


@asynccontextmanager
async def scene_of(
    stack: Stack, course: Course, replays: Replays | HttpReplays
) -> AsyncIterator[Scene]:
    """Around an installation, where replays are made in this way."""
    journal = stack.config_file.parent / "journal"
    async with (
        open_store(stack.database_url, patience_s=_PATIENCE_S) as store,
        Rows.of(stack) as rows,
        endpoints_at_work(stack.around, ENDPOINTS, journal) as endpoints,
        BrokerPublisher.open(stack.broker_url, "traffic") as publisher,
    ):
        hit = [endpoints.urls[number] for number in HIT]
        well = [url for url in endpoints.urls if url not in hit]
        # Each endpoint in turn, and each of them refuses some.
        paths = [*(["204"] * (REFUSES_EACH - 1)), "422"]
        failing = [f"{url}/{path}" for path in paths for url in hit]
        yield Scene(
            stack=stack,
            store=store,
            rows=rows,
            endpoints=endpoints,
            live=Traffic(
                rows=rows,
                publisher=publisher,
                urls=[f"{url}/204" for url in well],
                rate=course.rate,
            ),
            failing=Traffic(
                rows=rows, publisher=publisher, urls=failing, rate=course.failing_rate
            ),
            replays=replays,
        )
