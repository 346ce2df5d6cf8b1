"""How a worker process is: told to its service manager, and to probes that ask."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from orchestrator.app.tools import Tools
from orchestrator.lifecycle import notify_status
from orchestrator.readiness import Readiness

_log = structlog.get_logger(__name__)


class WorkerHealth:
    """What a worker's faults are told to."""

    def __init__(self, readiness: Readiness, notify_socket: str | None) -> None:
        self.readiness = readiness
        self._notify_socket = notify_socket

    def told(self, held: frozenset[str]) -> None:
        """Pass on which kinds of error hold work from now on."""
        self.readiness.told(held)
        held_by = f"held: {', '.join(sorted(held))}"
        notify_status(self._notify_socket, held_by if held else "ready")


@asynccontextmanager
async def worker_health(tools: Tools) -> AsyncIterator[WorkerHealth]:
    """Tell how this worker is, until the context closes.

    Raises:
        NotConfigured: nobody can listen at `health.listen`.
    """
    readiness = make_readiness(tools)
    listen = tools.settings.health.listen
    async with AsyncExitStack() as serving:
        if listen is not None:
            # aiohttp is 8 MB, and most workers are asked nothing.
            from orchestrator.app.probes import probed

            await serving.enter_async_context(probed(readiness, listen))
        yield WorkerHealth(readiness, tools.settings.notify_socket)


def make_readiness(tools: Tools, bearable: Collection[str] = ()) -> Readiness:
    """Looks at the database and the connection that this process has."""
    return Readiness(
        store=tools.store,
        connected=lambda: tools.publisher.connected,
        bearable=bearable,
    )
