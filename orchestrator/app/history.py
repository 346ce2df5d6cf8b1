"""The history worker process."""

from __future__ import annotations

from functools import partial

from orchestrator.app.tools import (
    DRAIN_S,
    open_tools,
)
from orchestrator.broker.batches import BatchWorker
from orchestrator.lifecycle import notify_ready
from orchestrator.ports import Queues
from orchestrator.settings import Settings
from workers.history import HistoryWorker


async def run_history_worker(settings: Settings) -> None:
    """Consume `history` in batches until SIGTERM."""
    async with open_tools(settings, "history") as tools:
        worker = HistoryWorker(store=tools.store, publisher=tools.publisher)
        await BatchWorker(
            url=settings.broker_url.get_secret_value(),
            queue=Queues.HISTORY,
            handler=worker,
            publisher=tools.publisher,
            drain_timeout_s=DRAIN_S,
            on_ready=partial(notify_ready, settings.notify_socket),
        ).run()
