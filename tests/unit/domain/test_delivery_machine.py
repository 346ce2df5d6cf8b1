"""Delivery and hand-over on the real rules, workers and store, at random.

`model.plant` holds the chain with everything around it; here is chosen what happens next.
A run ends by everybody recovering: then the chain has to come to its end.
"""

from __future__ import annotations

import sys
from collections.abc import Coroutine, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Final, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.unit.domain.model import delivery_faults as faults
from tests.unit.domain.model import delivery_runs as runs
from tests.unit.domain.model.delivery_faults import Fault
from tests.unit.domain.model.fates import FATES, Fate
from tests.unit.domain.model.ground import Ground, Run, cancel_all, laid_out
from tests.unit.domain.model.irma import Handler
from tests.unit.domain.model.ledger import Broken

T = TypeVar("T")

PICK: Final = st.integers(0, 3)
STEPS: Final = st.sampled_from((0, 0, 1, 2, 4))
ANSWERS: Final = ("next", "next", "rival", "last", "end", "later", "busy", "refused")
SECONDS: Final = (0, 1, 4, 6, 11, 31, 61, 310, 1000, 3700)

#: Most processes live; what a fate comes at is counted from 0.
FATE: Final = st.builds(
    Fate, kind=st.sampled_from(("known", *FATES)), at=st.integers(0, 4)
)

MESSAGES_MAX: Final = 8
HANDLERS_MAX: Final = 3


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    """A loop and a database for all runs of a test."""
    with laid_out(tmp_path, monkeypatch) as found:
        yield found


class Deliveries(RuleBasedStateMachine):
    """Chooses what happens next."""

    ground: ClassVar[Ground]

    def __init__(self) -> None:
        super().__init__()
        self.plant = self.do(self.ground.plant())

    def do(self, work: Coroutine[object, object, T]) -> T:
        """Run it on the loop."""
        return self.ground.do(work)

    def go_on(self, steps: int) -> None:
        """For a while all goes well."""
        plant = self.plant
        for _ in range(steps):
            if plant.broker.queue:
                message = plant.broker.queue.pop(0)
                self.do(plant.handle(message, fate=Fate(), answer="next"))

    def cut(self) -> list[Handler]:
        """Handlers that have their answer, or whose connection broke."""
        bridges = self.plant.bridges
        return [h for h in self.plant.irma.server.handlers if h.bridge not in bridges]

    @precondition(lambda self: self.plant.alive())
    @rule(pick=PICK, frozen=st.booleans(), fate=FATE, steps=STEPS)
    def a_user_proves(self, *, pick: int, frozen: bool, fate: Fate, steps: int) -> None:
        """The gateway may be frozen, or die."""
        plant = self.plant
        if len(plant.irma.server.handlers) < HANDLERS_MAX:
            session = chosen(plant.alive(), pick)
            self.do(plant.prove(session, frozen=frozen, fate=fate))
        self.go_on(steps)

    @precondition(lambda self: self.cut())
    @rule(pick=PICK, announced=st.booleans(), fate=FATE)
    def a_handler_goes_on(self, *, pick: int, announced: bool, fate: Fate) -> None:
        """It stores what it has; one whose connection broke asks the bridge again."""
        handler = chosen(self.cut(), pick)
        server = self.plant.irma.server
        if handler.bridge is not None:
            self.do(self.plant.post(handler, frozen=False, fate=fate))
            return
        if announced:
            self.plant.announce(server.sessions[handler.token], "DONE")
        server.store(handler)

    @precondition(lambda self: self.plant.broker.queue)
    @rule(
        pick=PICK,
        answer=st.sampled_from((*ANSWERS, "nothing", "held")),
        fate=FATE,
        again=st.booleans(),
        held=st.booleans(),
    )
    def a_message_is_handled(
        self, *, pick: int, answer: str, fate: Fate, again: bool, held: bool
    ) -> None:
        """Any of them, once or more."""
        queue = self.plant.broker.queue
        message = chosen(queue, pick)
        queue.remove(message)
        if again and len(queue) < MESSAGES_MAX:
            queue.append(message)
        self.do(self.plant.handle(message, fate=fate, answer=answer, held=held))

    @precondition(lambda self: self.plant.points.of("endpoint"))
    @rule(pick=PICK, answer=st.sampled_from(ANSWERS))
    def an_endpoint_answers(self, pick: int, answer: str) -> None:
        """It has taken its time."""
        self.tell("endpoint", pick, answer)

    @precondition(lambda self: self.plant.points.of("start"))
    @rule(pick=PICK, verdict=st.sampled_from(("ok", "ok", "away", "refused")))
    def a_start_goes_on(self, pick: int, verdict: str) -> None:
        """The backend has taken its time."""
        self.tell("start", pick, verdict)

    @precondition(lambda self: self.plant.endpoint.addresses)
    @rule(pick=PICK, answer=st.sampled_from(("next", "rival", "end")), fate=FATE)
    def an_endpoint_answers_later(self, pick: int, answer: str, fate: Fate) -> None:
        """To any address that it was ever given."""
        address = chosen(self.plant.endpoint.addresses[::-1], pick)
        self.do(self.plant.answer_later(address, answer, fate))

    @rule(seconds=st.sampled_from(SECONDS), fate=FATE, steps=STEPS)
    def time_passes(self, *, seconds: int, fate: Fate, steps: int) -> None:
        """Gateways give up; the clock does what is due."""
        plant = self.plant
        plant.clock.now += timedelta(seconds=seconds)
        plant.irma.server.age(plant.now)
        if seconds >= 4:
            for kind in ("gateway", "frozen gateway"):
                while plant.points.of(kind):
                    self.tell(kind, 0, None)
        self.do(plant.beat(fate))
        self.go_on(steps)

    @rule(trouble=st.sampled_from(("pause", "resume", "cancels", "restart", "timeouts")))
    def trouble(self, trouble: str) -> None:
        """What is rare."""
        plant = self.plant
        match trouble:
            case "pause":
                self.do(plant.pause())
            case "resume":
                self.do(plant.resume())
            case "cancels" if plant.alive():
                session = plant.alive()[0]
                plant.irma.server.cancel(session, plant.now)
                plant.announce(session, "CANCELLED")
            case "restart":
                plant.irma.server.restart()
            case "timeouts":
                for session in plant.irma.server.sessions.values():
                    if session.timed_out(plant.now) and not session.lost:
                        plant.announce(session, "TIMEOUT")
            case _:
                return

    @rule(fate=FATE, steps=STEPS)
    def an_operator_replays(self, fate: Fate, steps: int) -> None:
        """Whether there is something to be replayed or not."""
        self.do(self.plant.replay(fate))
        self.go_on(steps)

    def tell(self, kind: str, pick: int, told: str | None) -> None:
        """Somebody who waits goes on."""
        point = chosen(self.plant.points.of(kind), pick)
        point.told.set_result(told)
        self.do(self.plant.points.settle())

    @invariant()
    def nothing_is_broken(self) -> None:
        """What has to hold at every moment."""
        self.do(self.plant.check())

    def teardown(self) -> None:
        """Everybody recovers, unless something is broken already."""
        if sys.exc_info()[0] is None:
            self.do(self.plant.recover())
        self.do(cancel_all())


def chosen(things: Sequence[T], pick: int) -> T:
    """One of the things there are."""
    return things[pick % len(things)]


def play(ground: Ground, examples: int, *phases: Phase) -> None:
    """Play the same runs each time, none of them long."""

    class Playing(Deliveries):
        pass

    Playing.ground = ground
    run_state_machine_as_test(
        Playing,
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            derandomize=True,
            database=None,
            phases=phases,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_deliveries_keep_their_promises_whatever_goes_wrong(ground: Ground) -> None:
    """No order of answers, crashes, pauses, later answers and replays breaks one."""
    play(ground, 40, Phase.generate)


@pytest.mark.parametrize(
    "run,fault,promise",
    [
        (runs.a_gateway_dies_with_its_offer, faults.nobody_looks_again, "G1"),
        (
            runs.the_server_forgets_a_live_session,
            faults.a_forgotten_session_is_waited_for,
            "G1",
        ),
        (
            runs.a_result_tells_first_of_its_session,
            faults.what_was_not_announced_stays_so,
            "H10.*session.started",
        ),
        (
            runs.a_retry_waits_when_the_chain_is_replayed,
            faults.what_waits_outlives_its_generation,
            "H9",
        ),
        (
            runs.a_cancellation_waits_when_the_chain_is_replayed,
            faults.nothing_outlives_its_generation,
            "G2",
        ),
        (
            runs.a_chain_that_ended_well_is_replayed,
            faults.whatever_ended_is_replayed,
            "only what has failed is replayed",
        ),
        (runs.a_worker_dies_when_it_has_settled, faults.events_are_not_kept, "H10"),
        (runs.a_worker_dies_when_it_has_claimed, faults.repeats_tell_nothing, "H10"),
        (
            runs.an_endpoint_gives_two_answers,
            faults.a_slot_is_claimed_twice,
            "transition",
        ),
        (
            runs.another_answer_comes_after_the_later_one,
            faults.a_taken_answer_holds_nothing,
            "an answer that was taken counts",
        ),
        (
            runs.a_later_answer_never_comes,
            faults.nobody_waits_for_a_later_answer,
            "G1",
        ),
        (runs.an_endpoint_is_paused, faults.parked_is_not_committed, "G1"),
        (runs.an_endpoint_is_paused, faults.parked_callbacks_are_never_released, "G1"),
        (runs.an_endpoint_is_paused, faults.parking_spends_attempts, "no attempt"),
        (runs.an_endpoint_is_paused, faults.endpoints_are_never_left_alone, "G5"),
        (runs.a_breaker_opens, faults.endpoints_are_never_left_alone, "G5"),
        (runs.a_retry_is_due, faults.retries_are_not_committed, "G1"),
        (runs.a_retry_is_due, faults.every_attempt_is_a_callback, "G3"),
    ],
)
def test_a_run_needs_its_rule(
    run: Run,
    fault: Fault,
    promise: str,
    ground: Ground,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With one rule switched off it breaks the promise that the rule keeps."""
    ground.do(ground.played(run))
    fault(monkeypatch)
    with pytest.raises(Broken, match=promise):
        ground.do(ground.played(run))
