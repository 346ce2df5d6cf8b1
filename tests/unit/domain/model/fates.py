"""What may befall a process at each thing it does to the world: no more than one fault.

Whatever it does is counted, whether that is a write, a message or a POST. At one of them
it dies, before or after; or it is told that this failed, which may be true or not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, TypeVar

from orchestrator.domain.errors import OrchestratorError

T = TypeVar("T")

#: The kinds of fates; "known" is none.
FATES: Final = ("known", "dies before", "dies after", "lost", "unknown")


class Crashed(BaseException):
    """The process is gone: nobody in it may act on that."""


@dataclass
class Fate:
    """Of one process while it does one thing; `at` counts what it does, from 0."""

    kind: str = "known"
    at: int = 0
    count: int = 0
    dead: bool = False

    def before(self, fault: OrchestratorError) -> bool:
        """Whether this is the fated one; it may not come to it."""
        if self.dead:
            raise Crashed
        mine = self.count == self.at
        self.count += 1
        if mine and self.kind == "dies before":
            self.dead = True
            raise Crashed
        if mine and self.kind == "lost":
            raise fault
        return mine

    def after(self, fault: OrchestratorError) -> None:
        """It was done, but who did it may not get to know that."""
        if self.kind == "dies after":
            self.dead = True
            raise Crashed
        if self.kind == "unknown":
            raise fault


#: The fate of whoever acts; its tasks in the background share it.
FATE: Final[ContextVar[Fate | None]] = ContextVar("FATE", default=None)


async def effect(act: Callable[[], Awaitable[T]], fault: OrchestratorError) -> T:
    """Do one thing to the world, as the fate of the process has it."""
    fate = FATE.get()
    if fate is None:
        return await act()
    mine = fate.before(fault)
    done = await act()
    if mine:
        fate.after(fault)
    return done
