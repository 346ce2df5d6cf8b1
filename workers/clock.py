"""The clock worker: publishes what is due and looks at rows that nobody moved (H5).

`waiting` holds messages until their time (retries, the outbox), or until their endpoint
may be asked (parked callbacks, released by what stands in `endpoints`); `steps` says of
every row that is not ended when it has to be looked at. Rows are leased,
so several clocks may run, and what one takes and drops dead is taken again. And it
deletes the secrets of chains that ended long ago.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

import structlog

from orchestrator.domain.breaker import BreakerPolicy, released
from orchestrator.domain.errors import OrchestratorError, Refused, Unroutable
from orchestrator.domain.retention import Retention
from orchestrator.ports import Clock, Publisher, Store, Waiting
from orchestrator.sealing import keys_in
from workers.looking import Looker

_log = structlog.get_logger(__name__)

#: How long rows that were taken are ours.
LEASE: Final = timedelta(seconds=10)

#: Messages published at a time: so few that users of now do not wait behind a burst.
MESSAGES: Final = 25

#: Rows looked at at a time, side by side: a round takes as long as the backend may take
#: for one answer, and a process that is to stop waits for one round (G9).
CHECKS: Final = 16

#: The beat when nothing is due.
IDLE_S: Final = 0.1

#: Endpoints whose parked callbacks are released at a time, and the beat when there are
#: none: what is released each second must not come much later.
RELEASES: Final = 16
RELEASE_IDLE_S: Final = 0.2

#: Chains whose secrets are deleted at a time, and the beat when there are none.
PURGES: Final = 50
PURGE_IDLE_S: Final = 30.0

#: The longest rest after work, however long that took.
REST_MAX_S: Final = 1.0

#: Messages that took longer to publish than this were published on a full machine.
BRISK_S: Final = 0.025
PUBLISH_REST_MAX_S: Final = 3.0

#: The pause after a fault of broker or store.
FAULT_PAUSE_S: Final = 1.0

#: Does what is due, and returns how much that was.
Beat = Callable[[], Awaitable[int]]


def _untold(_: frozenset[str]) -> None:
    """Nobody wants to know what beats fail with."""


@dataclass(frozen=True, kw_only=True)
class ClockWorker:
    """Runs until `stop` is set."""

    store: Store
    publisher: Publisher
    looker: Looker
    clock: Clock
    owner: str
    results_kept: Retention
    key_id: str
    breaker: BreakerPolicy
    told: Callable[[frozenset[str]], None] = _untold

    async def run(self, stop: asyncio.Event) -> None:
        """Do all until stopped; what is due does not wait for a backend that hangs.

        `told` hears which kinds of fault beats fail with, whenever that has changed.
        """
        publishing = _Pauses(
            idle_s=IDLE_S, brisk_s=BRISK_S, rest_max_s=PUBLISH_REST_MAX_S
        )
        beats = (
            (self.publish_due, publishing),
            (self.check_due, _Pauses(idle_s=IDLE_S)),
            # Its rule is its throttle: so much of each endpoint, and no less.
            (self.release_parked, _Pauses(idle_s=RELEASE_IDLE_S, rest_max_s=0.0)),
            (self.purge_due, _Pauses(idle_s=PURGE_IDLE_S)),
        )
        faults = _Faults(self.told)
        try:
            async with asyncio.TaskGroup() as tasks:
                for beat, pauses in beats:
                    tasks.create_task(_repeat(beat, stop, faults, pauses))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def publish_due(self) -> int:
        """Publish messages whose time has come; returns how many there were."""
        due = await self.store.take_due_waiting(
            self.clock(), owner=self.owner, lease=LEASE, limit=MESSAGES
        )
        if due:
            await self._publish(due)
        return len(due)

    async def release_parked(self) -> int:
        """Publish what endpoints may be asked now; returns how many callbacks."""
        now = self.clock()
        rows = await self.store.release_parked(
            now,
            partial(released, now=now, policy=self.breaker),
            owner=self.owner,
            lease=LEASE,
            endpoints_max=RELEASES,
        )
        for start in range(0, len(rows), MESSAGES):
            await self._publish(rows[start : start + MESSAGES])
        return len(rows)

    async def check_due(self) -> int:
        """Look at rows whose time has come, side by side; returns how many there were."""
        steps = await self.store.take_due_steps(self.clock(), lease=LEASE, limit=CHECKS)
        looks = map(self.looker.look, steps)
        for fault in await asyncio.gather(*looks, return_exceptions=True):
            if fault is not None:
                raise fault
        return len(steps)

    async def purge_due(self) -> int:
        """Delete secrets whose time is over; returns of how many chains."""
        ended_before = partial(self.results_kept.ended_before, now=self.clock())
        count = await self.store.purge(ended_before, limit=PURGES)
        if count:
            _log.info("clock.purged", chains=count)
        return count

    async def _publish(self, due: Sequence[Waiting]) -> None:
        """Publish rows and drop them; one that is never taken stays, others do not."""
        await self._note_keys(due)
        try:
            await self.publisher.publish(*(row.message for row in due))
        except (Refused, Unroutable) as error:
            if len(due) == 1:
                _log.error("clock.refused", row=due[0].id, error=type(error).__name__)
                return
            for row in due:
                await self._publish([row])
            return
        await self.store.drop_waiting([row.id for row in due])
        _log.info("clock.published", count=len(due))

    async def _note_keys(self, due: Sequence[Waiting]) -> None:
        """What goes out may be sealed with an older key, and no row names that then."""
        named = frozenset[str]().union(*(keys_in(row.message.body) for row in due))
        if older := named - {self.key_id}:
            await self.store.note_keys(used=older)


@dataclass(frozen=True, kw_only=True)
class _Pauses:
    """Between one beat and the next.

    While there is more, it rests as long as it has worked, and as many times as long as
    that took longer than work that is brisk: what an outage has left is worked off beside
    the users of now, and the slower all is, the more is theirs.
    """

    idle_s: float
    brisk_s: float = math.inf
    rest_max_s: float = REST_MAX_S

    def after(self, busy: int, took_s: float) -> float:
        """How long to pause after a beat that did so much in so long."""
        if not busy:
            return self.idle_s
        return min(took_s * max(1.0, took_s / self.brisk_s), self.rest_max_s)


class _Faults:
    """What each beat has failed with last, until it succeeds."""

    def __init__(self, told: Callable[[frozenset[str]], None]) -> None:
        self._told = told
        self._kinds: dict[Beat, str] = {}

    def note(self, beat: Beat, kind: str | None) -> None:
        """A beat has failed, or it has not."""
        before = frozenset(self._kinds.values())
        if kind is None:
            self._kinds.pop(beat, None)
        else:
            self._kinds[beat] = kind
        now = frozenset(self._kinds.values())
        if now != before:
            self._told(now)


async def _repeat(
    beat: Beat, stop: asyncio.Event, faults: _Faults, pauses: _Pauses
) -> None:
    """Beat until stopped; a fault of broker or store is waited out."""
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        begun = loop.time()
        try:
            busy = await beat()
            pause_s = pauses.after(busy, loop.time() - begun)
        except OrchestratorError as error:
            kind = type(error).__name__
            _log.warning("clock.fault", error=kind)
            faults.note(beat, kind)
            pause_s = FAULT_PAUSE_S
        else:
            faults.note(beat, None)
        await _stopped(stop, pause_s)


async def _stopped(stop: asyncio.Event, pause_s: float) -> None:
    """Pause, but not longer than until the stop."""
    try:
        async with asyncio.timeout(pause_s):
            await stop.wait()
    except TimeoutError:
        return
