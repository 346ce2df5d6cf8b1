"""How many redeliveries the kills of a proof explain."""

from __future__ import annotations

from orchestrator.app.tools import DROP_PAUSE_S
from orchestrator.local.stack import Plan
from orchestrator.proof.replay_books import InHand, Kill, Victim
from orchestrator.proof.replay_in_hand import Handling, in_hand, of_replay_worker
from schemas.messages import Lane
from workers import clock, replay

WORKER = Kill(what=Victim.WORKER, replayed=60)
BROKER = Kill(what=Victim.BROKER, replayed=75)
PLAN = Plan(callbacks=2, lanes=(Lane.REPLAY,), replays=True)
HANDLING = Handling.of(PLAN, prefetch=64, pace=20.0)


def test_without_a_kill_nothing_comes_again() -> None:
    """But what the broker had not confirmed, and so was published twice."""
    assert in_hand([], HANDLING, unconfirmed=0) == InHand(first=0, replayed=0)
    assert in_hand([], HANDLING, unconfirmed=3) == InHand(first=3, replayed=0)


def test_a_killed_worker_explains_what_it_was_about() -> None:
    """Chains side by side, and those whose rows it was to strike out."""
    gathered = round(20 * DROP_PAUSE_S)
    assert of_replay_worker(20.0) == replay.AT_ONCE + gathered
    most = InHand(first=0, replayed=replay.AT_ONCE + gathered)
    assert in_hand([WORKER], HANDLING, unconfirmed=0) == most


def test_a_killed_broker_explains_a_prefetch_of_each_worker() -> None:
    """Each lane by its own workers, and replays by who publishes them."""
    published = replay.AT_ONCE + clock.MESSAGES
    most = InHand(first=2 * 64 + 3, replayed=64 + published)
    assert in_hand([BROKER], HANDLING, unconfirmed=3) == most


def test_each_kill_adds_its_own() -> None:
    """Both are in one run."""
    both = in_hand([WORKER, BROKER], HANDLING, unconfirmed=0)
    alone = [in_hand([one], HANDLING, unconfirmed=0) for one in (WORKER, BROKER)]
    assert both.first == sum(one.first for one in alone)
    assert both.replayed == sum(one.replayed for one in alone)
