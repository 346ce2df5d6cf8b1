"""Chains as their requestors see them (DESIGN §7, "Chain API")."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request, Response

from orchestrator.gateway.callers import caller
from orchestrator.gateway.chain_view import chain_view
from orchestrator.gateway.desk import Desk
from orchestrator.gateway.faults import JSON_TYPE
from orchestrator.gateway.problems import Problem
from schemas.chains import ChainView

_NOT_FOUND: Final = 404

#: It holds tokens and pointers.
_NO_STORE: Final = {"Cache-Control": "no-store"}


def chains_routes(desk: Desk) -> APIRouter:
    """The routes about chains."""
    router = APIRouter()

    @router.get("/chains/{chain_id}", responses={200: {"model": ChainView}})
    async def chain(chain_id: str, request: Request) -> Response:
        """A whole chain; that of somebody else does not exist for who asks."""
        requestor = caller(desk.authenticator, request.headers, desk.clock())
        found = await desk.store.chain(chain_id)
        if found is None or found.requestor != requestor:
            raise Problem(_NOT_FOUND, "there is no such chain of yours")
        view = chain_view(
            found,
            await desk.store.steps(chain_id),
            # An id is no secret (events and endpoints have it), so it opens none.
            None if desk.authenticator.no_auth else desk.rows,
            kept=desk.options.results_kept,
            now=desk.clock(),
        )
        body = view.model_dump_json(by_alias=True, exclude_none=True)
        return Response(body, headers=_NO_STORE, media_type=JSON_TYPE)

    return router
