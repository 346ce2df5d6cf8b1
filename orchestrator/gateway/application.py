"""Puts the routes together."""

from __future__ import annotations

from fastapi import FastAPI

from orchestrator.gateway import faults
from orchestrator.gateway.bridge import bridge_routes
from orchestrator.gateway.chains_api import chains_routes
from orchestrator.gateway.contract_pages import contract_routes
from orchestrator.gateway.cors import Cors
from orchestrator.gateway.desk import Desk
from orchestrator.gateway.events_api import events_routes
from orchestrator.gateway.events_stream_api import events_stream_routes
from orchestrator.gateway.health import health_routes
from orchestrator.gateway.jwks import jwks_routes
from orchestrator.gateway.lateness import looking
from orchestrator.gateway.page import page_routes
from orchestrator.gateway.paths import Paths
from orchestrator.gateway.replays_api import replays_routes
from orchestrator.gateway.replying import reply_routes
from orchestrator.gateway.requestor_api import requestor_routes, server_routes
from orchestrator.gateway.revocations import revocation_routes
from orchestrator.gateway.statics import static_routes


def create_app(desk: Desk) -> FastAPI:
    """The gateway as an ASGI application."""
    app = FastAPI(
        title="Session chain orchestrator",
        lifespan=lambda _: looking(desk.lateness),
        openapi_url=None,  # served as it was checked in: see contract_pages
        redirect_slashes=False,
    )
    faults.install(app)
    app.add_middleware(Paths)
    app.add_middleware(Cors)
    # Routes are tried one after the other: those of every session come first.
    app.include_router(bridge_routes(desk), tags=["backend"])
    app.include_router(requestor_routes(desk), tags=["requestor"])
    app.include_router(events_routes(desk), tags=["requestor"])
    app.include_router(revocation_routes(desk), tags=["requestor"])
    app.include_router(static_routes(desk), tags=["app"])
    app.include_router(server_routes(desk), tags=["server"])
    app.include_router(jwks_routes(desk), tags=["server"])
    app.include_router(health_routes(desk), tags=["server"])
    app.include_router(contract_routes())
    app.include_router(chains_routes(desk), tags=["chains"])
    app.include_router(events_stream_routes(desk), tags=["chains"])
    app.include_router(replays_routes(desk), tags=["operator"])
    app.include_router(page_routes(desk), tags=["user"])
    app.include_router(reply_routes(desk), tags=["endpoint"])
    return app
