"""How a program is started behind others: by itself, and as its session's group."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import pytest

from orchestrator.local import tether


@dataclass
class Kernel:
    """What takes a group's niceness, or refuses it; pauses take no time."""

    refusals: list[OSError]
    taken: list[str] = field(default_factory=list)
    slept_s: float = 0.0

    def open(self, name: str, mode: str) -> io.StringIO:
        """The file of this process's group."""
        assert (name, mode) == ("/proc/self/autogroup", "w")
        return Group(self)

    def sleep(self, pause_s: float) -> None:
        """Pause."""
        self.slept_s += pause_s

    def take(self, niceness: str) -> None:
        """Write to that file."""
        if self.refusals:
            raise self.refusals.pop(0)
        self.taken.append(niceness)


class Group(io.StringIO):
    """That file, opened."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__()
        self._kernel = kernel

    def write(self, text: str) -> int:
        """Write what the kernel may refuse."""
        self._kernel.take(text)
        return len(text)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """It takes the niceness at once."""
    made = Kernel(refusals=[])
    monkeypatch.setattr(tether, "open", made.open, raising=False)
    monkeypatch.setattr("time.sleep", made.sleep)
    return made


def test_a_group_steps_back_once_the_kernel_lets_it(kernel: Kernel) -> None:
    """It takes one write each 100 ms of a whole machine whose workers start at once."""
    kernel.refusals = [BlockingIOError() for _ in range(8)]
    tether._step_back_as_group(7)
    assert kernel.taken == ["7"]
    assert kernel.slept_s == pytest.approx(0.4)


def test_a_start_does_not_wait_for_it_for_ever(kernel: Kernel) -> None:
    """A program that is not nice is better than one that does not run."""
    kernel.refusals = [BlockingIOError() for _ in range(99)]
    tether._step_back_as_group(7)
    assert kernel.taken == []
    assert kernel.slept_s == pytest.approx(1.0)


@pytest.mark.parametrize("error", [FileNotFoundError(), PermissionError()])
def test_where_there_are_no_groups_nothing_is_waited_for(
    kernel: Kernel, error: OSError
) -> None:
    """Or where it may not be written: trying again would not help."""
    kernel.refusals = [error]
    tether._step_back_as_group(7)
    assert kernel.taken == []
    assert kernel.slept_s == 0.0
