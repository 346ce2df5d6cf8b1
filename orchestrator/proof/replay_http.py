"""Replays as programs make them: the operators' API of the gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import aiohttp
from pydantic import JsonValue

from orchestrator.proof.replay_command import CommandError, Told

#: Who asks, by the configuration.
OPERATOR: Final = "proof"


@dataclass(frozen=True, kw_only=True)
class HttpReplays:
    """The same verbs as those of the command."""

    http: aiohttp.ClientSession

    async def made(self, pace: float) -> Told:
        """A plan of everything."""
        asked: dict[str, JsonValue] = {"all": True, "dryRun": False, "pace": pace}
        return await self._told("POST", "/replays", asked)

    async def cancel(self, replay_id: str) -> None:
        """End it."""
        await self._told("POST", f"/replays/{replay_id}/cancel")

    async def show(self, replay_id: str) -> Told:
        """How a plan stands."""
        return await self._told("GET", f"/replays/{replay_id}")

    async def _told(
        self, method: str, path: str, body: dict[str, JsonValue] | None = None
    ) -> Told:
        async with self.http.request(method, path, json=body) as response:
            text = await response.text()
            if not response.ok:
                raise CommandError(f"{method} {path}: {response.status} {text[-500:]}")
            return Told.model_validate_json(text)


@asynccontextmanager
async def http_replays(gateway_url: str, token: str) -> AsyncIterator[HttpReplays]:
    """For the operator who has this token."""
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(gateway_url, headers=headers) as http:
        yield HttpReplays(http=http)
