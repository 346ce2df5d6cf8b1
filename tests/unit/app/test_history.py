"""Which parts of the history a process takes, and how it is with several of them."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from orchestrator.app.health import WorkerHealth
from orchestrator.app.history import Together, parts_to_take
from orchestrator.domain.errors import NotConfigured


@pytest.mark.parametrize(
    "only,left,taken",
    [
        ((), (), {0, 1, 2}),
        ((), (3, 4), {0, 1, 2, 3, 4}),
        ((1,), (3,), {1}),
        ((2, 1, 2), (), {1, 2}),
        ((0,), (3, 4), {0, 3, 4}),
        ((4,), (3, 4), {4}),
    ],
)
def test_a_process_takes_all_parts_or_those_it_is_told(
    only: Sequence[int], left: Sequence[int], taken: set[int]
) -> None:
    """What is left of a larger number goes with the first, so that somebody takes it."""
    assert parts_to_take(only, 3, left) == taken


def test_a_part_that_is_not_there_is_refused() -> None:
    """The text says which is the last one."""
    with pytest.raises(NotConfigured, match=r"--part 3: history.parts is 3.* last .* 2"):
        parts_to_take((1, 3), 3, ())


async def test_a_process_is_ready_when_all_its_parts_are(tmp_path: Path) -> None:
    """Its service manager hears of it once."""
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.setblocking(False)
        together = Together((0, 2), create_autospec(WorkerHealth), address)
        await together.ready(2)
        with pytest.raises(BlockingIOError):
            listener.recv(100)
        await together.ready(0)
        assert listener.recv(100) == b"READY=1"


def test_whatever_holds_a_part_holds_the_process() -> None:
    """Until nothing holds any of them."""
    health = create_autospec(WorkerHealth, instance=True)
    together = Together((0, 1), health, None)
    first, second = together.faults_of(0), together.faults_of(1)
    first(frozenset({"StoreUnavailable"}))
    second(frozenset({"BrokerUnavailable"}))
    first(frozenset())
    second(frozenset())
    assert [call.args[0] for call in health.told.call_args_list] == [
        {"StoreUnavailable"},
        {"StoreUnavailable", "BrokerUnavailable"},
        {"BrokerUnavailable"},
        set(),
    ]
