"""The clock worker process."""

from __future__ import annotations

import asyncio

from orchestrator.app.health import worker_health
from orchestrator.app.irma_server import open_backend
from orchestrator.app.isolation import breaker_policy
from orchestrator.app.notifying import make_notifier
from orchestrator.app.tools import (
    make_retention,
    open_tools,
    session_lifetime,
)
from orchestrator.lifecycle import notify_ready
from orchestrator.ports import utc_now
from orchestrator.settings import Settings
from orchestrator.stopping import on_signals
from workers.clock import ClockWorker
from workers.looking import Looker


async def run_clock_worker(settings: Settings) -> None:
    """Look at the clock until SIGTERM."""
    async with (
        open_tools(settings, "clock") as tools,
        open_backend(settings) as backend,
        worker_health(tools) as health,
    ):
        worker = ClockWorker(
            store=tools.store,
            publisher=tools.publisher,
            looker=Looker(
                store=tools.store,
                rulings=tools.rulings,
                rows=tools.rows,
                make=tools.make,
                backend=backend,
                notifier=make_notifier(tools),
                clock=utc_now,
                session_lifetime=session_lifetime(settings),
                wall_time=settings.wall_time,
            ),
            clock=utc_now,
            owner=tools.owner,
            results_kept=make_retention(settings),
            key_id=tools.sealer.key_id,
            breaker=breaker_policy(settings),
            told=health.told,
        )
        stop = asyncio.Event()
        with on_signals(stop.set):
            await notify_ready(settings.notify_socket)
            await worker.run(stop)
