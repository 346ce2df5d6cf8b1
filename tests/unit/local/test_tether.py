"""How a program leaves the processors to others."""

import os

import pytest

from orchestrator.local import tether


def test_where_the_kernel_knows_no_idle_process_it_is_as_nice_as_can_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Some sandboxes refuse every scheduling policy but the usual one."""
    nice: list[int] = []

    def refuse(pid: int, policy: int, param: os.sched_param) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    monkeypatch.setattr(os, "nice", nice.append)
    tether._leave_to_others(tether.IDLE)
    assert nice == [tether.IDLE]
