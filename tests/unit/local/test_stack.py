"""Which workers an installation on one machine has."""

from __future__ import annotations

from orchestrator.local import tether
from orchestrator.local.stack import Plan, _workers, niceness_of
from schemas.messages import Lane


def test_lanes_have_workers_of_their_own() -> None:
    """As many live ones as planned, and one in each further lane."""
    plan = Plan(callbacks=2, lanes=(Lane.REPLAY, Lane.EVENTS))
    lanes = {name: lane for name, kind, lane in _workers(plan) if kind == "callback"}
    assert lanes == {
        "callback-1": "live",
        "callback-2": "live",
        "callback-replay": "replay",
        "callback-events": "events",
    }


def test_a_plan_has_no_more_processes_than_a_chain_needs() -> None:
    """What every test starts: one worker of a kind."""
    names = [name for name, _, _ in _workers(Plan())]
    assert names == ["callback-1", "session", "history", "clock"]


def test_workers_that_may_lag_leave_the_processors_to_those_in_flow() -> None:
    """A backlog is worked off beside the users of now, not before them."""
    in_flow = {niceness_of("session", None), niceness_of("callback", Lane.LIVE)}
    behind = {niceness_of("history", None), niceness_of("callback", Lane.REPLAY)}
    assert 0 < max(in_flow) < min(behind)
    assert max(behind) < niceness_of("replay", None) == tether.IDLE


def test_who_may_hold_the_only_writers_lock_is_not_starved() -> None:
    """SQLite takes one writer at a time, and the gateway may be the next."""
    assert niceness_of("replay", None, shared=False) < tether.IDLE
