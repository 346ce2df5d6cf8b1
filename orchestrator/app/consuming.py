"""Runs a worker on its queue."""

from __future__ import annotations

from functools import partial

from orchestrator.app.tools import (
    DRAIN_S,
    Tools,
)
from orchestrator.broker.consuming import QueueWorker
from orchestrator.lifecycle import notify_ready
from workers.callback import CallbackWorker
from workers.session import SessionWorker


async def consume(
    tools: Tools,
    queue: str,
    worker: CallbackWorker | SessionWorker,
    concurrency: int,
) -> None:
    """Give the queue's messages to the worker until SIGTERM."""
    settings = tools.settings
    await QueueWorker(
        url=settings.broker_url.get_secret_value(),
        queue=queue,
        handler=worker,
        concurrency=concurrency,
        publisher=tools.publisher,
        drain_timeout_s=DRAIN_S,
        on_ready=partial(notify_ready, settings.notify_socket),
    ).run()
