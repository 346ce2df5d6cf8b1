"""What probes ask of a worker process, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog
from aiohttp import web

from orchestrator.domain.errors import NotConfigured
from orchestrator.readiness import Readiness
from orchestrator.settings.sections import HealthListen

_log = structlog.get_logger(__name__)

#: An answer that is on its way when the process ends.
CLOSE_S: Final = 1.0


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
