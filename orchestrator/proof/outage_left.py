"""What an outage left behind: rows, queues, sessions, and what processes said of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from orchestrator.broker.connection import connect
from orchestrator.broker.topology import QUEUE_NAMES
from orchestrator.domain.chain import StepState
from orchestrator.local.stack import Stack
from orchestrator.ports import Queues, Store
from orchestrator.proof.outage_books import Kept, Said

#: More than there are.
_ALL: Final = 1_000_000

#: What the pretend IRMA server logs when it could not report to us.
_UNHEARD: Final = ("callback_failed", "callback_refused", "handler_cut_off")


@dataclass(frozen=True, kw_only=True)
class Left:
    """What is still there: messages by queue, waiting rows by kind, open sessions."""

    queues: Mapping[str, int]
    waiting: Mapping[str, int]
    sessions: int

    @property
    def nothing(self) -> bool:
        """Whether all of it is gone."""
        return not (self.queues or self.waiting or self.sessions)

    def __str__(self) -> str:
        """All of it in one line."""
        things = {**self.queues, **self.waiting, "open sessions": self.sessions}
        return ", ".join(f"{name} {count}" for name, count in things.items() if count)


async def left(stack: Stack, store: Store) -> Left:
    """What is there now."""
    rows = await store.waiting(limit=_ALL)
    said = _irma_server_said(stack)
    started = said["session_started"] + said["next_session_started"]
    return Left(
        queues=await _queues(stack.broker_url),
        waiting=Counter(row.kind for row in rows),
        sessions=started - said["session_ended"],
    )


def unheard(stack: Stack) -> dict[str, int]:
    """How often the IRMA server could not report to us, by its own log.

    What its callback receiver is refused is looked up by the clock; what the bridge is
    refused its user sees.
    """
    said = _irma_server_said(stack)
    return {event: said[event] for event in _UNHEARD if said[event]}


async def _queues(broker_url: str) -> dict[str, int]:
    """How many messages each queue of ours holds, `chain.log` aside."""
    counts = {}
    async with await connect(broker_url, "outage count") as connection:
        channel = await connection.channel()
        for name in sorted(QUEUE_NAMES - {Queues.LOG}):
            queue = await channel.declare_queue(name, passive=True)
            counts[name] = queue.declaration_result.message_count or 0
    return {name: count for name, count in counts.items() if count}


async def kept(store: Store) -> dict[str, Kept]:
    """Every chain's rows."""
    found = {}
    for row in await store.chains(limit=_ALL):
        chain = row.chain
        steps = await store.steps(chain.id)
        found[chain.id] = Kept(
            chain_id=chain.id,
            state=chain.state.value,
            ended_s=chain.ended_at.timestamp() if chain.ended_at else None,
            statuses=[
                step.final_status for step in steps if step.state is not StepState.END
            ],
        )
    return found


def said(stack: Stack, process: str) -> list[Said]:
    """What a process has logged, in order."""
    return [
        Said(event=str(entry["event"]), at_s=_epoch_s(str(entry["timestamp"])))
        for entry in _entries(stack.processes.log(process))
    ]


def died(stack: Stack) -> Sequence[str]:
    """Which processes have ended though nobody stopped them."""
    return [exited.name for exited in stack.processes.exited()]


def _irma_server_said(stack: Stack) -> Counter[object]:
    log = stack.config_file.parent / "around" / "logs" / "sandbox.log"
    return Counter(entry["event"] for entry in _entries(log))


def _entries(log: Path) -> Iterator[dict[str, object]]:
    """The lines of a log; a traceback's are none."""
    with log.open() as lines:
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and {"event", "timestamp"} <= entry.keys():
                yield entry


def _epoch_s(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()
