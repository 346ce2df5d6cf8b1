"""The replay worker process."""

from __future__ import annotations

import asyncio

from orchestrator.app.health import worker_health
from orchestrator.app.tools import make_preparer, open_tools
from orchestrator.lifecycle import notify_ready
from orchestrator.ports import utc_now
from orchestrator.settings import Settings
from orchestrator.stopping import on_signals
from workers.reopening import Reopener
from workers.replay import ReplayWorker


async def run_replay_worker(settings: Settings) -> None:
    """Carry out plans until SIGTERM."""
    async with (
        open_tools(settings, "replay") as tools,
        worker_health(tools) as health,
    ):
        worker = ReplayWorker(
            store=tools.store,
            reopener=Reopener(
                store=tools.store,
                rulings=tools.rulings,
                rows=tools.rows,
                make=tools.make,
                preparer=make_preparer(tools),
                clock=utc_now,
            ),
            sealer=tools.sealer,
            clock=utc_now,
            owner=tools.owner,
            room=lambda: tools.publisher.room,
            told=health.told,
        )
        stop = asyncio.Event()
        with on_signals(stop.set):
            await notify_ready(settings.notify_socket)
            await worker.run(stop)
