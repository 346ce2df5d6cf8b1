"""The callback worker process."""

from __future__ import annotations

import random

from orchestrator.app.consuming import consume
from orchestrator.app.tools import (
    jwt_key,
    open_tools,
)
from orchestrator.callbacks import HttpCaller, open_signer
from orchestrator.domain.delivery import RetryPolicy
from orchestrator.ports import Queues, utc_now
from orchestrator.settings import Settings
from workers.callback import CallbackWorker


async def run_callback_worker(settings: Settings) -> None:
    """Consume `callbacks` until SIGTERM."""
    limits = settings.callbacks
    async with (
        open_tools(settings, "callback") as tools,
        open_signer(jwt_key(settings), issuer=settings.jwt_issuer) as signer,
        HttpCaller.open(
            answer_bytes_max=limits.answer_bytes_max,
            connect_timeout_s=limits.connect_timeout_s,
        ) as caller,
    ):
        worker = CallbackWorker(
            publisher=tools.publisher,
            store=tools.store,
            sealer=tools.sealer,
            make=tools.make,
            caller=caller,
            signer=signer,
            policy=make_policy(settings),
            timeout_s=limits.timeout_s,
            clock=utc_now,
            random=random.random,
        )
        await consume(tools, Queues.CALLBACKS, worker, limits.concurrency)


def make_policy(settings: Settings) -> RetryPolicy:
    """The two retry clocks."""
    retry = settings.retry
    return RetryPolicy(
        live_delays_s=retry.live_delays_s,
        background_delays_s=retry.background_delays_s,
        jitter=retry.jitter,
        retry_after_max_s=retry.retry_after_max_s,
    )
