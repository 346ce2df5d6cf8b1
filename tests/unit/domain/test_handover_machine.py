"""The rules of the hand-over against everything that may go wrong, at random.

`model.world` holds the chain, its messages and processes; here is chosen what happens
next. A run ends by everybody recovering: then the chain has to come to its end.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final, TypeVar

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

from tests.unit.domain.model import faults, runs
from tests.unit.domain.model.faults import Fault
from tests.unit.domain.model.irma import Handler, Session
from tests.unit.domain.model.ledger import Broken
from tests.unit.domain.model.state import Callback, Start, Wake
from tests.unit.domain.model.world import World

T = TypeVar("T")

#: Which of the things in hand; there are never many.
PICK: Final = st.integers(0, 3)
STEPS: Final = st.sampled_from((0, 1, 2, 3, 4, 6, 9))

#: More messages, handlers or starts at once only take time.
MESSAGES_MAX: Final = 8
HANDLERS_MAX: Final = 3

MARKS: Final = ("marked", "noted", "both", "crashed")
SECONDS: Final = (0, 4, 11, 31, 61, 310, 1000)
TROUBLES: Final = (
    "timeouts announced",
    "message lost",
    "user cancels",
    "update lost",
    "irma restarts",
    "replay",
)


class HandOver(RuleBasedStateMachine):
    """Chooses what happens next."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    def alive(self) -> list[Session]:
        """The sessions that users may use."""
        return self.world.irma.alive(self.world.now)

    def ready(self) -> list[Handler]:
        """The IRMA server's handlers that have got their answer."""
        return [h for h in self.world.irma.handlers if h.bridge is None]

    def cut(self) -> list[Handler]:
        """Those whose connection broke while they waited for the bridge."""
        bridges = self.world.bridges
        return [
            h
            for h in self.world.irma.handlers
            if h.bridge is not None and h.bridge not in bridges
        ]

    def go_on(self, steps: int) -> None:
        """For a while all goes well: messages come in order, once, and nobody dies."""
        for _ in range(steps):
            self.world.flow()

    @precondition(lambda self: self.alive())
    @rule(
        pick=PICK,
        late=st.booleans(),
        mark=st.sampled_from(MARKS),
        steps=STEPS,
    )
    def a_user_proves(self, *, pick: int, late: bool, mark: str, steps: int) -> None:
        """At once or at the last moment; two may, if the app asks again."""
        session = chosen(self.alive(), pick)
        if late:
            self.world.irma.connect(session, self.world.now)
            self.world.advance(session.active_at + session.limit - self.world.now)
        if len(self.world.irma.handlers) < HANDLERS_MAX:
            self.world.prove(session, mark=mark)
        self.go_on(steps)

    @precondition(lambda self: self.ready() or self.cut())
    @rule(pick=PICK, announced=st.booleans(), mark=st.sampled_from(MARKS))
    def a_handler_goes_on(self, *, pick: int, announced: bool, mark: str) -> None:
        """It stores what it has; one whose connection broke asks the bridge again."""
        handler = chosen(self.ready() + self.cut(), pick)
        if handler.bridge is None:
            self.world.store(handler, announced=announced)
        else:
            self.world.post(handler, mark=mark)

    @precondition(lambda self: self.world.queue)
    @rule(
        pick=PICK,
        answer=st.sampled_from(["next", "rival", "last", "end", "failed"]),
        fate=st.sampled_from(["known", "known", "unknown", "crashed"]),
        again=st.booleans(),
        owner=st.sampled_from(["w1", "w2"]),
    )
    def a_message_is_handled(
        self, *, pick: int, answer: str, fate: str, again: bool, owner: str
    ) -> None:
        """Any of them, once or more."""
        world = self.world
        message = chosen(world.queue, pick)
        world.queue.remove(message)
        if again and len(world.queue) < MESSAGES_MAX:
            world.queue.append(message)
        if isinstance(message, Callback) and message.answer is None:
            world.queue.append(replace(message, answer=answer))
        else:
            world.handle(message, fate=fate, owner=owner)

    @precondition(lambda self: self.world.tasks)
    @rule(
        pick=PICK,
        fate=st.sampled_from(["known", "unknown", "away", "refused", "crashed"]),
    )
    def a_start_goes_on(self, pick: int, fate: str) -> None:
        """A worker starts a session, or writes that it has."""
        task = chosen(self.world.tasks, pick)
        if fate == "crashed":
            self.world.tasks.remove(task)
        elif task.token is None:
            self.world.begin(task, fate=fate)
        else:
            self.world.go_live(task, fate=fate)

    @rule(pick=PICK)
    def a_requestor_asks(self, pick: int) -> None:
        """It polls a session's result, which may be news to us."""
        self.world.tell(chosen(list(self.world.ledger.rows.values()), pick))

    @rule(
        seconds=st.sampled_from(SECONDS),
        frozen=st.booleans(),
        clock=st.sampled_from(["beats", "beats", "backend away", "stuck"]),
        steps=STEPS,
    )
    def time_passes(self, *, seconds: int, frozen: bool, clock: str, steps: int) -> None:
        """Gateways give up, if they are not frozen; the clock looks at what is due."""
        self.world.advance(timedelta(seconds=seconds))
        if not frozen:
            self.world.give_up()
        if clock != "stuck":
            self.world.clock(reachable=clock == "beats")
        self.go_on(steps)

    @rule(trouble=st.sampled_from(TROUBLES), announced=st.booleans(), really=PICK)
    def trouble(self, *, trouble: str, announced: bool, really: int) -> None:
        """What is rare."""
        world = self.world
        # What a worker has claimed by is confirmed and never lost.
        lossy = [m for m in world.queue if isinstance(m, Start | Wake)]
        match trouble:
            case "timeouts announced":
                world.announce_timeouts()
            case "message lost" if lossy:
                world.queue.remove(chosen(lossy, really))
            case "user cancels" | "update lost" if really == 0 and self.alive():
                session = self.alive()[0]
                # An update is lost only to a handler that is at work.
                lost = trouble == "update lost" and world.irma.at_work(session.token)
                world.cancel(session, announced=announced, stored=not lost)
            case "irma restarts" if really == 0:
                world.irma.restart()
            case "replay" if really == 0 and world.ledger.open:
                world.ledger.close()

    @invariant()
    def nothing_is_broken(self) -> None:
        """What has to hold at every moment."""
        self.world.check()

    def teardown(self) -> None:
        """Everybody recovers, unless something is broken already."""
        if sys.exc_info()[0] is None:
            self.world.recover()


def chosen(things: Sequence[T], pick: int) -> T:
    """One of the things there are."""
    return things[pick % len(things)]


def play(examples: int, *phases: Phase) -> None:
    """Play the same runs each time, none of them long."""
    run_state_machine_as_test(
        HandOver,
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


def test_the_rules_keep_their_promises_whatever_goes_wrong() -> None:
    """No order of messages, crashes, late answers and lost updates breaks a promise."""
    play(80, Phase.generate, Phase.shrink)


@pytest.mark.parametrize(
    "fault,promise",
    [
        (faults.any_session_counts, "H3"),
        (faults.a_closed_generation_goes_on, "H9"),
        (faults.a_slot_is_claimed_twice, "one claim|the transition"),
    ],
)
def test_the_machine_finds_what_a_missing_rule_breaks(
    fault: Fault, promise: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one rule switched off, some run breaks the promise that it keeps."""
    fault(monkeypatch)
    with pytest.raises(Broken, match=promise):
        play(2000, Phase.generate)


@pytest.mark.parametrize(
    "run,fault,promise",
    [
        (runs.a_handler_outlives_its_session, faults.timeouts_count_at_once, "G2"),
        (runs.a_handler_asks_a_second_time, faults.only_the_first_post_counts, "G2"),
        (runs.a_handler_asks_a_second_time, faults.repeats_are_not_noted, "G2"),
        (
            runs.an_announced_session_is_never_stored,
            faults.what_is_announced_counts,
            "H1",
        ),
        (
            runs.a_session_that_was_given_up_proves_too,
            faults.whoever_asks_may_forward,
            "G2",
        ),
        (runs.another_session_is_proved, faults.who_is_given_up_is_forgotten, "G2"),
        (runs.the_step_before_is_purged, faults.unknown_is_lost, "G2"),
        (
            runs.an_orphan_times_out_while_nobody_can_look,
            faults.time_is_enough_for_a_bad_end,
            "H3",
        ),
        (runs.the_server_forgets_who_has_finished, faults.results_are_not_marked, "H4"),
        (runs.a_worker_is_slower_than_its_lease, faults.the_lease_is_not_checked, "G2"),
        (runs.a_worker_does_not_learn_its_fate, faults.the_row_is_not_read, "H8"),
        (runs.a_backend_is_away_in_a_closed_generation, faults.starts_come_back, "H9"),
        (runs.a_worker_dies_with_its_claim, faults.repeats_tell_nothing, "H10"),
    ],
)
def test_a_rare_run_needs_its_rule(
    run: Callable[[World], None],
    fault: Fault,
    promise: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the machine meets only now and then: harmless, but for the rule."""
    run(World())
    fault(monkeypatch)
    with pytest.raises(Broken, match=promise):
        run(World())
