"""How a worker process is: told to its service manager, and to probes that ask."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import structlog
from aiohttp import web

from orchestrator.app.tools import Tools
from orchestrator.domain.errors import NotConfigured
from orchestrator.lifecycle import notify_status
from orchestrator.readiness import Readiness
from orchestrator.settings.sections import HealthListen

_log = structlog.get_logger(__name__)

#: An answer that is on its way when the process ends.
CLOSE_S: Final = 1.0


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
            await serving.enter_async_context(probed(readiness, listen))
        yield WorkerHealth(readiness, tools.settings.notify_socket)


def make_readiness(tools: Tools, bearable: Collection[str] = ()) -> Readiness:
    """Looks at the database and the connection that this process has."""
    return Readiness(
        store=tools.store,
        connected=lambda: tools.publisher.connected,
        bearable=bearable,
    )


@asynccontextmanager
async def probed(readiness: Readiness, listen: HealthListen) -> AsyncIterator[int]:
    """Serve `/livez` and `/readyz`; gives the port.

    Raises:
        NotConfigured: nobody can listen there.
    """
    runner = web.AppRunner(_app(readiness), access_log=None, shutdown_timeout=CLOSE_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, listen.host, listen.port)
        try:
            await site.start()
        except OSError as error:
            why = error.strerror or "nobody can listen there"
            raise NotConfigured(f"health.listen: {why}") from None
        port = runner.addresses[0][1]
        _log.info("health.listening", port=port)
        yield port
    finally:
        await runner.cleanup()


def _app(readiness: Readiness) -> web.Application:
    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="OK")

    async def readyz(_: web.Request) -> web.Response:
        health = await readiness.health()
        return web.json_response(
            health.content,
            status=health.status,
            headers={"Cache-Control": "no-store"},
            content_type=health.content_type,
        )

    app = web.Application()
    app.add_routes([web.get("/livez", livez), web.get("/readyz", readyz)])
    return app
