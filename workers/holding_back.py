"""Which endpoints a replay has to leave alone (DESIGN §4).

What goes to an endpoint whose breaker is open would only be parked. But an open one is
tried again by what is parked for it: where nothing is, one replay has to be that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from orchestrator.domain.breaker import BreakerState
from orchestrator.ports import EndpointRow, Store


@dataclass(frozen=True, kw_only=True)
class HeldBack:
    """Endpoints that take nothing, and those that take one, by origin."""

    blocked: frozenset[str] = frozenset()
    probes: frozenset[str] = frozenset()

    def probed(self, origin: str) -> HeldBack:
        """One is on its way there."""
        blocked, probes = self.blocked | {origin}, self.probes - {origin}
        return replace(self, blocked=blocked, probes=probes)


async def held_back(store: Store, now: datetime) -> HeldBack:
    """How endpoints stand now; what is parked is only counted if one is not well."""
    if all(endpoint.kept is None for endpoint in await store.endpoints()):
        return HeldBack()
    rows = [row for row in await store.endpoint_rows() if row.endpoint.kept is not None]
    probes = {row.endpoint.origin for row in rows if _wants_probe(row, now)}
    blocked = {row.endpoint.origin for row in rows} - probes
    return HeldBack(blocked=frozenset(blocked), probes=frozenset(probes))


def _wants_probe(row: EndpointRow, now: datetime) -> bool:
    endpoint = row.endpoint
    if endpoint.paused_at is not None or row.parked:
        return False
    return endpoint.state is not BreakerState.CLOSED and now >= endpoint.release_at
