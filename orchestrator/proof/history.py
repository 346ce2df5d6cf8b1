"""How fast one history worker works off a backlog, and how much memory that takes.

The backlog is in the queue before the worker starts; the worker is the only process of
the installation that runs then, beside broker and database.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aio_pika.abc import AbstractChannel
from sqlalchemy import func, select

from orchestrator.broker.connection import connect
from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.local.stack import Plan, Stack
from orchestrator.proof.backlog import fill
from orchestrator.proof.ground import Ground, Proof
from orchestrator.proof.log_count import entries_of_log
from orchestrator.proof.racing import cpu_s
from orchestrator.proof.report import Promise, Report, Sheet
from orchestrator.store.database import Database, open_database
from orchestrator.store.tables import events

if TYPE_CHECKING:
    from sqlalchemy import Connection, Select

Say = Callable[[str], None]

#: What the issue promises: on two cores with PostgreSQL.
COMMITTED_PER_S: Final = 2_000
RSS_MB_MAX: Final = 150

#: For a backlog to go into the queue and out of it, as a pace that nothing falls below.
_PER_S_MIN: Final = 200
_BOUND_S: Final = 60.0

_LOOK_S: Final = 0.5
#: Between two lines that say how far it is.
_SAY_S: Final = 15.0

_IDLE: Final = ("gateway", "callback-1", "session", "history", "clock")

_WRITTEN: Final[Select[int]] = select(func.coalesce(func.max(events.c.number), 0))
_UNTOLD: Final[Select[int]] = select(func.count()).where(events.c.published_at.is_(None))
_ROWS: Final[Select[int]] = select(func.count()).select_from(events)
#: Sequences begin with 1 and are unique in a chain, so there is a gap where the highest
#: is not the count.
_CHAINS: Final = (
    select(func.max(events.c.sequence) - func.count()).group_by(events.c.chain_id)
).subquery("chains")
_GAPS: Final[Select[int]] = select(func.count()).where(_CHAINS.c[0] != 0)


@dataclass(frozen=True, kw_only=True)
class Look:
    """How far the worker was at one moment."""

    at_s: float
    written: int
    told: int
    rss_mb: float


@dataclass(frozen=True, kw_only=True)
class Drained:
    """What the worker made of a backlog.

    Attributes:
        rss_mb: the most that the process ever had, as the kernel tells it.
        gaps: chains whose sequence has one.
        logged: how many entries `chain.log` has.
        different: how many of these are not repeats.
    """

    events: int
    filled_s: float
    looks: Sequence[Look]
    rows: int
    gaps: int
    logged: int
    different: int
    rss_mb: float
    cpu_s: float


def prove(count: int) -> Proof:
    """Fill in so many events and have them worked off."""

    async def drain(ground: Ground, say: Say) -> Report:
        async with ground.stack(Plan(endpoint=False)) as stack, _bench(stack) as bench:
            filled_s = await bench.fill(count, say)
            return report(await bench.drain(count, filled_s, say))

    return drain


@dataclass(frozen=True, kw_only=True)
class _Bench:
    stack: Stack
    database: Database
    channel: AbstractChannel

    async def fill(self, count: int, say: Say) -> float:
        """Publish the backlog; how long that took."""
        say(f"publishing {count:,} events")
        began = time.monotonic()
        async with BrokerPublisher.open(self.stack.broker_url, "backlog") as publisher:
            await fill(publisher, count)
        return time.monotonic() - began

    async def drain(self, count: int, filled_s: float, say: Say) -> Drained:
        """Start the worker and look until everything is told."""
        say(f"published in {filled_s:.0f} s; the worker starts")
        await self.stack.start_worker("history")
        looks = [await self._look()]
        async with asyncio.timeout(_BOUND_S + count / _PER_S_MIN):
            said = looks[0].at_s
            while looks[-1].told < count:
                await asyncio.sleep(_LOOK_S)
                looks.append(await self._look())
                if looks[-1].at_s > said + _SAY_S:
                    said = looks[-1].at_s
                    say(f"{looks[-1].written:,} written, {looks[-1].told:,} told")
        pid = self.stack.processes.pid("history")
        say("the log is read from its beginning")
        logged = await entries_of_log(self.channel)
        return Drained(
            events=count,
            filled_s=filled_s,
            looks=looks,
            rows=await self.database.look(_number(_ROWS)),
            gaps=await self.database.look(_number(_GAPS)),
            logged=logged.count,
            different=logged.different,
            rss_mb=_memory_mb(pid, "VmHWM"),
            cpu_s=cpu_s(pid),
        )

    async def _look(self) -> Look:
        written = await self.database.look(_number(_WRITTEN))
        untold = await self.database.look(_number(_UNTOLD))
        return Look(
            at_s=time.monotonic(),
            written=written,
            told=written - untold,
            rss_mb=_memory_mb(self.stack.processes.pid("history"), "VmRSS"),
        )


@asynccontextmanager
async def _bench(stack: Stack) -> AsyncIterator[_Bench]:
    for name in _IDLE:
        await stack.processes.stop(name)
    async with AsyncExitStack() as contexts:
        connection = await contexts.enter_async_context(
            await connect(stack.broker_url, "bench")
        )
        yield _Bench(
            stack=stack,
            database=await contexts.enter_async_context(
                open_database(stack.database_url, patience_s=_BOUND_S)
            ),
            channel=await connection.channel(),
        )


def _number(query: Select[int]) -> Callable[[Connection], int]:
    return lambda connection: connection.execute(query).scalar_one()


def _memory_mb(pid: int, field: str) -> float:
    """A line of the kernel's account of a process, which is in kB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) / 1024
    raise ValueError(field)


def pace(looks: Sequence[Look], of: Callable[[Look], int]) -> float:
    """Per second, from the first look that saw some to the first that saw all."""
    first = next(look for look in looks if of(look))
    last = next(look for look in looks if of(look) == of(looks[-1]))
    took_s = last.at_s - first.at_s
    return (of(last) - of(first)) / took_s if took_s else 0.0


def report(drained: Drained) -> Report:
    """What was promised and what was seen."""
    committed = pace(drained.looks, lambda look: look.written)
    told = pace(drained.looks, lambda look: look.told)
    cpu_us = drained.cpu_s / drained.events * 1e6
    counts = {drained.rows, drained.logged, drained.different}
    complete = counts == {drained.events} and not drained.gaps
    seen = (
        f"{drained.rows:,} rows, {drained.logged:,} in the log, {drained.different:,} of"
        f" them different, {drained.gaps} gaps"
    )
    figures = {
        "events": drained.events,
        "committed_per_s": round(committed),
        "published_per_s": round(told),
        "rss_mb_max": round(drained.rss_mb, 1),
        "worker_cpu_us_per_event": round(cpu_us),
        "filled_s": round(drained.filled_s, 1),
    }
    promises = (
        Promise(
            name=f"at least {COMMITTED_PER_S:,} events/s committed",
            seen=f"{committed:,.0f}/s",
            held=committed >= COMMITTED_PER_S,
        ),
        Promise(
            name=f"at most {RSS_MB_MAX} MB of memory",
            seen=f"{drained.rss_mb:.1f} MB",
            held=drained.rss_mb <= RSS_MB_MAX,
        ),
        Promise(name="each written and logged once, no gap", seen=seen, held=complete),
    )
    return Report(
        proof="history",
        promises=promises,
        sheets=[_sheet(drained)],
        figures=figures,
    )


def _sheet(drained: Drained) -> Sheet:
    """How it went, in ten stretches."""
    looks = drained.looks
    marks = looks[:: max(len(looks) // 10, 1)]
    if marks[-1] is not looks[-1]:
        marks = [*marks, looks[-1]]
    rows = [
        (
            f"{after.at_s - looks[0].at_s:.0f}",
            f"{after.written:,}",
            f"{after.told:,}",
            f"{(after.written - before.written) / (after.at_s - before.at_s):,.0f}",
            f"{after.rss_mb:.1f}",
        )
        for before, after in itertools.pairwise(marks)
    ]
    columns = ("after s", "committed", "published", "committed/s", "RSS MB")
    return Sheet(title="one history worker", columns=columns, rows=rows)
