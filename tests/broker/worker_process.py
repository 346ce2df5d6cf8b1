"""A worker in a process of its own, told by its standard input when to finish.

Says on standard output what happens: `ready`, `begun ID`, `draining`, `finished ID`,
`stopped`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import MutableMapping
from contextlib import suppress

import structlog

from orchestrator.broker.consuming import QueueWorker
from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.ports import Delivery

CONCURRENCY = 2


def say(*words: str) -> None:
    """Tell the test."""
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


async def main(url: str, drain_timeout_s: float) -> None:
    """Work on `callbacks`; each message takes until a line comes in."""
    go = asyncio.Event()

    async def handle(delivery: Delivery) -> None:
        say("begun", delivery.message_id)
        await go.wait()
        say("finished", delivery.message_id)

    async def ready() -> None:
        say("ready")

    structlog.configure(
        processors=[_retell], logger_factory=structlog.ReturnLoggerFactory()
    )
    async with BrokerPublisher.open(url, "process publisher") as publisher:
        worker = QueueWorker(
            url=url,
            queue="callbacks",
            handler=handle,
            concurrency=CONCURRENCY,
            publisher=publisher,
            drain_timeout_s=drain_timeout_s,
            on_ready=ready,
        )
        lines = asyncio.create_task(_await_line(go))
        await worker.run()
        lines.cancel()
        with suppress(asyncio.CancelledError):
            await lines
    say("stopped")


def _retell(_: object, __: str, log: MutableMapping[str, object]) -> str:
    if log["event"] == "worker.draining":
        say("draining")
    return ""


async def _await_line(go: asyncio.Event) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    if await reader.readline():
        go.set()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
