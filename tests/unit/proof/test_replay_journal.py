"""What endpoints note, and how long what they noted has taken."""

from __future__ import annotations

import pytest

from orchestrator.proof.replay_journal import (
    Posted,
    ids_of,
    line_of,
    posted_in,
    redelivered,
)
from orchestrator.proof.replay_traffic import latencies

ONE = Posted(12.5, 3, 204, "CHAIN-1-1-session_completed-0a")


def test_what_was_written_is_read() -> None:
    """A line that is just being written is left for later."""
    other = Posted(13.0, 0, 404, "OTHER-1-0-session_completed-1")
    journal = line_of(ONE) + line_of(other)
    assert posted_in(journal) == [ONE, other]
    assert posted_in(journal[:-1]) == [ONE]


def test_an_id_tells_chain_and_generation() -> None:
    """They are derived from what happened, so nothing else has to be noted."""
    assert (ONE.chain_id, ONE.generation) == ("CHAIN", 1)
    again = ONE._replace(at_s=13.0)
    assert ids_of([ONE, again]) == {("CHAIN", 1): {ONE.webhook_id}}
    assert redelivered([ONE, again, again]) == 2


def test_latencies_are_those_of_a_window() -> None:
    """By when they were sent; what never came took for ever."""
    sent = {"before": 0.5, "slow": 1.0, "lost": 1.5, "quick": 1.9, "after": 2.0}
    received = {"before": 0.6, "slow": 3.0, "quick": 2.0, "after": 2.1}
    late = latencies(sent, received, 1.0, 2.0)
    assert late == [pytest.approx(0.1), 2.0, float("inf")]
