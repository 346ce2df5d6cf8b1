"""Runs a worker on its queue."""

from __future__ import annotations

from functools import partial

from orchestrator.app.health import worker_health
from orchestrator.app.tools import (
    DRAIN_S,
    Tools,
)
from orchestrator.broker.consuming import QueueWorker
from orchestrator.broker.pausing import never
from orchestrator.lifecycle import notify_ready
from workers.callback import CallbackWorker
from workers.session import SessionWorker
from workers.telling import EventTeller


async def consume(
    tools: Tools,
    queue: str,
    worker: CallbackWorker | EventTeller | SessionWorker,
    concurrency: int,
    *,
    needs_store: bool = False,
) -> None:
    """Give the queue's messages to the worker until SIGTERM.

    Args:
        tools: what the process has.
        queue: where the messages are.
        worker: what handles them.
        concurrency: how many at a time.
        needs_store: whether no message can be handled without the database.
    """
    settings = tools.settings
    async with worker_health(tools) as health:
        await QueueWorker(
            url=settings.broker_url.get_secret_value(),
            queue=queue,
            handler=worker,
            concurrency=concurrency,
            publisher=tools.publisher,
            drain_timeout_s=DRAIN_S,
            on_ready=partial(notify_ready, settings.notify_socket),
            on_faults=health.told,
            away=health.readiness.store_is_away if needs_store else never,
        ).run()
