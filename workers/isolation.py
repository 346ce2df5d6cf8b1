"""Keeps one endpoint's trouble from the others' callbacks (DESIGN §4, guarantee G5).

Before each attempt a callback asks for a place. It gets one, at once or within a second,
or is told why it is kept back; then it is parked. What comes back is counted, and opens
or closes the endpoint's breaker for all workers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial

import structlog

from orchestrator.domain import breaker
from orchestrator.domain.breaker import (
    BreakerPolicy,
    BreakerState,
    Endpoint,
    Health,
    Kept,
    Tally,
)
from orchestrator.domain.delivery import Reply
from orchestrator.domain.errors import Unavailable
from orchestrator.isolating import EndpointRule, Switchboard, news_of
from orchestrator.ports import Clock
from schemas.endpoints import EndpointNews
from schemas.messages import TriedWork
from workers.places import Places

_log = structlog.get_logger(__name__)


class Gate:
    """Who may attempt what, in one worker process."""

    def __init__(
        self,
        *,
        switchboard: Switchboard,
        places: Places,
        policy: BreakerPolicy,
        clock: Clock,
    ) -> None:
        """Let everything through; `refresh` reads how endpoints stand."""
        self._switchboard = switchboard
        self._places = places
        self._policy = policy
        self._clock = clock
        self._known: dict[str, EndpointNews] = {}
        self._tallies: dict[str, Tally] = {}
        self._opening: set[str] = set()

    async def enter(self, work: TriedWork) -> Place | Kept:
        """A place for one attempt, or why it is kept back."""
        if kept := self._kept(work.endpoint):
            if work.parked_at is None or not await self._may_probe(work):
                return kept
            # Not counted: attempts from before may still take up the whole limit.
            return Place(gate=self, work=work, version=None)
        if await self._places.take(work.endpoint, work.requestor):
            version = self._version(work.endpoint)
            return Place(gate=self, work=work, version=version)
        return self._kept(work.endpoint) or Kept.LIMIT

    def kept_back(self, origin: str) -> Kept | None:
        """Why nothing may go there, if that is so."""
        return self._kept(origin)

    async def pause(self, origin: str, note: str) -> None:
        """Keep everything back until an operator resumes it, as if one had paused it."""
        rule = partial(breaker.paused, note=note, now=self._clock())
        await self._change(origin, rule)

    async def refresh(self) -> None:
        """Read how endpoints stand, and forget those without a row and old counts."""
        before = tuple(self._known.values())
        rows = await self._switchboard.store.endpoints()
        for endpoint in rows:
            self.learn(news_of(endpoint))
        self._forget(before, {endpoint.origin for endpoint in rows})
        now, window = self._clock(), self._policy.window
        self._tallies = {
            origin: tally
            for origin, tally in self._tallies.items()
            if tally.counted(now, window)[0]
        }

    def learn(self, news: EndpointNews) -> None:
        """Take in how an endpoint stands; nothing older than what is known is news."""
        if news.version <= self._version(news.endpoint):
            return
        self._known[news.endpoint] = news
        self._tallies.pop(news.endpoint, None)
        if self._kept(news.endpoint):
            self._places.shut(news.endpoint)

    def leave(self, origin: str) -> None:
        """An attempt is over."""
        self._places.leave(origin)

    async def count(self, work: TriedWork, reply: Reply, version: int) -> None:
        """Count an attempt; those from before a change say nothing of how it is now."""
        origin, health, now = work.endpoint, breaker.health_of(reply), self._clock()
        if health is Health.UNKNOWN or version != self._version(origin):
            return
        window = self._policy.window
        tally = self._tallies.get(origin, Tally())
        tally = tally.counting(now, window, ill=health is Health.ILL)
        self._tallies[origin] = tally
        trips = breaker.trips(*tally.counted(now, window), self._policy)
        if trips and origin not in self._opening:
            self._opening.add(origin)
            try:
                rule = partial(breaker.opened, tally=tally, now=now, policy=self._policy)
                await self._change(origin, rule)
            finally:
                self._opening.discard(origin)

    async def end_probe(self, work: TriedWork, reply: Reply) -> None:
        """The probe decides."""
        rule = partial(
            breaker.probed,
            callback_id=work.id,
            health=breaker.health_of(reply),
            now=self._clock(),
            policy=self._policy,
        )
        await self._change(work.endpoint, rule)

    def _forget(self, before: Iterable[EndpointNews], found: AbstractSet[str]) -> None:
        """What was known before the rows were read, and has none, has been purged.

        What came meanwhile may be of a row that is newer than the reading.
        """
        for news in before:
            origin = news.endpoint
            if origin not in found and self._known.get(origin) is news:
                del self._known[origin]

    async def _may_probe(self, work: TriedWork) -> bool:
        """Only the store knows of the probe; what was just released may be it."""
        rule = partial(
            breaker.probing,
            callback_id=work.id,
            now=self._clock(),
            policy=self._policy,
        )
        endpoint, changed = await self._switchboard.change(work.endpoint, rule)
        self.learn(news_of(endpoint))
        return changed and endpoint.probed_by(work.id)

    async def _change(self, origin: str, rule: EndpointRule) -> None:
        """What cannot be written now is seen again by the next failure, or probe."""
        try:
            endpoint, changed = await self._switchboard.change(origin, rule)
        except Unavailable as error:
            _log.warning("endpoint.unchanged", endpoint=origin, why=type(error).__name__)
            return
        self.learn(news_of(endpoint))
        if changed:
            _log.warning("endpoint.changed", **_words(endpoint))

    def _kept(self, origin: str) -> Kept | None:
        known = self._known.get(origin)
        if known is None:
            return None
        return breaker.kept(BreakerState(known.state), paused=known.paused)

    def _version(self, origin: str) -> int:
        known = self._known.get(origin)
        return 0 if known is None else known.version


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place for one attempt; without a version it is the probe's."""

    gate: Gate
    work: TriedWork
    version: int | None

    async def while_asking(self, attempt: Awaitable[Reply]) -> Reply:
        """Make the attempt, leave the place, and count what came back."""
        try:
            reply = await attempt
        finally:
            if self.version is not None:
                self.gate.leave(self.work.endpoint)
        if self.version is None:
            await self.gate.end_probe(self.work, reply)
        else:
            await self.gate.count(self.work, reply, self.version)
        return reply


def _words(endpoint: Endpoint) -> dict[str, str | int]:
    return {
        "endpoint": endpoint.origin,
        "state": endpoint.state.value,
        "trips": endpoint.trips,
        "attempts": endpoint.attempts,
        "failures": endpoint.failures,
    }
