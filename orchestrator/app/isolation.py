"""What callback workers and the clock know of endpoints."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import structlog

from orchestrator.app.tools import Tools
from orchestrator.broker.connection import connect
from orchestrator.broker.subscribe import subscribe
from orchestrator.domain.breaker import BreakerPolicy
from orchestrator.domain.errors import OrchestratorError
from orchestrator.isolating import Switchboard
from orchestrator.ports import ENDPOINTS_EXCHANGE, Message, utc_now
from orchestrator.settings import Settings
from schemas.endpoints import NewsInvalid, parse_news
from workers.isolation import Gate
from workers.places import Limits, Places

_log = structlog.get_logger(__name__)

#: A probe may be on its way for as long as an attempt, and some time for the way.
PROBE_MARGIN_S: Final = 10.0


@asynccontextmanager
async def open_gate(tools: Tools) -> AsyncIterator[Gate]:
    """A gate that knows how endpoints stand, and goes on learning it."""
    settings = tools.settings
    gate = Gate(
        switchboard=switchboard(tools),
        places=Places(_limits(settings)),
        policy=breaker_policy(settings),
        clock=utc_now,
    )
    url = settings.broker_url.get_secret_value()
    async with (
        await connect(url, "callback endpoints") as connection,
        subscribe(connection, exchange=ENDPOINTS_EXCHANGE) as bodies,
    ):
        await gate.refresh()
        learning = (
            asyncio.create_task(_listen(gate, bodies)),
            asyncio.create_task(_refresh(gate, settings.isolation.refresh_s)),
        )
        try:
            yield gate
        finally:
            for task in learning:
                task.cancel()
            await asyncio.gather(*learning, return_exceptions=True)


def switchboard(tools: Tools) -> Switchboard:
    """Changes endpoints; what is to be told goes out beside the caller."""

    async def relay(messages: Sequence[Message]) -> None:
        tools.background.spawn(tools.rulings.relay(messages))

    return Switchboard(store=tools.store, relay=relay, clock=utc_now)


def breaker_policy(settings: Settings) -> BreakerPolicy:
    """When breakers open, and how much is released."""
    isolation = settings.isolation
    lease_s = settings.callbacks.timeout_s + PROBE_MARGIN_S
    return BreakerPolicy(
        enabled=isolation.breaker,
        limit=isolation.limit,
        window=timedelta(seconds=isolation.window_s),
        attempts_min=isolation.attempts_min,
        failure_ratio=isolation.failure_ratio,
        pause=timedelta(seconds=isolation.pause_s),
        pause_max=timedelta(seconds=isolation.pause_max_s),
        lease=timedelta(seconds=lease_s),
    )


def _limits(settings: Settings) -> Limits:
    room = settings.callbacks.concurrency // 2
    return Limits(
        attempts=settings.isolation.limit,
        room=room,
        room_per_requestor=room // 2,
        wait_s=settings.isolation.wait_s,
    )


async def _listen(gate: Gate, bodies: AsyncIterator[bytes]) -> None:
    async for body in bodies:
        try:
            gate.learn(parse_news(body))
        except NewsInvalid as error:
            _log.warning("endpoint.undecodable", why=str(error))


async def _refresh(gate: Gate, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        try:
            await gate.refresh()
        except OrchestratorError as error:
            _log.warning("endpoint.unread", why=type(error).__name__)
