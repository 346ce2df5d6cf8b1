"""The keys that verify our result JWTs, for receivers that choose by `kid` (RFC 7517)."""

from __future__ import annotations

import json
from typing import Final

from fastapi import APIRouter, Response

from orchestrator.gateway.desk import Desk

JWKS_TYPE: Final = "application/jwk-set+json"

#: A receiver's copy is at most so old: keys are announced longer before they sign.
MAX_AGE_S: Final = 300


def jwks_routes(desk: Desk) -> APIRouter:
    """The route of the JWK set."""
    router = APIRouter()

    @router.get("/.well-known/jwks.json")
    async def jwks() -> Response:
        """The key that signs, if there is one, and those published besides."""
        keys = {"keys": list(desk.signer.public_keys)}
        return Response(
            json.dumps(keys, separators=(",", ":")),
            media_type=JWKS_TYPE,
            headers={"Cache-Control": f"public, max-age={MAX_AGE_S}"},
        )

    return router
