"""Holding messages while something we depend on is away (DESIGN §3).

No attempt and no delivery is spent by that: the message stays in hand, unsettled, and the
worker tries again until the fault is over or the process is to stop. Who has done a part
of it already, and must not do that twice, holds what is left step by step.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Final, TypeVar

import structlog

from orchestrator.domain.errors import OrchestratorError

_log = structlog.get_logger(__name__)

T = TypeVar("T")

Random = Callable[[], float]

#: Is told which kinds of fault hold messages, whenever that has changed.
ToldFaults = Callable[[frozenset[str]], None]

#: First and longest pause before a held message is tried again. Many are held at once,
#: so the longest pause is also what a database that comes back has to bear.
PAUSE_MIN_S: Final = 0.1
PAUSE_MAX_S: Final = 2.0


class HandedBack(Exception):
    """The process is to stop and the fault is not over: somebody else must go on."""


def pause_s(failures: int, random: Random) -> float:
    """How long to wait after this many failures: doubling, capped, jittered downwards."""
    doublings = min(failures - 1, 10)
    return float(min(PAUSE_MIN_S * 2**doublings, PAUSE_MAX_S)) * (0.5 + random() / 2)


def untold(_: frozenset[str]) -> None:
    """Nobody wants to know what holds messages."""


class Faults:
    """Which faults hold messages right now; logs when one begins and when it is over."""

    def __init__(self, queue: str, told: ToldFaults = untold) -> None:
        """Count for one worker's queue, and tell of each change."""
        self._queue = queue
        self._told = told
        self._holding: Counter[str] = Counter()

    @property
    def now(self) -> frozenset[str]:
        """The kinds of fault that hold a message at this moment."""
        return frozenset(self._holding)

    def holds(self, before: str | None, error: OrchestratorError) -> str:
        """One more message is held; `before` is what held it until now."""
        kind = type(error).__name__
        if kind == before:
            return kind
        self._holding[kind] += 1
        if self._holding[kind] == 1:
            _log.warning("worker.held", queue=self._queue, fault=kind, why=str(error))
            self._told(self.now)
        self.released(before)
        return kind

    def released(self, kind: str | None) -> None:
        """A message is no longer held by this kind of fault."""
        if kind is None:
            return
        self._holding[kind] -= 1
        if not self._holding[kind]:
            del self._holding[kind]
            _log.info("worker.no_longer_held", queue=self._queue, fault=kind)
            self._told(self.now)


class Holder:
    """Repeats an action until nothing that it needs is away."""

    def __init__(
        self, *, faults: Faults, stopping: asyncio.Event, random: Random
    ) -> None:
        """Hold until `stopping` is set."""
        self._faults = faults
        self._stopping = stopping
        self._random = random

    async def until_done(self, act: Callable[[], Awaitable[T]]) -> T:
        """Do it, and again after each fault that is `held`; other errors pass.

        Raises:
            HandedBack: it failed with such a fault while the process is to stop.
        """
        _HOLDER.set(self)
        kind = None
        failures = 0
        try:
            while True:
                try:
                    return await act()
                except OrchestratorError as error:
                    if not error.held:
                        raise
                    kind = self._faults.holds(kind, error)
                failures += 1
                await self._pause(pause_s(failures, self._random))
        finally:
            self._faults.released(kind)

    async def _pause(self, pause: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), pause)
        except TimeoutError:
            return
        raise HandedBack


#: Who holds the message that this task handles; each has a task of its own.
_HOLDER: Final[ContextVar[Holder]] = ContextVar("holder")


async def hold(step: Callable[[], Awaitable[None]]) -> None:
    """Repeat only this step of what a `Holder` does; see `ports.Hold`.

    Raises:
        HandedBack: it failed with a fault that is `held` while the process is to stop.
    """
    await _HOLDER.get().until_done(step)
