"""How the gateway is, for those who run it: `/livez` and `/readyz` (DESIGN §7)."""

from __future__ import annotations

import json

from fastapi import APIRouter, Response

from orchestrator.gateway.desk import Desk


def health_routes(desk: Desk) -> APIRouter:
    """The two routes."""
    router = APIRouter()

    @router.get("/livez")
    async def livez() -> Response:
        """Whether the process runs and answers; a restart would mend nothing else."""
        return Response("OK", media_type="text/plain")

    @router.get("/readyz")
    async def readyz() -> Response:
        """Whether results can be taken in: broker or store may be away, which is told."""
        health = await desk.readiness.health()
        return Response(
            json.dumps(health.content, separators=(",", ":")),
            health.status,
            {"Cache-Control": "no-store"},
            health.content_type,
        )

    return router
