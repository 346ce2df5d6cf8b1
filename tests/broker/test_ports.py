"""Free ports on the loopback interface."""

import random
import socket

import pytest

from orchestrator.local import ports


def test_ports_are_different_and_free() -> None:
    """Each port can be bound right away, all of them at the same time."""
    chosen = ports.free_ports(20, random.Random(1))
    assert len(set(chosen)) == 20
    assert ports.taken(chosen) == ()


def test_a_port_in_use_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one of two ports in use, the other one is chosen."""
    with socket.create_server((ports.LOOPBACK, 0)) as server:
        used = server.getsockname()[1]
        (free,) = ports.free_ports(1, random.Random(1))
        monkeypatch.setattr(ports, "PORTS", (used, free))
        assert ports.taken((used, free)) == (used,)
        chosen = {ports.free_ports(1, random.Random(seed)) for seed in range(8)}
    assert chosen == {(free,)}


def test_a_machine_without_free_ports_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where every port is in use, the error says which ones were looked at."""
    with socket.create_server((ports.LOOPBACK, 0)) as server:
        used = server.getsockname()[1]
        monkeypatch.setattr(ports, "PORTS", range(used, used + 1))
        with pytest.raises(OSError, match=f"between {used} and {used + 1}"):
            ports.free_ports(1, random.Random(1))
