"""The circuit breaker: when an endpoint is left alone, and what of it may be tried."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from orchestrator.domain import breaker
from orchestrator.domain.breaker import (
    BreakerPolicy,
    BreakerState,
    Endpoint,
    Health,
    Kept,
    Tally,
)
from orchestrator.domain.delivery import Answer, Fault, NoAnswer, Reply
from tests.unit.domain.samples import NOW, SECOND

ORIGIN: Final = "https://shop.example:443"
POLICY: Final = BreakerPolicy()
NEW: Final = breaker.fresh(ORIGIN, NOW)


def tally(attempts: int, failures: int, at: datetime = NOW) -> Tally:
    """So many attempts at once, the failures last."""
    counted = Tally()
    for number in range(attempts):
        ill = number >= attempts - failures
        counted = counted.counting(at, POLICY.window, ill=ill)
    return counted


def open_since(now: datetime = NOW) -> Endpoint:
    """An endpoint whose breaker has just opened."""
    endpoint = breaker.opened(NEW, tally(10, 10, now), now, POLICY)
    assert endpoint is not None
    return endpoint


def half_open() -> Endpoint:
    """An endpoint whose probe was just released."""
    endpoint = open_since()
    release = breaker.released(endpoint, endpoint.release_at, POLICY)
    assert release is not None
    return release.endpoint


def probed_by(callback_id: str) -> Endpoint:
    """An endpoint whose probe is being made."""
    endpoint = breaker.probing(half_open(), callback_id, NOW, POLICY)
    assert endpoint is not None
    return endpoint


@pytest.mark.parametrize(
    "reply,health",
    [
        *[
            (Answer(status=status, body=b"", duration_s=1), Health.ILL)
            for status in (408, 425, 429, 500, 503, 599)
        ],
        *[
            (Answer(status=status, body=b"", duration_s=1), Health.WELL)
            for status in (200, 202, 204, 302, 400, 404, 410)
        ],
        *[
            (NoAnswer(fault=fault, duration_s=1), Health.ILL)
            for fault in (Fault.CONNECT, Fault.TIMEOUT, Fault.TLS, Fault.DISCONNECTED)
        ],
        (NoAnswer(fault=Fault.TOO_LONG, duration_s=1), Health.WELL),
        (NoAnswer(fault=Fault.FORBIDDEN, duration_s=1), Health.UNKNOWN),
        (NoAnswer(fault=Fault.BAD_URL, duration_s=1), Health.UNKNOWN),
        (NoAnswer(fault=Fault.NO_ROOM, duration_s=1), Health.UNKNOWN),
    ],
)
def test_what_a_reply_says_of_the_endpoint(reply: Reply, health: Health) -> None:
    """What is tried again is ill; a refusal comes from an endpoint that works."""
    assert breaker.health_of(reply) is health


@pytest.mark.parametrize(
    "attempts,failures,opens",
    [(9, 9, False), (10, 4, False), (10, 5, True), (100, 49, False), (100, 50, True)],
)
def test_it_opens_on_ratio_and_minimum(attempts: int, failures: int, opens: bool) -> None:  # noqa: FBT001 - a column of the table
    """Neither a few attempts nor a small share of failures open it."""
    endpoint = breaker.opened(NEW, tally(attempts, failures), NOW, POLICY)
    assert (endpoint is not None) is opens
    if endpoint is not None:
        assert endpoint.kept is Kept.OPEN
        assert (endpoint.attempts, endpoint.failures) == (attempts, failures)
        assert (endpoint.trips, endpoint.version) == (1, 1)
        assert endpoint.release_at == NOW + POLICY.pause


def test_it_never_opens_where_breakers_are_off() -> None:
    """Pauses and limits are left to operators then."""
    off = replace(POLICY, enabled=False)
    assert breaker.opened(NEW, tally(100, 100), NOW, off) is None


def test_what_is_older_than_the_window_does_not_count() -> None:
    """Yesterday's failures say nothing of today."""
    counted = tally(20, 20)
    assert counted.counted(NOW + POLICY.window / 2, POLICY.window) == (20, 20)
    assert counted.counted(NOW + POLICY.window, POLICY.window) == (0, 0)


@given(st.lists(st.tuples(st.floats(0, 600), st.booleans()), max_size=60))
def test_a_window_holds_what_came_in_it(came: list[tuple[float, bool]]) -> None:
    """To a step: nothing younger is missing, nothing older is counted."""
    counted, step = Tally(), POLICY.window / breaker.STEPS
    times = sorted((NOW + timedelta(seconds=after_s), ill) for after_s, ill in came)
    for at, ill in times:
        counted = counted.counting(at, POLICY.window, ill=ill)
    now = times[-1][0] if times else NOW
    attempts, failures = counted.counted(now, POLICY.window)
    surely = [ill for at, ill in times if now - at < POLICY.window - step]
    perhaps = [ill for at, ill in times if now - at <= POLICY.window]
    assert len(surely) <= attempts <= len(perhaps)
    assert sum(surely) <= failures <= sum(perhaps)
    assert len(counted.steps) <= breaker.STEPS


def test_a_closed_one_releases_a_portion_a_second() -> None:
    """So many as may be attempted at a time."""
    release = breaker.released(NEW, NOW, POLICY)
    assert release is not None
    assert (release.count, release.endpoint.version) == (POLICY.limit, NEW.version)
    assert breaker.released(release.endpoint, NOW + SECOND / 2, POLICY) is None
    assert breaker.released(release.endpoint, NOW + SECOND, POLICY) is not None


def test_an_open_one_releases_one_after_its_pause() -> None:
    """It is half open then, and nothing more goes out before the lease is over."""
    endpoint = open_since()
    assert breaker.released(endpoint, endpoint.release_at - SECOND, POLICY) is None
    release = breaker.released(endpoint, endpoint.release_at, POLICY)
    assert release is not None
    assert (release.count, release.endpoint.state) == (1, BreakerState.HALF_OPEN)
    assert release.endpoint.kept is Kept.OPEN
    over = endpoint.release_at + POLICY.lease
    assert breaker.released(release.endpoint, over - SECOND, POLICY) is None
    again = breaker.released(release.endpoint, over, POLICY)
    assert again is not None
    assert again.count == 1


def test_one_callback_is_the_probe() -> None:
    """A repeat of it is the same probe; another one has to wait for the lease's end."""
    endpoint = probed_by("a")
    assert endpoint.probed_by("a")
    assert breaker.probing(endpoint, "b", NOW + SECOND, POLICY) is None
    assert breaker.probing(endpoint, "a", NOW + SECOND, POLICY) is not None
    late = breaker.probing(endpoint, "b", NOW + POLICY.lease, POLICY)
    assert late is not None
    assert late.probed_by("b")
    assert breaker.probed(late, "a", Health.WELL, NOW, POLICY) is None


@pytest.mark.parametrize("endpoint", [NEW, open_since()])
def test_there_is_no_probe_but_of_a_half_open_one(endpoint: Endpoint) -> None:
    """What was released before the opening is parked again."""
    assert breaker.probing(endpoint, "a", NOW, POLICY) is None
    assert breaker.probed(endpoint, "a", Health.WELL, NOW, POLICY) is None


def test_a_probe_that_goes_well_closes() -> None:
    """All is forgotten, and what is parked goes out at once."""
    closed = breaker.probed(probed_by("a"), "a", Health.WELL, NOW, POLICY)
    assert closed is not None
    assert (closed.state, closed.trips, closed.probe) == (BreakerState.CLOSED, 0, None)
    assert closed.kept is None
    assert breaker.released(closed, NOW, POLICY) is not None


def test_each_probe_that_fails_makes_the_pause_longer() -> None:
    """Twice as long, up to the longest."""
    endpoint, pauses = open_since(), []
    for _ in range(20):
        now = endpoint.release_at
        release = breaker.released(endpoint, now, POLICY)
        assert release is not None
        probe = breaker.probing(release.endpoint, "a", now, POLICY)
        assert probe is not None
        again = breaker.probed(probe, "a", Health.ILL, now, POLICY)
        assert again is not None
        assert again.state is BreakerState.OPEN
        pauses.append((again.release_at - now).total_seconds())
        endpoint = again
    assert pauses[:5] == [20, 40, 80, 160, 300]
    assert pauses[-1] == 300


def test_a_probe_that_was_not_made_is_none() -> None:
    """A destination of ours that is forbidden says nothing; the next one is tried."""
    freed = breaker.probed(probed_by("a"), "a", Health.UNKNOWN, NOW, POLICY)
    assert freed is not None
    assert (freed.state, freed.probe) == (BreakerState.HALF_OPEN, None)
    assert breaker.released(freed, NOW, POLICY) is not None


def test_nothing_is_released_while_it_is_paused() -> None:
    """Whatever its breaker says; then it goes on where it was."""
    for endpoint in (NEW, open_since(), half_open()):
        paused = breaker.paused(endpoint, "moving", NOW)
        assert paused is not None
        assert (paused.kept, paused.note) == (Kept.PAUSED, "moving")
        later = NOW + timedelta(days=1)
        assert breaker.released(paused, later, POLICY) is None
        assert breaker.probing(paused, "a", later, POLICY) is None
        assert breaker.paused(paused, None, later) is None
        resumed = breaker.resumed(paused, later)
        assert resumed is not None
        assert (resumed.state, resumed.note) == (endpoint.state, None)
        assert breaker.released(resumed, later, POLICY) is not None


def test_what_is_not_paused_cannot_be_resumed() -> None:
    """Whoever asks is told so."""
    assert breaker.resumed(NEW, NOW) is None


class Breaker(RuleBasedStateMachine):
    """Workers, clocks and operators at one row, each with what it last saw of it.

    Every change is compared and set; a clock's portion is not a change of version.
    """

    @initialize()
    def begin(self) -> None:
        """Nothing is known."""
        self.now = NOW
        self.row = NEW
        self.seen = [NEW, NEW, NEW]
        self.asking: dict[str, datetime] = {}
        self.released = 0
        self.number = 0

    def write(self, before: Endpoint, after: Endpoint | None) -> bool:
        """Compare and set."""
        if after is None or before.version != self.row.version:
            return False
        assert after.version == before.version + 1
        self.row = after
        return True

    @rule(seconds=st.sampled_from((0.1, 1.0, 5.0, 31.0, 400.0)))
    def time_passes(self, seconds: float) -> None:
        """Leases end and pauses are over."""
        self.now += timedelta(seconds=seconds)

    @rule(who=st.integers(0, 2))
    def somebody_reads(self, who: int) -> None:
        """News arrive, or the table is read again."""
        self.seen[who] = self.row

    @rule(who=st.integers(0, 2), failures=st.integers(0, 20))
    def attempts_come_back(self, who: int, failures: int) -> None:
        """A worker has counted."""
        counted = tally(20, failures, self.now)
        seen = self.seen[who]
        self.write(seen, breaker.opened(seen, counted, self.now, POLICY))

    @rule()
    def the_clock_looks(self) -> None:
        """It holds the row's lock, so it sees it as it is."""
        release = breaker.released(self.row, self.now, POLICY)
        if release is None:
            return
        assert self.row.paused_at is None
        assert release.count == (1 if self.row.kept else POLICY.limit)
        self.row = release.endpoint

    @rule(who=st.integers(0, 2))
    def a_released_one_arrives(self, who: int) -> None:
        """It asks to be the probe, by what its worker has just read, or long ago."""
        self.number += 1
        callback_id = f"callback-{self.number}"
        after = breaker.probing(self.seen[who], callback_id, self.now, POLICY)
        if self.write(self.seen[who], after):
            self.asking[callback_id] = self.now

    @rule(health=st.sampled_from(Health), who=st.integers(0, 2))
    def a_probe_comes_back(self, health: Health, who: int) -> None:
        """Only the one that the row names has a say."""
        if not self.asking:
            return
        callback_id = next(iter(self.asking))
        del self.asking[callback_id]
        before = self.row if who else self.seen[who]
        after = breaker.probed(before, callback_id, health, self.now, POLICY)
        if self.write(before, after):
            assert before.probe == callback_id

    @rule(who=st.integers(0, 2))
    def an_operator_pauses(self, who: int) -> None:
        """By what he sees."""
        seen = self.seen[who]
        self.write(seen, breaker.paused(seen, None, self.now))

    @rule(who=st.integers(0, 2))
    def an_operator_resumes(self, who: int) -> None:
        """By what he sees."""
        seen = self.seen[who]
        self.write(seen, breaker.resumed(seen, self.now))

    @invariant()
    def one_probe_at_a_time(self) -> None:
        """Within its lease there is no other."""
        if hasattr(self, "row"):
            leased = [at for at in self.asking.values() if self.now - at < POLICY.lease]
            assert len(leased) <= 1 or self.row.state is not BreakerState.HALF_OPEN

    @invariant()
    def a_probe_is_of_a_half_open_one(self) -> None:
        """No other state has a probe, and an open one has tripped."""
        if hasattr(self, "row"):
            assert self.row.probe is None or self.row.state is BreakerState.HALF_OPEN
            assert (self.row.trips > 0) is (self.row.state is not BreakerState.CLOSED)

    @invariant()
    def it_always_comes_back(self) -> None:
        """Whatever happened: resumed, and its probe gone well, it is closed."""
        if not hasattr(self, "row"):
            return
        endpoint = breaker.resumed(self.row, self.now) or self.row
        if endpoint.state is BreakerState.CLOSED:
            return
        later = max(endpoint.release_at, self.now)
        release = breaker.released(endpoint, later, POLICY)
        assert release is not None
        probe = breaker.probing(release.endpoint, "last", later, POLICY)
        assert probe is not None
        closed = breaker.probed(probe, "last", Health.WELL, later, POLICY)
        assert closed is not None
        assert closed.kept is None


TestBreaker = Breaker.TestCase
TestBreaker.__doc__ = "The rules hold in any order, whatever each one has last seen."
