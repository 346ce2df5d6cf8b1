"""Runs that the machine meets only now and then: a step in the wrong moment each."""

from __future__ import annotations

from datetime import timedelta

from tests.unit.domain.model.irma import Session
from tests.unit.domain.model.state import Start
from tests.unit.domain.model.world import World

SECOND = timedelta(seconds=1)


def a_handler_outlives_its_session(world: World) -> None:
    """The session times out while its handler, which has its answer, is at work."""
    _use_up_all_but(world, timedelta(0))
    world.prove(world.first, mark="marked")
    _all_goes_well(world)
    world.advance(11 * SECOND)
    world.clock(reachable=True)
    _all_goes_well(world)
    world.store(world.irma.handlers[0], announced=True)
    world.check()


def a_handler_asks_a_second_time(world: World) -> None:
    """The first gateway dies with its claim; the app proves again, at the last moment."""
    _use_up_all_but(world, 21 * SECOND)
    world.prove(world.first, mark="marked")
    world.flow()
    world.flow()
    world.handle(world.queue.pop(), fate="crashed", owner="w1")
    world.advance(21 * SECOND)
    world.prove(world.first, mark="marked")
    _all_goes_well(world)
    world.advance(41 * SECOND)
    world.clock(reachable=True)
    _all_goes_well(world)
    world.store(world.irma.handlers[0], announced=True)
    world.check()


def an_announced_session_is_never_stored(world: World) -> None:
    """The user cancels while DONE is announced; a requestor asks before the clock."""
    world.prove(world.first, mark="marked")
    _all_goes_well(world)
    handler = world.irma.handlers[0]
    world.cancel(world.first, announced=False, stored=True)
    world.store(handler, announced=True)
    _all_goes_well(world)
    world.tell(world.ledger.rows[world.first.slot])
    world.recover()


def a_session_that_was_given_up_proves_too(world: World) -> None:
    """Its cancellation came too late; the offer was another session's, which goes on."""
    late = _another_first(world)
    world.prove(world.first, mark="marked")
    world.flow()
    world.flow()
    world.prove(late, mark="marked")
    _all_goes_well(world)
    for handler in list(world.irma.handlers):
        if handler.bridge is None:
            world.store(handler, announced=False)
    world.check()


def another_session_is_proved(world: World) -> None:
    """An orphan of the step got to a user; the row's own session leads nowhere."""
    late = _another_first(world)
    world.prove(late, mark="crashed")
    _all_goes_well(world)
    world.recover()


def the_step_before_is_purged(world: World) -> None:
    """The backend was away until the first step was purged; the user is in the second."""
    world.prove(world.first, mark="marked")
    _all_goes_well(world)
    world.store(world.irma.handlers[0], announced=False)
    world.advance(310 * SECOND)
    world.clock(reachable=True)
    _all_goes_well(world)
    world.check()


def the_server_forgets_who_has_finished(world: World) -> None:
    """The user proves the second step before it is found live; the server restarts."""
    world.prove(world.first, mark="marked")
    _all_goes_well(world)
    world.store(world.irma.handlers[0], announced=False)
    world.prove(world.irma.alive(world.now)[0], mark="marked")
    slow_endpoint = world.queue.pop()
    world.irma.restart()
    world.advance(61 * SECOND)
    world.clock(reachable=True)
    _all_goes_well(world)
    world.queue.append(slow_endpoint)
    _all_goes_well(world)
    world.check()


def an_orphan_times_out_while_nobody_can_look(world: World) -> None:
    """Two handlers asked; the one that got no session has stored, and is kept long."""
    world.first.kept = timedelta(hours=2)
    world.prove(world.first, mark="marked")
    _all_goes_well(world)
    world.prove(world.first, mark="marked")
    world.flow()
    world.flow()
    world.handle(world.queue.pop(), fate="unknown", owner="w1")
    orphaned, stored = world.irma.handlers
    world.store(stored, announced=False)
    world.store(orphaned, announced=False)
    for _ in range(4):
        world.advance(600 * SECOND)
        world.clock(reachable=False)
    world.announce_timeouts()
    _all_goes_well(world)
    world.clock(reachable=True)
    _all_goes_well(world)
    world.check()


def a_worker_is_slower_than_its_lease(world: World) -> None:
    """Another worker has the lease and is done before it."""
    _start_the_second(world)
    slow = world.tasks[0]
    world.advance(16 * SECOND)
    world.handle(Start(slow.slot), fate="known", owner="w2")
    fast = world.tasks[1]
    for task in (slow, fast):
        world.begin(task, fate="known")
    world.go_live(fast, fate="known")
    world.go_live(slow, fate="known")
    world.check()


def a_worker_does_not_learn_its_fate(world: World) -> None:
    """It has written that its session is live; the user proves before it asks again."""
    _start_the_second(world)
    world.begin(world.tasks[0], fate="known")
    world.go_live(world.tasks[0], fate="unknown")
    world.prove(world.irma.alive(world.now)[-1], mark="marked")
    world.go_live(world.tasks[0], fate="known")


def a_backend_is_away_in_a_closed_generation(world: World) -> None:
    """A replay starts while a worker waits for the backend, which is away."""
    _start_the_second(world)
    world.ledger.close()
    world.begin(world.tasks[0], fate="away")


def a_worker_dies_with_its_claim(world: World) -> None:
    """It has claimed the slot and told nobody; its message comes again."""
    world.prove(world.first, mark="marked")
    world.flow()
    world.handle(world.queue.pop(), fate="crashed", owner="w1")
    world.recover()


def _use_up_all_but(world: World, left: timedelta) -> None:
    """The user connects, then takes the time there is."""
    world.irma.connect(world.first, world.now)
    world.advance(world.first.limit - left)


def _start_the_second(world: World) -> None:
    """The endpoint answers too late; a worker has the lease on the second step."""
    world.prove(world.first, mark="marked")
    world.advance(4 * SECOND)
    world.give_up()
    while not world.tasks:
        world.flow()


def _another_first(world: World) -> Session:
    """A second session of the first step, as an orphan is."""
    session = world.irma.start(world.first.slot, world.now, chained=True, timeout_s=0)
    session.reachable = True
    return session


def _all_goes_well(world: World) -> None:
    while world.flow():
        pass
