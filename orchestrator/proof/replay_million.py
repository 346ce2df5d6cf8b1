"""A plan of very many failures: how long it takes to make, and the worker's memory.

Thousands are real and go out first, to endpoints that answer; the rest is there to be
counted, claimed, and let go of when the plan is cancelled.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from orchestrator.local.stack import Plan, Stack
from orchestrator.proof.ground import Ground
from orchestrator.proof.replay_account import Kept, exact, kept_of
from orchestrator.proof.replay_bulk import multiply
from orchestrator.proof.replay_command import Replays, Told
from orchestrator.proof.replay_judging import small
from orchestrator.proof.replay_kept import memory_mb
from orchestrator.proof.replay_plans import until_plan
from orchestrator.proof.replay_rows import Rows
from orchestrator.proof.report import Promise, Report, Sheet
from orchestrator.proof.sink import sink_at_work
from schemas.messages import Lane

Say = Callable[[str], None]

#: Real ones: more than the worker comes to while it is watched.
REAL: Final = 10_000
WATCHED_S: Final = 60.0

#: As fast as it can.
_PACE: Final = 1_000.0
_LOOK_S: Final = 1.0
#: To claim them, and to let go of them: pages of a thousand.
_PER_S_MIN: Final = 500
_BOUND_S: Final = 300.0


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What was seen; memory in MB.

    Attributes:
        begun_mb: what the worker has before there is a plan.
        looks_mb: while it replays, second by second.
        most_mb: the most that it ever had, as the kernel tells it.
    """

    selected: int
    seeded_s: float
    made_s: float
    claimed_s: float
    released_s: float
    begun_mb: float
    looks_mb: list[float]
    most_mb: float
    replayed_per_s: float
    plan: Told
    kept: Kept


async def prove(
    ground: Ground, say: Say, selected: int, watched_s: float = WATCHED_S
) -> Report:
    """An installation with so many failures."""
    plan = Plan(endpoint=False, lanes=(Lane.REPLAY,), replays=True)
    async with (
        ground.stack(plan) as stack,
        Rows.of(stack) as rows,
        sink_at_work(stack.around, 2) as sink,
    ):
        urls = [f"{url}/204" for url in sink.urls]
        return report(await _Run(stack, rows, urls, say).watch(selected, watched_s))


@dataclass(frozen=True)
class _Run:
    stack: Stack
    rows: Rows
    urls: list[str]
    say: Say

    async def watch(self, selected: int, watched_s: float) -> Watched:
        """The whole life of the plan."""
        seeded_s = await self._seeded(selected)
        replays, store = Replays(stack=self.stack), self.rows.database
        begun_mb = self._mb("VmRSS")
        self.say(f"the worker has {begun_mb:.1f} MB; `chainctl replay run --all`")
        began_s = time.monotonic()
        plan = await replays.made(_PACE)
        made_s = time.monotonic() - began_s
        self.say(f"the plan was made in {made_s:.1f} s; its failures are being claimed")
        patience_s = _BOUND_S + selected / _PER_S_MIN
        await until_plan(store, plan.id, lambda one: not one.claiming, patience_s)
        claimed_s = time.monotonic() - began_s - made_s
        self.say(
            f"claimed in {claimed_s:.1f} s; the worker has {self._mb('VmRSS'):.1f} MB"
        )
        looks, pace = await self._looks(plan.id, watched_s)
        await replays.cancel(plan.id)
        began_s = time.monotonic()
        await until_plan(store, plan.id, lambda one: one.settled, patience_s)
        return Watched(
            selected=selected,
            seeded_s=seeded_s,
            made_s=made_s,
            claimed_s=claimed_s,
            released_s=time.monotonic() - began_s,
            begun_mb=begun_mb,
            looks_mb=looks,
            most_mb=self._mb("VmHWM"),
            replayed_per_s=pace,
            plan=await replays.show(plan.id),
            kept=await kept_of(store, plan.id),
        )

    async def _seeded(self, selected: int) -> float:
        began_s = time.monotonic()
        real = min(REAL, selected // 2)
        self.say(f"writing {selected:,} failures")
        targets = [self.urls[number % len(self.urls)] for number in range(real)]
        ids = await self.rows.failed(targets)
        await multiply(self.rows.database, ids[0], selected - real)
        seeded_s = time.monotonic() - began_s
        self.say(f"written in {seeded_s:.0f} s")
        return seeded_s

    async def _looks(self, replay_id: str, watched_s: float) -> tuple[list[float], float]:
        """The memory each second, and how many chains a second went out meanwhile."""
        before = await self._replayed(replay_id)
        began_s, looks = time.monotonic(), []
        while time.monotonic() - began_s < watched_s:
            await asyncio.sleep(_LOOK_S)
            looks.append(self._mb("VmRSS"))
        took_s = time.monotonic() - began_s
        pace = (await self._replayed(replay_id) - before) / took_s
        self.say(
            f"{pace:.0f} chains/s for {took_s:.0f} s; {looks[-1]:.1f} MB; cancelling"
        )
        return looks, pace

    async def _replayed(self, replay_id: str) -> int:
        plan = await until_plan(self.rows.database, replay_id, lambda _: True, _BOUND_S)
        return plan.replayed

    def _mb(self, name: str) -> float:
        return memory_mb(self.stack.processes.pid("replay"), name)


def report(watched: Watched) -> Report:
    """What was promised and what was seen."""
    looks, plan = watched.looks_mb, watched.plan
    figures: dict[str, JsonValue] = {
        "selected": watched.selected,
        "plan_made_s": round(watched.made_s, 1),
        "claimed_s": round(watched.claimed_s, 1),
        "released_s": round(watched.released_s, 1),
        "replayed": plan.replayed,
        "replayed_per_s": round(watched.replayed_per_s, 1),
        "rss_mb_before": round(watched.begun_mb, 1),
        "rss_mb_max": round(watched.most_mb, 1),
    }
    row = (
        f"{watched.selected:,}",
        f"{watched.made_s:.1f}",
        f"{watched.claimed_s:.1f}",
        f"{watched.replayed_per_s:.0f}",
        f"{watched.released_s:.1f}",
        *(f"{one:.1f}" for one in (watched.begun_mb, looks[0], looks[-1])),
        f"{watched.most_mb:.1f}",
    )
    went_on = Promise(
        name="meanwhile it replays",
        seen=f"{watched.replayed_per_s:.1f} chains/s, {plan.replayed:,} in all",
        held=watched.replayed_per_s > 0,
    )
    return Report(
        proof="million",
        promises=[
            small([watched.most_mb]),
            went_on,
            exact("amid very many", plan, watched.kept, watched.selected),
        ],
        sheets=[Sheet(title="one plan of very many", columns=_COLUMNS, rows=[row])],
        figures=figures,
    )


_COLUMNS: Final = (
    "failures",
    "made s",
    "claimed s",
    "replayed/s",
    "let go s",
    "MB before",
    "first",
    "last",
    "most",
)
