"""Changes endpoints by compare-and-set and tells everybody (DESIGN §4).

What is told, an event for the history and news for the workers, is written with the
change and relayed right after it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from orchestrator.domain import breaker, happenings
from orchestrator.domain.breaker import Endpoint
from orchestrator.ports import (
    ENDPOINTS_EXCHANGE,
    Clock,
    Message,
    Store,
    event_message,
)
from schemas.endpoints import EndpointNews, dump_news

#: How often a change that lost a race is tried; what wins is mostly the same change.
TRIES_MAX: Final = 10

#: Says how an endpoint has to stand; None leaves it as it is.
EndpointRule = Callable[[Endpoint], Endpoint | None]


@dataclass(frozen=True, kw_only=True)
class Switchboard:
    """The one way to change an endpoint."""

    store: Store
    relay: Callable[[Sequence[Message]], Awaitable[None]]
    clock: Clock

    async def change(self, origin: str, rule: EndpointRule) -> tuple[Endpoint, bool]:
        """How the endpoint stands after the rule, and whether that changed it."""
        endpoint = await self._found(origin)
        for _ in range(TRIES_MAX):
            changed = rule(endpoint)
            if changed is None:
                return endpoint, False
            if endpoint.version == 0:
                changed = replace(changed, version=_first_version(self.clock()))
            told = _told(endpoint, changed, self.clock())
            if await self.store.change_endpoint(endpoint, changed, told):
                if told:
                    await self.relay(told)
                return changed, True
            endpoint = await self._found(origin)
        return endpoint, False

    async def _found(self, origin: str) -> Endpoint:
        found = await self.store.endpoint(origin)
        return found or breaker.fresh(origin, self.clock())


def _first_version(now: datetime) -> int:
    """Milliseconds: above every version of a row of this endpoint that was purged.

    So who knows of that one learns of this one, and their events' ids differ.
    """
    return int(now.timestamp() * 1000)


def news_of(endpoint: Endpoint) -> EndpointNews:
    """What workers have to know."""
    return EndpointNews(
        endpoint=endpoint.origin,
        version=endpoint.version,
        state=endpoint.state.value,
        paused=endpoint.paused_at is not None,
    )


def _told(before: Endpoint, after: Endpoint, now: datetime) -> list[Message]:
    """The event, and the news for workers, of what both have to know."""
    event = happenings.endpoint_changed(before, after, now)
    if event is None:
        return []
    news = Message(
        id=f"{event.id}:news",
        exchange=ENDPOINTS_EXCHANGE,
        routing_key="",
        body=dump_news(news_of(after)),
    )
    return [event_message(event), news]
