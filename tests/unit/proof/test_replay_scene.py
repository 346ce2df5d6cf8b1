"""How a run of the proof of replays goes, by its size."""

from __future__ import annotations

import pytest

from orchestrator.proof.replay_scene import Course


@pytest.mark.parametrize("chains, windows", [(999, 0), (1_000, 10), (10_000, 10)])
def test_a_run_of_some_size_has_all_windows(chains: int, windows: int) -> None:
    """Five with the replay and five without; a small run may be over too soon."""
    assert Course.of(chains).windows_min == windows
