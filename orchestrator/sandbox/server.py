"""The pretend IRMA server as one aiohttp application (reference irma.md §11)."""

import asyncio
import secrets
import string
import time
from collections.abc import AsyncIterator, Callable

import structlog
from aiohttp import web

from orchestrator.sandbox import (
    app_api,
    control_api,
    cors,
    frontend,
    requestor_api,
    revocation,
    sse,
    static,
    wallet_page,
)
from orchestrator.sandbox.chaining import Sandbox
from orchestrator.sandbox.config import SandboxConfig
from orchestrator.sandbox.http import (
    BODY_BYTES_MAX,
    RUNNING,
    SANDBOX,
    cut,
    errors,
    tokens,
)
from orchestrator.sandbox.outbound import Outbound
from orchestrator.sandbox.retries import GIVEN

log = structlog.get_logger(__name__)

_TOKEN_CHARACTERS = string.ascii_letters + string.digits


def create_app(
    config: SandboxConfig, *, clock: Callable[[], float] = time.time
) -> web.Application:
    """A server with no sessions; everything it will know hangs on the application."""
    app = web.Application(
        middlewares=[
            cors.preflight,
            control_api.reset_after_processing,
            cut(config.handler_cut_s),
            errors,
            tokens,
        ],
        client_max_size=BODY_BYTES_MAX,
    )
    app[RUNNING] = set()
    app[GIVEN] = {}
    app[revocation.REVOCABLE] = set()
    app[sse.EVENTS] = sse.Events()
    app[sse.STREAMS] = set()
    app[SANDBOX] = Sandbox(config, clock=clock, token=random_token, outbound=Outbound())
    app[SANDBOX].store.listeners.append(app[sse.EVENTS].published)
    app.add_routes([*requestor_api.routes(), *revocation.routes()])
    app.add_routes([*app_api.routes(), *frontend.routes(), *static.routes()])
    app.add_routes(control_api.routes())
    wallet_page.install(app, config.wallet_file)
    app.on_response_prepare.append(cors.add_headers)
    app.on_shutdown.append(sse.close_streams)
    app.cleanup_ctx.append(_background)
    return app


def random_token() -> str:
    """Twenty random characters, as all tokens of an IRMA server (irma.md §1)."""
    return "".join(secrets.choice(_TOKEN_CHARACTERS) for _ in range(20))


async def _background(app: web.Application) -> AsyncIterator[None]:
    """The sweeper, and the end of everything still going on."""
    sweeper = asyncio.create_task(_sweep(app[SANDBOX]))
    yield
    tasks = [sweeper, *app[RUNNING]]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _sweep(sandbox: Sandbox) -> None:
    """Look for sessions that timed out or are over, every so often (irma.md §4.2)."""
    while True:
        await asyncio.sleep(sandbox.config.sweep_s)
        await sandbox.sweep()
