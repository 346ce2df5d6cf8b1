"""The history worker process: all parts of the history, or some of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

from orchestrator.app.health import WorkerHealth, worker_health
from orchestrator.app.tools import (
    DRAIN_S,
    Tools,
    make_event_urls,
    open_tools,
)
from orchestrator.broker import topology
from orchestrator.broker.batches import BatchWorker, run_all
from orchestrator.broker.connection import connect
from orchestrator.broker.holding import ToldFaults
from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.domain.errors import NotConfigured
from orchestrator.lifecycle import notify_ready
from orchestrator.ports import history_queue
from orchestrator.settings import Settings
from workers.history import HistoryWorker


async def run_history_worker(settings: Settings, only: Sequence[int] = ()) -> None:
    """Write and tell the events of all parts, or of these, until SIGTERM.

    Raises:
        NotConfigured: there is no such part.
    """
    url = settings.broker_url.get_secret_value()
    async with (
        open_tools(settings, "history") as tools,
        worker_health(tools) as health,
        BrokerPublisher.open(url, "history subscribers") as subscribers,
    ):
        async with await connect(url, "history parts") as connection:
            left = await topology.left_parts(connection, settings.history.parts)
        parts = parts_to_take(only, settings.history.parts, left)
        together = Together(parts, health, settings.notify_socket)
        await run_all(
            [_worker(tools, subscribers, together, part) for part in sorted(parts)]
        )


def parts_to_take(only: Sequence[int], parts: int, left: Sequence[int]) -> set[int]:
    """Those that are asked for, or all; with the first go those left of a larger number.

    Raises:
        NotConfigured: there is no such part.
    """
    there = {*range(parts), *left}
    if unknown := sorted(set(only) - there):
        msg = f"--part {unknown[0]}: history.parts is {parts}, so the last one is"
        raise NotConfigured(f"{msg} {parts - 1}")
    if not only:
        return there
    return {*only, *left} if 0 in only else set(only)


class Together:
    """What several parts in one process are as one."""

    def __init__(
        self, parts: Collection[int], health: WorkerHealth, notify_socket: str | None
    ) -> None:
        """Ready when all of them are; whatever holds one of them holds the process."""
        self._coming = set(parts)
        self._held: dict[int, frozenset[str]] = {}
        self._health = health
        self._notify_socket = notify_socket

    async def ready(self, part: int) -> None:
        """One of them takes events, or stands by to do so."""
        self._coming.discard(part)
        if not self._coming:
            await notify_ready(self._notify_socket)

    def faults_of(self, part: int) -> ToldFaults:
        """Where one of them tells what holds it."""

        def told(held: frozenset[str]) -> None:
            self._held[part] = held
            self._health.told(frozenset().union(*self._held.values()))

        return told


def _worker(
    tools: Tools, subscribers: BrokerPublisher, together: Together, part: int
) -> BatchWorker:
    settings = tools.settings
    return BatchWorker(
        url=settings.broker_url.get_secret_value(),
        queue=history_queue(part),
        handler=HistoryWorker(
            store=tools.store,
            publisher=tools.publisher,
            subscribers=subscribers,
            urls=make_event_urls(settings),
            part=part,
        ),
        publisher=tools.publisher,
        drain_timeout_s=DRAIN_S,
        on_ready=partial(together.ready, part),
        on_faults=together.faults_of(part),
    )
