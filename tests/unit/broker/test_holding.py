"""Holding: pauses that grow to a bound, faults that are told once."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from orchestrator.broker.holding import (
    Faults,
    HandedBack,
    Holder,
    hold,
    pause_s,
)
from orchestrator.domain.errors import (
    BackendRefused,
    BrokerUnavailable,
    OrchestratorError,
    StoreUnavailable,
)


def test_pauses_double_up_to_two_seconds() -> None:
    """Without jitter: 0.1, 0.2, 0.4 … 2 s, however long it takes."""

    def latest() -> float:
        return 1.0

    pauses = [pause_s(failures, latest) for failures in (1, 2, 3, 4, 5, 6, 1000)]

    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0])


def test_jitter_takes_up_to_half_of_a_pause() -> None:
    """Many held messages do not come back in step."""
    assert pause_s(6, lambda: 0.0) == pytest.approx(1.0)
    assert pause_s(6, lambda: 0.5) == pytest.approx(1.5)


class Action:
    """Fails with these errors, one after the other, and then is done."""

    def __init__(self, *errors: Exception) -> None:
        """Nothing was tried yet."""
        self.tries = 0
        self._errors = list(errors)

    async def __call__(self) -> str:
        """Try."""
        self.tries += 1
        if self._errors:
            raise self._errors.pop(0)
        return "done"


class Bench:
    """A holder with its parts at hand."""

    def __init__(self) -> None:
        """Nothing is held and nobody stops."""
        self.stopping = asyncio.Event()
        self.faults = Faults("callbacks")
        self.holder = Holder(
            faults=self.faults, stopping=self.stopping, random=lambda: 0.0
        )


STORE = StoreUnavailable("the database does not answer")
BROKER = BrokerUnavailable("no confirm within 10 s")


async def test_what_is_held_is_tried_until_it_is_done() -> None:
    """The result is that of the try that worked."""
    action = Action(STORE, STORE)

    assert await Bench().holder.until_done(action) == "done"
    assert action.tries == 3


@pytest.mark.parametrize(
    "error",
    [OrchestratorError("x"), BackendRefused(status=400, error="X"), ValueError("x")],
    ids=lambda error: type(error).__name__,
)
async def test_what_is_not_held_passes_at_once(error: Exception) -> None:
    """Only `held` decides; a defect or a refusal would not get better by waiting."""
    action = Action(error)

    with pytest.raises(type(error)):
        await Bench().holder.until_done(action)

    assert action.tries == 1


async def test_when_the_process_stops_what_is_held_is_handed_back() -> None:
    """One last try, then somebody else must go on; nothing stays counted as held."""
    bench = Bench()
    bench.stopping.set()
    action = Action(STORE, STORE)

    with pytest.raises(HandedBack):
        await bench.holder.until_done(action)

    assert action.tries == 1
    assert bench.faults.now == frozenset()


async def test_each_fault_is_told_once_and_when_it_is_over() -> None:
    """Sixty-four held messages are one line, not sixty-four."""
    bench = Bench()

    with capture_logs() as logs:
        await asyncio.gather(
            *(bench.holder.until_done(Action(STORE, STORE)) for _ in range(64))
        )

    assert [(log["event"], log["fault"]) for log in logs] == [
        ("worker.held", "StoreUnavailable"),
        ("worker.no_longer_held", "StoreUnavailable"),
    ]
    assert logs[0]["why"] == "the database does not answer"


def test_a_message_is_held_by_one_fault_at_a_time() -> None:
    """When the fault changes the first one is over; the second is counted."""
    faults = Faults("callbacks")

    kind = faults.holds(None, STORE)
    kind = faults.holds(kind, STORE)
    assert faults.now == {"StoreUnavailable"}

    kind = faults.holds(kind, BROKER)
    assert faults.now == {"BrokerUnavailable"}

    faults.released(kind)
    assert faults.now == frozenset()


def test_each_change_of_the_faults_is_told() -> None:
    """Whoever runs the worker hears what holds it; one more message is no news."""
    told: list[set[str]] = []
    faults = Faults("callbacks", lambda now: told.append(set(now)))

    kind = faults.holds(None, STORE)
    other = faults.holds(None, STORE)
    kind = faults.holds(kind, BROKER)
    faults.released(other)
    faults.released(kind)

    both = {"StoreUnavailable", "BrokerUnavailable"}
    assert told == [{"StoreUnavailable"}, both, {"BrokerUnavailable"}, set()]


def test_there_is_no_moment_without_a_fault_when_one_follows_another() -> None:
    """A worker that is held all the time never calls itself ready in between."""
    told: list[frozenset[str]] = []
    faults = Faults("callbacks", told.append)

    faults.holds(faults.holds(None, STORE), BROKER)

    assert frozenset() not in told
    assert faults.now == {"BrokerUnavailable"}


class Handling:
    """A message that is handled in two steps, of which the second one may fail."""

    def __init__(self, *errors: Exception) -> None:
        """Nothing was done yet."""
        self.posted = 0
        self.rest = Action(*errors)

    async def __call__(self) -> None:
        """Do the first step, and hold the second."""
        self.posted += 1
        await hold(self._rest)

    async def _rest(self) -> None:
        await self.rest()


async def test_what_was_done_before_a_step_that_is_held_is_not_repeated() -> None:
    """What holds the step is told as if it held the message; it does."""
    told: list[frozenset[str]] = []
    faults = Faults("callbacks", told.append)
    holder = Holder(faults=faults, stopping=asyncio.Event(), random=lambda: 0.0)
    handling = Handling(STORE, STORE)

    await holder.until_done(handling)

    assert (handling.posted, handling.rest.tries) == (1, 3)
    assert told == [{"StoreUnavailable"}, frozenset()]


async def test_a_step_that_is_held_is_handed_back_too() -> None:
    """With its message, when the process stops."""
    bench = Bench()
    bench.stopping.set()
    handling = Handling(STORE, STORE)

    with pytest.raises(HandedBack):
        await bench.holder.until_done(handling)

    assert (handling.posted, handling.rest.tries) == (1, 1)
    assert bench.faults.now == frozenset()


async def test_steps_are_held_by_the_holder_of_their_own_message() -> None:
    """One worker that is to stop takes nothing out of another's hands."""
    stopped, going_on = Bench(), Bench()
    stopped.stopping.set()

    ends = await asyncio.gather(
        stopped.holder.until_done(Handling(STORE)),
        going_on.holder.until_done(Handling(STORE)),
        return_exceptions=True,
    )

    assert [type(end) for end in ends] == [HandedBack, type(None)]
