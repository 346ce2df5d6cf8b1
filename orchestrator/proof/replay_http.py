"""Replays as programs make them: the operators' API of the gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import aiohttp
from pydantic import BaseModel, JsonValue

from orchestrator.proof.replay_command import CommandError, Preview, Told

T = TypeVar("T", bound=BaseModel)

#: Who asks, by the configuration.
_OPERATOR: Final = "proof"


def operators(token: str) -> dict[str, JsonValue]:
    """What the configuration says of whoever has this token."""
    return {"operators": {_OPERATOR: {"key": token}}}


@dataclass(frozen=True, kw_only=True)
class HttpReplays:
    """The same verbs as those of the command."""

    http: aiohttp.ClientSession

    async def preview(self) -> Preview:
        """What a replay of everything would take."""
        return await self._told(Preview, "POST", "/replays", {"all": True})

    async def made(self, pace: float) -> Told:
        """A plan of everything."""
        asked: dict[str, JsonValue] = {"all": True, "dryRun": False, "pace": pace}
        return await self._told(Told, "POST", "/replays", asked)

    async def pause(self, replay_id: str) -> None:
        """Begin no more."""
        await self._told(Told, "POST", f"/replays/{replay_id}/pause")

    async def resume(self, replay_id: str) -> None:
        """Go on."""
        await self._told(Told, "POST", f"/replays/{replay_id}/resume")

    async def cancel(self, replay_id: str) -> None:
        """End it."""
        await self._told(Told, "POST", f"/replays/{replay_id}/cancel")

    async def show(self, replay_id: str) -> Told:
        """How a plan stands."""
        return await self._told(Told, "GET", f"/replays/{replay_id}")

    async def _told(
        self,
        what: type[T],
        method: str,
        path: str,
        body: dict[str, JsonValue] | None = None,
    ) -> T:
        try:
            async with self.http.request(method, path, json=body) as response:
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise CommandError(f"{method} {path}: {type(error).__name__}") from error
        if not response.ok:
            raise CommandError(f"{method} {path}: {response.status} {text[-500:]}")
        return what.model_validate_json(text)


@asynccontextmanager
async def http_replays(gateway_url: str, token: str) -> AsyncIterator[HttpReplays]:
    """For the operator who has this token."""
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(gateway_url, headers=headers) as http:
        yield HttpReplays(http=http)
