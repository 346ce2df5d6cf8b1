"""Who holds a wallet: a person at a page, or a script (reference irma.md §4.5)."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from orchestrator.sandbox.credentials import Way
from schemas.irma import JsonObject


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the user is asked in one session.

    Attributes:
        server: the origin of the server that asks.
        step: which session of the chain this is, from 1.
        requested: the plain session request.
        ways: for each disjunction how it can be satisfied; none where it cannot.
        repeated: what earlier sessions disclosed and this one discloses again.
    """

    server: str
    step: int
    requested: JsonObject
    ways: Sequence[Sequence[Way]]
    repeated: Sequence[Sequence[JsonObject]]

    @property
    def satisfiable(self) -> bool:
        """Whether the wallet holds what is asked for."""
        return all(self.ways)


class User(Protocol):
    """Decides what the wallet does."""

    async def pairing(self, code: str) -> bool:
        """Shown the code while the frontend has not confirmed it; false: gives up."""

    async def answer(self, question: Question) -> Sequence[Way] | None:
        """One way for each disjunction, or None: declines."""


#: Shown a session request, the user shares (true) or declines (false).
Decide: TypeAlias = Callable[[JsonObject], Awaitable[bool]]

#: Which of the ways to satisfy a disjunction is taken; there is at least one.
Choose: TypeAlias = Callable[[Sequence[Way]], Way]

#: Gets the pairing code that the user types into the page.
Paired: TypeAlias = Callable[[str], Awaitable[None]]


async def share(_: JsonObject) -> bool:
    """The user shares whatever is asked."""
    return True


async def decline(_: JsonObject) -> bool:
    """The user declines."""
    return False


def first(ways: Sequence[Way]) -> Way:
    """The alternative asked for first, from the newest credential."""
    return ways[0]


def optional_shared(ways: Sequence[Way]) -> Way:
    """The first alternative that shares something."""
    return next((way for way in ways if way.attributes), ways[0])


def optional_left_empty(ways: Sequence[Way]) -> Way:
    """Nothing where nothing will do."""
    return next((way for way in ways if not way.attributes), ways[0])


async def unseen(_: str) -> None:
    """Nobody reads the pairing code."""


class ScriptedUser:
    """Decides by functions."""

    def __init__(
        self, decide: Decide = share, choose: Choose = first, paired: Paired = unseen
    ) -> None:
        self._decide = decide
        self._choose = choose
        self._paired = paired
        self._shown: str | None = None

    async def pairing(self, code: str) -> bool:
        """The code is shown once, however long it takes."""
        if code != self._shown:
            self._shown = code
            await self._paired(code)
        return True

    async def answer(self, question: Question) -> Sequence[Way] | None:
        """Decide about the request, then choose; what is not held fails later."""
        if not await self._decide(question.requested):
            return None
        return [self._choose(ways) for ways in question.ways if ways]
