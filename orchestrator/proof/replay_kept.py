"""What is there in the end: rows, what is left of work, memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

from orchestrator.broker.connection import connect
from orchestrator.broker.topology import QUEUE_NAMES
from orchestrator.domain.chain import StepState
from orchestrator.local.stack import Stack
from orchestrator.ports import Queues, Store
from orchestrator.proof.replay_books import Row
from orchestrator.store.database import Database
from orchestrator.store.tables import chains, events, failures, steps

if TYPE_CHECKING:
    from sqlalchemy import Connection

_FAILURES: Final = select(func.count()).select_from(failures)
_CHAINS: Final = select(chains.c.id, chains.c.state, chains.c.generation)
_SESSIONS: Final = (
    select(steps.c.chain_id, steps.c.generation, func.count().label("rows"))
    .where(steps.c.state != StepState.END)
    .group_by(steps.c.chain_id, steps.c.generation)
)
#: Ids are derived: chain, step, generation, type, ordinal (`Slot.event_id`).
_ENDS: Final = select(events.c.id).where(
    events.c.id.like("%-chain\\_completed-%", escape="\\")
    | events.c.id.like("%-chain\\_failed-%", escape="\\")
    | events.c.id.like("%-chain\\_expired-%", escape="\\")
)

_LOOK_S: Final = 0.5


async def failures_of(database: Database) -> int:
    """How many failures there are."""
    return await database.look(
        lambda connection: connection.execute(_FAILURES).scalar_one()
    )


async def kept(database: Database) -> dict[str, Row]:
    """Every chain's rows."""

    def look(connection: Connection) -> dict[str, Row]:
        ends: dict[str, Counter[int]] = {}
        for (event_id,) in connection.execute(_ENDS):
            chain_id, _, generation, *_ = event_id.split("-")
            ends.setdefault(chain_id, Counter())[int(generation)] += 1
        sessions: dict[str, Counter[int]] = {}
        for row in connection.execute(_SESSIONS):
            sessions.setdefault(row.chain_id, Counter())[row.generation] = row.rows
        return {
            row.id: Row(
                state=row.state,
                generation=row.generation,
                ends=ends.get(row.id, Counter()),
                sessions=sessions.get(row.id, Counter()),
            )
            for row in connection.execute(_CHAINS)
        }

    return await database.look(look)


async def remains(stack: Stack, store: Store, bound_s: float) -> list[str]:
    """What waits or is queued still, once it had so long to go."""
    loop = asyncio.get_running_loop()
    until = loop.time() + bound_s
    while (  # noqa: ASYNC110 - rows and queues make no noise
        found := await _remains(stack, store)
    ) and loop.time() < until:
        await asyncio.sleep(_LOOK_S)
    return found


async def _remains(stack: Stack, store: Store) -> list[str]:
    rows = Counter(row.kind for row in await store.waiting(limit=10_000))
    queues = await _queued(stack.broker_url)
    return [f"{count} in {name}" for name, count in {**rows, **queues}.items() if count]


async def _queued(broker_url: str) -> dict[str, int]:
    """How many messages each queue of ours holds, `chain.log` aside."""
    async with await connect(broker_url, "count") as connection:
        channel = await connection.channel()
        counts = {}
        for name in sorted(QUEUE_NAMES - {Queues.LOG}):
            queue = await channel.declare_queue(name, passive=True)
            counts[name] = queue.declaration_result.message_count or 0
        return counts


def memory_mb(pid: int, name: str) -> float:
    """A line of the kernel's account of a process, which is in kB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) / 1024
    raise ValueError(name)
