"""Puts the routes together."""

from __future__ import annotations

from fastapi import FastAPI

from orchestrator.gateway import faults
from orchestrator.gateway.bridge import bridge_routes
from orchestrator.gateway.desk import Desk
from orchestrator.gateway.requestor_api import requestor_routes, server_routes


def create_app(desk: Desk) -> FastAPI:
    """The gateway as an ASGI application."""
    app = FastAPI(
        title="Session chain orchestrator",
        docs_url="/docs",
        redoc_url=None,
        redirect_slashes=False,
    )
    faults.install(app)
    app.include_router(requestor_routes(desk), tags=["requestor"])
    app.include_router(server_routes(desk), tags=["server"])
    app.include_router(bridge_routes(desk), tags=["backend"])
    return app
