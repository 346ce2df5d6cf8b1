"""How many callback hops a second one worker process makes, and what a bare loop makes.

A hop goes from a message that is consumed to the same message acknowledged: its result
was signed and POSTed, and the event and the work that follow are confirmed. Both take
turns on the same machine in the same run, so that only their ratio need be believed.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Final

from aio_pika import RobustConnection
from pydantic import JsonValue

from orchestrator.broker.connection import connect
from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.broker.topology import Topology, declare, work_queue
from orchestrator.domain.chain import Slot
from orchestrator.local.stack import REQUESTOR, Plan, Stack, niceness_of
from orchestrator.ports import Message, Queues, work_message
from orchestrator.proof.bare_loop import Names
from orchestrator.proof.callbacks import Callbacks
from orchestrator.proof.ground import Ground, Proof
from orchestrator.proof.racing import LOOK_S, Racer, Track, Turn, alike
from orchestrator.proof.report import Promise, Report, Sheet
from orchestrator.proof.sink import sink_at_work
from orchestrator.work import WorkMaker
from schemas.events import Purpose
from schemas.irma import SessionResult, session_result_from

Say = Callable[[str], None]

#: Before the first round: for connections, and for what Python makes of often-run code.
WARM_HOPS: Final = 500

#: So many that the limit of one of them is not what is measured.
ENDPOINTS: Final = 8

#: What one worker process does of what a bare loop does.
PROMISE: Final = 0.7

#: How much lengths may differ: times are written in more than one way.
TOLERANCE: Final = 0.02

PRODUCT: Final = "callback-1"
BARE: Final = "bare-loop"
UNSIGNED: Final = "bare-loop-unsigned"

_IDLE: Final = ("gateway", "session", "history", "clock")


def prove(rounds: int, hops: int) -> Proof:
    """Everybody has a turn of so many hops in each round; medians are compared."""

    async def race(ground: Ground, say: Say) -> Report:
        turns: dict[str, list[Turn]] = {}
        async with (
            ground.stack(Plan(endpoint=False)) as stack,
            _started(stack) as (track, racers),
        ):
            for racer in racers:
                await track.turn(racer, min(hops, WARM_HOPS))
            for number, racer in itertools.product(range(rounds), racers):
                turn = await track.turn(racer, hops)
                turns.setdefault(racer.name, []).append(turn)
                say(f"round {number + 1}, {racer.name}: {turn.hops_per_s:.0f} hops/s")
        return report(turns)

    return race


@asynccontextmanager
async def _started(stack: Stack) -> AsyncIterator[tuple[Track, list[Racer]]]:
    """The worker and the bare loops, and nothing else of the installation."""
    for name in _IDLE:
        await stack.processes.stop(name)
    async with AsyncExitStack() as contexts:
        enter = contexts.enter_async_context
        connection = await enter(await connect(stack.broker_url, "bench"))
        source = _Source((await enter(Callbacks.of(stack))).make)
        racers = [
            Racer(
                name=PRODUCT,
                events=Queues.HISTORY,
                work=Queues.SESSIONS,
                message=source.message,
            )
        ]
        for name, words in {BARE: [], UNSIGNED: ["--unsigned"]}.items():
            names = Names(loop=name)
            await _start_bare(stack, connection, names, words)
            racers.append(
                Racer(
                    name=name,
                    events=names.history,
                    work=names.sessions,
                    message=partial(source.bare, names.callbacks),
                )
            )
        track = Track(
            processes=stack.processes,
            connection=connection,
            channel=await connection.channel(),
            publisher=await enter(BrokerPublisher.open(stack.broker_url, "bench load")),
            sink=await enter(sink_at_work(stack.processes, ENDPOINTS)),
        )
        yield track, racers


async def _start_bare(
    stack: Stack, connection: RobustConnection, names: Names, words: Sequence[str]
) -> None:
    """Queues like the worker's, and the loop as a process like the worker."""
    queues = (
        work_queue(names.callbacks),
        work_queue(names.history, **{"x-single-active-consumer": True}),
        work_queue(names.sessions),
    )
    await declare(connection, Topology(queues=queues))
    argv = [sys.executable, "-m", "orchestrator.proof.bare_loop"]
    argv += ["--config", str(stack.config_file), "--names", names.loop, *words]
    channel = await connection.channel()

    async def until_it_consumes() -> None:
        while True:
            queue = await channel.declare_queue(
                names.callbacks, passive=True, robust=False
            )
            if queue.declaration_result.consumer_count:
                return
            await asyncio.sleep(LOOK_S)

    niceness = niceness_of("callback", None)
    await stack.processes.start(
        names.loop, argv, ready=until_it_consumes, niceness=niceness
    )
    await channel.close()


@dataclass
class _Source:
    """Makes what is consumed: each time the first step of a chain of its own."""

    make: WorkMaker
    made: int = 0

    def message(self, url: str) -> Message:
        """As the worker takes it."""
        message, _ = self._next(url)
        return message

    def bare(self, queue: str, url: str) -> Message:
        """The same, and openly what is sealed in it."""
        message, result = self._next(url)
        content = {**json.loads(message.body), "url": url, "result": result.to_wire()}
        body = json.dumps(content, separators=(",", ":")).encode()
        return replace(message, routing_key=queue, body=body)

    def _next(self, url: str) -> tuple[Message, SessionResult]:
        self.made += 1
        result = _result(f"Token{self.made:015}")
        work = self.make.callback(
            Slot(chain_id=f"01BENCH{self.made:019}", step=1),
            REQUESTOR,
            result,
            purpose=Purpose.NEXT,
            url=f"{url}/chains/next",
            validity_s=120,
        )
        return work_message(work), result


def _result(token: str) -> SessionResult:
    """What comes out of a disclosure of four attributes, translations and all."""
    names = ("firstnames", "familyname", "dateofbirth", "over18")
    texts = {name: f"value of {name}" for name in names}
    attributes = [
        {
            "rawvalue": text,
            "value": {"": text, "en": text, "nl": text},
            "id": f"pbdf.gemeente.personalData.{name}",
            "status": "PRESENT",
            "issuancetime": 1_790_000_000,
        }
        for name, text in texts.items()
    ]
    return session_result_from(
        {
            "token": token,
            "status": "DONE",
            "type": "disclosing",
            "proofStatus": "VALID",
            "disclosed": [attributes],
        }
    )


def report(turns: Mapping[str, Sequence[Turn]]) -> Report:
    """What the turns of all came to."""
    pace = {name: median(one.hops_per_s for one in some) for name, some in turns.items()}
    cpu = {name: median(one.cpu_ms for one in some) for name, some in turns.items()}
    ratio = pace[PRODUCT] / pace[BARE]
    lengths = {name: some[0].bytes_each for name, some in turns.items()}
    same = alike(lengths[PRODUCT], lengths[BARE], tolerance=TOLERANCE)
    promises = (
        Promise(
            name=f"at least {PROMISE:.0%} of the hops of a bare loop",
            seen=f"{ratio:.1%} ({pace[PRODUCT]:.0f}/s of {pace[BARE]:.0f}/s)",
            held=ratio >= PROMISE,
        ),
        Promise(
            name="both carry the same: bodies, events and work are as long",
            seen=f"{lengths[PRODUCT]} and {lengths[BARE]} bytes",
            held=same,
        ),
    )
    figures: dict[str, JsonValue] = {
        "vs_bare_loop": round(ratio, 3),
        "vs_bare_loop_cpu": round(cpu[BARE] / cpu[PRODUCT], 3),
        "hops_per_s": {name: round(one, 1) for name, one in pace.items()},
        "cpu_ms_per_hop": {name: round(one, 2) for name, one in cpu.items()},
    }
    rows = [_row(name, some, pace[BARE]) for name, some in turns.items()]
    sheet = Sheet(title="callback hops of one process", columns=_COLUMNS, rows=rows)
    return Report(proof="bench", promises=promises, sheets=[sheet], figures=figures)


_COLUMNS: Final = ("process", "hops/s", "of bare", "worst", "best", "CPU ms/hop", "bytes")


def _row(name: str, turns: Sequence[Turn], bare: float) -> tuple[str, ...]:
    paces = [turn.hops_per_s for turn in turns]
    return (
        name,
        f"{median(paces):.0f}",
        f"{median(paces) / bare:.0%}",
        f"{min(paces):.0f}",
        f"{max(paces):.0f}",
        f"{median(turn.cpu_ms for turn in turns):.2f}",
        " + ".join(map(str, turns[0].bytes_each)),
    )
