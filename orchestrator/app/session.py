"""The session worker process."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from orchestrator.app.consuming import consume
from orchestrator.app.irma_server import open_backend
from orchestrator.app.notifying import make_notifier
from orchestrator.app.tools import (
    make_preparer,
    make_requestors,
    open_tools,
)
from orchestrator.domain.claiming import Budget
from orchestrator.ports import Queues, utc_now
from orchestrator.settings import Settings
from workers.cancelling import Canceller
from workers.intake import IntakeDesk
from workers.notifying import NotifyingDesk
from workers.session import SessionWorker
from workers.starting import Starter

#: Messages the session worker handles at a time; each is mostly database work.
SESSION_CONCURRENCY: Final = 32


async def run_session_worker(settings: Settings) -> None:
    """Consume `sessions` until SIGTERM."""
    async with (
        open_tools(settings, "session") as tools,
        open_backend(settings) as backend,
    ):
        canceller = Canceller(
            store=tools.store,
            rows=tools.rows,
            make=tools.make,
            backend=backend,
            clock=utc_now,
            session_lifetime=timedelta(
                seconds=settings.irma_server.max_session_lifetime_s
            ),
        )
        worker = SessionWorker(
            publisher=tools.publisher,
            rulings=tools.rulings,
            sealer=tools.sealer,
            rows=tools.rows,
            preparer=make_preparer(tools),
            requestors=make_requestors(settings),
            budget=Budget(
                steps_max=settings.chain.steps_max,
                wall_time=settings.wall_time,
                identical_max=settings.chain.identical_max,
            ),
            intake=IntakeDesk(
                store=tools.store,
                rulings=tools.rulings,
                rows=tools.rows,
                notifier=make_notifier(tools),
                canceller=canceller,
                clock=utc_now,
            ),
            starter=Starter(
                store=tools.store,
                rulings=tools.rulings,
                publisher=tools.publisher,
                rows=tools.rows,
                backend=backend,
                owner=tools.owner,
            ),
            canceller=canceller,
            notifying=NotifyingDesk(
                store=tools.store,
                publisher=tools.publisher,
                notifier=make_notifier(tools),
                clock=utc_now,
            ),
            clock=utc_now,
            augment_client_return_url=settings.augment_client_return_url,
        )
        await consume(
            tools, Queues.SESSIONS, worker, SESSION_CONCURRENCY, needs_store=True
        )
