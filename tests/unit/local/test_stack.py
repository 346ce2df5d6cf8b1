"""Which workers an installation on one machine has."""

from __future__ import annotations

from pathlib import Path

from orchestrator.local.stack import Plan, _workers
from schemas.messages import Lane

CONFIG = Path("orchestrator.json")


def test_lanes_have_workers_of_their_own() -> None:
    """As many live ones as planned, and one in each further lane."""
    plan = Plan(callbacks=2, lanes=(Lane.REPLAY, Lane.EVENTS))
    lanes = {
        name: argv[argv.index("--lane") + 1]
        for name, argv in _workers(plan, CONFIG).items()
        if "callback" in argv
    }
    assert lanes == {
        "callback-1": "live",
        "callback-2": "live",
        "callback-replay": "replay",
        "callback-events": "events",
    }


def test_a_plan_has_no_more_processes_than_a_chain_needs() -> None:
    """What every test starts: one worker of a kind, all with the same configuration."""
    workers = _workers(Plan(), CONFIG)
    assert list(workers) == ["callback-1", "session", "history", "clock"]
    for argv in workers.values():
        assert argv[argv.index("--config") + 1] == str(CONFIG)
