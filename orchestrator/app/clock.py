"""The clock worker process."""

from __future__ import annotations

import asyncio

from orchestrator.app.tools import (
    open_backend,
    open_tools,
    session_lifetime,
)
from orchestrator.lifecycle import notify_ready, on_signals
from orchestrator.ports import utc_now
from orchestrator.settings import Settings
from workers.clock import ClockWorker


async def run_clock_worker(settings: Settings) -> None:
    """Look at the clock until SIGTERM."""
    async with (
        open_tools(settings, "clock") as tools,
        open_backend(settings) as backend,
    ):
        worker = ClockWorker(
            store=tools.store,
            rulings=tools.rulings,
            publisher=tools.publisher,
            rows=tools.rows,
            make=tools.make,
            backend=backend,
            clock=utc_now,
            owner=tools.owner,
            wall_time=settings.wall_time,
            session_lifetime=session_lifetime(settings),
        )
        stop = asyncio.Event()
        with on_signals(stop.set):
            await notify_ready(settings.notify_socket)
            await worker.run(stop)
