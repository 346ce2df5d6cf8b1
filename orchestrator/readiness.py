"""Whether a process can do its work right now, for probes and for people (DESIGN §7).

What holds messages is told by the worker itself; database and broker are looked at when
somebody asks. Neither takes long, and a crowd of probes costs one look a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import structlog

from orchestrator.domain.errors import (
    BackendUnavailable,
    BrokerUnavailable,
    NotAdmitted,
    OrchestratorError,
    SealKeyUnknown,
    StoreUnavailable,
)
from orchestrator.ports import Store
from schemas.irma import JsonObject

_log = structlog.get_logger(__name__)

STORE: Final = "store"
BROKER: Final = "broker"

#: How long the database has for an answer: longer, and it is away for a probe.
LOOK_S: Final = 2.0

#: How long what was seen counts.
FRESH_S: Final = 1.0

#: What is away when an error of this kind holds work; another kind tells its own name.
_NAMES: Final = {
    StoreUnavailable.__name__: STORE,
    BrokerUnavailable.__name__: BROKER,
    SealKeyUnknown.__name__: "keys",
    BackendUnavailable.__name__: "backend",
    NotAdmitted.__name__: "backend",
}


@dataclass(frozen=True, kw_only=True)
class Health:
    """How a process is: what is away, and whether it can bear that."""

    faults: tuple[str, ...]
    ready: bool

    @property
    def status(self) -> HTTPStatus:
        """What a probe is answered with."""
        return HTTPStatus.OK if self.ready else HTTPStatus.SERVICE_UNAVAILABLE

    @property
    def content_type(self) -> str:
        """Bad news are problem details (RFC 9457)."""
        return "application/json" if self.ready else "application/problem+json"

    @property
    def content(self) -> JsonObject:
        """The answer's body: names of what is away, nothing else that is known of it."""
        if self.ready:
            degraded: JsonObject = {"degraded": [*self.faults]} if self.faults else {}
            return {"ready": True, **degraded}
        return {
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": f"away: {', '.join(self.faults)}",
            "ready": False,
            "faults": [*self.faults],
        }


class Readiness:
    """What is known of what a process depends on."""

    def __init__(
        self,
        *,
        store: Store,
        connected: Callable[[], bool],
        bearable: Collection[str] = (),
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """Look at nothing yet.

        Args:
            store: what is asked for an answer.
            connected: whether a publish has a chance right now.
            bearable: of these one may be away without making the process unready.
            timer: seconds that only grow.
        """
        self._store = store
        self._connected = connected
        self._bearable = frozenset(bearable)
        self._timer = timer
        self._held: frozenset[str] = frozenset()
        self._looking = asyncio.Lock()
        self._seen_at: float | None = None
        self._away = False

    def told(self, held: frozenset[str]) -> None:
        """These kinds of error hold work from now on."""
        self._held = held

    async def health(self) -> Health:
        """How the process is, at most a second ago."""
        away = {_NAMES.get(kind, kind) for kind in self._held}
        if await self.store_is_away():
            away.add(STORE)
        if not self._connected():
            away.add(BROKER)
        return Health(faults=tuple(sorted(away)), ready=self._can_bear(away))

    def _can_bear(self, away: set[str]) -> bool:
        return not away or (len(away) == 1 and away <= self._bearable)

    async def store_is_away(self) -> bool:
        """Whether the database does not answer; who asks meanwhile shares the look."""
        async with self._looking:
            if self._seen_at is None or self._timer() >= self._seen_at + FRESH_S:
                self._away = await self._look()
                self._seen_at = self._timer()
            return self._away

    async def _look(self) -> bool:
        try:
            async with asyncio.timeout(LOOK_S):
                await self._store.ping()
        except (OrchestratorError, TimeoutError) as error:
            if not self._away:
                _log.warning("store.away", error=type(error).__name__)
            return True
        if self._away:
            _log.info("store.back")
        return False
