"""When an endpoint is left alone, and what of it may be tried (DESIGN §4).

    closed ──too many failures──► open ──its pause is over──► half open ──well──► closed
                                   ▲                              │
                                   └────────────ill, longer───────┘

An operator's pause lies above all that. Each function returns the endpoint as it is to be
written, or None where nothing changes; whoever writes it compares the version and sets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from orchestrator.domain.delivery import RETRIED_STATUSES, Answer, Fault, Reply

#: The sliding window moves in steps of this share of it.
STEPS: Final = 10

#: The clock releases what is parked for a closed endpoint in portions, one a second.
RELEASE_EVERY: Final = timedelta(seconds=1)

#: The next portion of an endpoint that had no place for the last one comes later: one
#: that hangs would else get its parked callbacks only to have them parked again.
BUSY_PAUSE: Final = timedelta(seconds=3)

#: A pause is not doubled for ever; the longest is reached long before.
_DOUBLINGS_MAX: Final = 16

#: Refusals and faults of our own: the endpoint was never asked.
_NOT_ASKED: Final = frozenset({Fault.FORBIDDEN, Fault.BAD_URL, Fault.NO_ROOM})


class BreakerState(StrEnum):
    """What may be tried: everything, nothing, or one."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Health(StrEnum):
    """What a reply says of the endpoint, whatever it says of the chain."""

    WELL = "well"
    ILL = "ill"
    UNKNOWN = "unknown"


class Kept(StrEnum):
    """Why a callback is kept back."""

    LIMIT = "limit"
    OPEN = "open"
    PAUSED = "paused"


@dataclass(frozen=True, kw_only=True)
class BreakerPolicy:
    """When the breaker opens, for how long, and how much is released when it is closed.

    `lease` is how long a probe may be on its way before another may be made.
    """

    enabled: bool = True
    limit: int = 16
    window: timedelta = timedelta(seconds=60)
    attempts_min: int = 10
    failure_ratio: float = 0.5
    pause: timedelta = timedelta(seconds=10)
    pause_max: timedelta = timedelta(minutes=5)
    lease: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Attempts and failures in a sliding window; `steps` are (number, attempts, ill)."""

    steps: tuple[tuple[int, int, int], ...] = ()

    def counting(self, now: datetime, window: timedelta, *, ill: bool) -> Tally:
        """With one more attempt."""
        kept, number = self._kept(now, window), _step(now, window)
        attempts, failures = 1, int(ill)
        if kept and kept[-1][0] == number:
            *rest, (_, before, ill_before) = kept
            kept, attempts = tuple(rest), before + attempts
            failures += ill_before
        return Tally(steps=(*kept, (number, attempts, failures)))

    def counted(self, now: datetime, window: timedelta) -> tuple[int, int]:
        """The attempts of the window, and how many of them failed."""
        kept = self._kept(now, window)
        return sum(step[1] for step in kept), sum(step[2] for step in kept)

    def _kept(self, now: datetime, window: timedelta) -> tuple[tuple[int, int, int], ...]:
        number = _step(now, window)
        return tuple(step for step in self.steps if number - STEPS < step[0] <= number)


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """An endpoint's row.

    Attributes:
        origin: scheme, host and port.
        version: one more with each change that workers have to know of.
        since: when it came into its state.
        release_at: when the clock may release parked rows: the next portion of a closed
            one, the probe of an open one, another probe of a half-open one.
        trips: how often it opened since it was last well.
        attempts: of the window in which it opened last.
        failures: how many of them failed.
        probe: the callback that is the probe, once it is being made.
        paused_at: when an operator has paused it.
        note: the operator's words.
    """

    origin: str
    since: datetime
    release_at: datetime
    state: BreakerState = BreakerState.CLOSED
    version: int = 0
    trips: int = 0
    attempts: int = 0
    failures: int = 0
    probe: str | None = None
    paused_at: datetime | None = None
    note: str | None = None

    @property
    def kept(self) -> Kept | None:
        """Why nothing may be tried without a probe's lease, if that is so."""
        return kept(self.state, paused=self.paused_at is not None)

    def probed_by(self, callback_id: str) -> bool:
        """Whether this callback is the probe."""
        half_open = self.state is BreakerState.HALF_OPEN
        return half_open and self.paused_at is None and self.probe == callback_id


@dataclass(frozen=True, kw_only=True)
class Release:
    """How many parked rows go out, and how their endpoint stands then."""

    count: int
    endpoint: Endpoint


def kept(state: BreakerState, *, paused: bool) -> Kept | None:
    """Why callbacks to an endpoint in this state are kept back, if they are."""
    if paused:
        return Kept.PAUSED
    return None if state is BreakerState.CLOSED else Kept.OPEN


def fresh(origin: str, now: datetime) -> Endpoint:
    """An endpoint of which nothing is known, so that it is well."""
    return Endpoint(origin=origin, since=now, release_at=now)


def health_of(reply: Reply) -> Health:
    """Whether the endpoint could do its work.

    Ill is what is tried again: no answer, 408, 425, 5xx. 429 too: the endpoint asks for
    fewer requests, and only the breaker keeps the other callbacks away from it. A refusal
    or an answer that is too long comes from an endpoint that works. What was never asked
    is neither, whether it is tried again or not.
    """
    if isinstance(reply, Answer):
        return Health.ILL if reply.status in RETRIED_STATUSES else Health.WELL
    if reply.fault in _NOT_ASKED:
        return Health.UNKNOWN
    return Health.WELL if reply.fault is Fault.TOO_LONG else Health.ILL


def opened(
    endpoint: Endpoint, tally: Tally, now: datetime, policy: BreakerPolicy
) -> Endpoint | None:
    """Open a closed one whose failures are too many."""
    attempts, failures = tally.counted(now, policy.window)
    if not trips(attempts, failures, policy) or endpoint.state is not BreakerState.CLOSED:
        return None
    return _open(
        replace(endpoint, trips=0, attempts=attempts, failures=failures), now, policy
    )


def trips(attempts: int, failures: int, policy: BreakerPolicy) -> bool:
    """Whether so many failures of so many attempts open a breaker."""
    enough = attempts >= policy.attempts_min
    return policy.enabled and enough and failures >= policy.failure_ratio * attempts


def released(endpoint: Endpoint, now: datetime, policy: BreakerPolicy) -> Release | None:
    """What the clock may release now: a portion, a probe, or nothing.

    A probe that did not come back in its time is followed by another.
    """
    if endpoint.paused_at is not None or now < endpoint.release_at:
        return None
    if endpoint.state is BreakerState.CLOSED:
        next_at = now + RELEASE_EVERY
        return Release(count=policy.limit, endpoint=replace(endpoint, release_at=next_at))
    half_open = replace(
        endpoint,
        state=BreakerState.HALF_OPEN,
        since=now if endpoint.state is BreakerState.OPEN else endpoint.since,
        release_at=now + policy.lease,
        probe=None,
        version=endpoint.version + 1,
    )
    return Release(count=1, endpoint=half_open)


def probing(
    endpoint: Endpoint, callback_id: str, now: datetime, policy: BreakerPolicy
) -> Endpoint | None:
    """Let a released callback be the probe, unless another one is just being made.

    The lease counts anew from here, so what waited long in its queue is a probe as well;
    and a repeat of the probe itself is the probe.
    """
    if endpoint.state is not BreakerState.HALF_OPEN or endpoint.paused_at is not None:
        return None
    free = endpoint.probe in {None, callback_id} or now >= endpoint.release_at
    if not free:
        return None
    return replace(
        endpoint,
        probe=callback_id,
        release_at=now + policy.lease,
        version=endpoint.version + 1,
    )


def probed(
    endpoint: Endpoint,
    callback_id: str,
    health: Health,
    now: datetime,
    policy: BreakerPolicy,
) -> Endpoint | None:
    """The probe is back: close, or open for longer; one that was not made is no probe."""
    if endpoint.state is not BreakerState.HALF_OPEN or endpoint.probe != callback_id:
        return None
    if health is Health.ILL:
        return _open(endpoint, now, policy)
    if health is Health.UNKNOWN:
        return replace(endpoint, probe=None, release_at=now, version=endpoint.version + 1)
    return replace(
        endpoint,
        state=BreakerState.CLOSED,
        since=now,
        release_at=now,
        trips=0,
        probe=None,
        version=endpoint.version + 1,
    )


def paused(endpoint: Endpoint, note: str | None, now: datetime) -> Endpoint | None:
    """An operator pauses it; what the breaker says goes on beneath."""
    if endpoint.paused_at is not None:
        return None
    return replace(endpoint, paused_at=now, note=note, version=endpoint.version + 1)


def resumed(endpoint: Endpoint, now: datetime) -> Endpoint | None:
    """An operator lets it go on: a closed one at once, an open one with its probe."""
    if endpoint.paused_at is None:
        return None
    leased = endpoint.state is BreakerState.HALF_OPEN
    return replace(
        endpoint,
        paused_at=None,
        note=None,
        release_at=endpoint.release_at if leased else now,
        version=endpoint.version + 1,
    )


def _open(endpoint: Endpoint, now: datetime, policy: BreakerPolicy) -> Endpoint:
    """Each opening in a row has a longer pause."""
    doublings = min(endpoint.trips, _DOUBLINGS_MAX)
    pause = min(policy.pause * 2**doublings, policy.pause_max)
    return replace(
        endpoint,
        state=BreakerState.OPEN,
        since=now,
        release_at=now + pause,
        trips=endpoint.trips + 1,
        probe=None,
        version=endpoint.version + 1,
    )


def _step(now: datetime, window: timedelta) -> int:
    return int(now.timestamp() / (window.total_seconds() / STEPS))
