"""The history worker process."""

from __future__ import annotations

from functools import partial

from orchestrator.app.health import worker_health
from orchestrator.app.tools import (
    DRAIN_S,
    make_event_urls,
    open_tools,
)
from orchestrator.broker.batches import BatchWorker
from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.lifecycle import notify_ready
from orchestrator.ports import Queues
from orchestrator.settings import Settings
from workers.history import HistoryWorker


async def run_history_worker(settings: Settings) -> None:
    """Consume `history` in batches until SIGTERM."""
    url = settings.broker_url.get_secret_value()
    async with (
        open_tools(settings, "history") as tools,
        worker_health(tools) as health,
        BrokerPublisher.open(url, "history subscribers") as subscribers,
    ):
        worker = HistoryWorker(
            store=tools.store,
            publisher=tools.publisher,
            subscribers=subscribers,
            urls=make_event_urls(settings),
        )
        await BatchWorker(
            url=url,
            queue=Queues.HISTORY,
            handler=worker,
            publisher=tools.publisher,
            drain_timeout_s=DRAIN_S,
            on_ready=partial(notify_ready, settings.notify_socket),
            on_faults=health.told,
        ).run()
