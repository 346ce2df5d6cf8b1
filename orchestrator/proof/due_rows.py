"""How late rows come whose time has come, while very many others wait.

Three clock workers take them, as processes of a real installation; what counts is when a
message is in the hands of whoever consumes it.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

from aio_pika.abc import AbstractIncomingMessage

from orchestrator.broker.connection import connect
from orchestrator.local.stack import Plan
from orchestrator.ports import RETRY, Message, Store, Waiting, utc_now
from orchestrator.proof.ground import Ground
from orchestrator.proof.lateness import percentile
from orchestrator.proof.report import Promise, Report, Sheet
from orchestrator.store import open_store

WAITING: Final = 100_000
CLOCKS: Final = 3
DUE: Final = 3_000
DUE_PER_S: Final = 200
LATE_MAX_S: Final = 0.5

#: For the rows to be written before the first of them is due.
_AHEAD: Final = timedelta(seconds=5)
_BOUND_S: Final = 60.0
_WRITTEN_AT_ONCE: Final = 2_000
#: As long as a sealed callback with a small result.
_BODY: Final = b"x" * 2_000
_QUEUE: Final = "late"


async def prove(
    ground: Ground, say: Callable[[str], None], waiting: int = WAITING
) -> Report:
    """Have many rows wait for days, and look at some that do not."""
    async with (
        ground.stack(Plan(endpoint=False)) as stack,
        open_store(stack.database_url, patience_s=_BOUND_S) as store,
        _arrivals(stack.broker_url) as arrivals,
    ):
        for number in range(1, CLOCKS):
            await stack.start_worker("clock", f"clock-{number + 1}")
        say(f"writing {waiting:,} rows")
        await _write(store, _patient(waiting, utc_now()))
        due = planned(utc_now() + _AHEAD, DUE)
        await _write(store, [_row(name, due_at) for name, due_at in due.items()])
        say(f"{DUE_PER_S} rows a second come due")
        async with asyncio.timeout(_BOUND_S + DUE / DUE_PER_S):
            while due.keys() - arrivals.keys():  # noqa: ASYNC110 - it takes its time
                await asyncio.sleep(LATE_MAX_S)
        return report(lateness(due, arrivals), waiting)


@asynccontextmanager
async def _arrivals(url: str) -> AsyncIterator[Mapping[str, datetime]]:
    """When each message came first, by its id."""
    arrived: dict[str, datetime] = {}

    async def note(message: AbstractIncomingMessage) -> None:
        arrived.setdefault(message.message_id or "", utc_now())

    async with await connect(url, "late") as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(_QUEUE, exclusive=True)
        await queue.consume(note, no_ack=True)
        yield arrived


async def _write(store: Store, rows: Iterable[Waiting]) -> None:
    rest = iter(rows)
    while some := list(itertools.islice(rest, _WRITTEN_AT_ONCE)):
        await store.put_waiting(*some)


def _patient(count: int, now: datetime) -> Iterable[Waiting]:
    """Rows that are due some time within a month, but not today."""
    chance = random.Random(1)  # noqa: S311 - spread, not secret
    for number in range(count):
        days = 1 + 30 * chance.random()
        yield _row(f"waits-{number}", now + timedelta(days=days))


def _row(name: str, due_at: datetime) -> Waiting:
    return Waiting(
        id=name,
        kind=RETRY,
        due_at=due_at,
        created_at=utc_now(),
        chain_id=name,
        endpoint="https://endpoint.example:443",
        message=Message(id=name, routing_key=_QUEUE, body=_BODY),
    )


def planned(begin: datetime, count: int) -> dict[str, datetime]:
    """When each row is due, one after the other at an even pace."""
    step = timedelta(seconds=1 / DUE_PER_S)
    return {f"due-{number}": begin + number * step for number in range(count)}


def lateness(due: Mapping[str, datetime], arrived: Mapping[str, datetime]) -> list[float]:
    """How late they were, in seconds, the least late one first."""
    late = (arrived[name] - due_at for name, due_at in due.items())
    return sorted(one.total_seconds() for one in late)


def report(late_s: Sequence[float], waiting: int) -> Report:
    """Whether what was due came in time."""
    p50_s, p99_s = percentile(late_s, 50), percentile(late_s, 99)
    row = (
        f"{waiting:,}",
        f"{DUE_PER_S}/s",
        str(CLOCKS),
        *(f"{1000 * one:.0f}" for one in (p50_s, p99_s, late_s[-1])),
    )
    columns = ("rows that wait", "come due", "clocks", "p50 ms", "p99 ms", "most ms")
    promise = Promise(
        name=f"p99 of the lateness is at most {1000 * LATE_MAX_S:.0f} ms",
        seen=f"{1000 * p99_s:.0f} ms, {len(late_s):,} rows",
        held=p99_s <= LATE_MAX_S,
    )
    none_early = Promise(
        name="no row comes before its time",
        seen=f"{1000 * late_s[0]:.0f} ms the soonest",
        held=late_s[0] >= 0,
    )
    return Report(
        proof="lateness",
        promises=[promise, none_early],
        sheets=[Sheet(title="lateness of rows", columns=columns, rows=[row])],
        figures={"p50_ms": round(1000 * p50_s, 1), "p99_ms": round(1000 * p99_s, 1)},
    )
