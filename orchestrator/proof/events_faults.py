"""What happens meanwhile: subscribers are cut off, history workers are killed.

Moments are counted in chains, so that they are amid the load however fast that is.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from orchestrator.local.stack import Stack
from orchestrator.proof.events_pace import Progress
from orchestrator.proof.events_subscribers import Following, Subscriber, Way
from orchestrator.proof.racing import cpu_s

#: A subscriber is cut off so often at least, and once more for so many chains.
CUTS_MIN: Final = 3
_CHAINS_PER_CUT: Final = 1_000

#: And is away for so long, at least and at most.
_AWAY_S: Final = (1.0, 5.0)

#: In the order in which they become active.
_HISTORY: Final = ("history", "history-2", "history-3")

#: These have a place to go on from however long they were away: they are once while this
#: share of all chains is played.
LONG_AWAY: Final = frozenset({Way.STREAM, Way.SSE})
_LONG: Final = 0.5
_LONG_BY: Final = 0.3

#: Between these shares of all chains.
_CUTS_WITHIN: Final = (0.05, 0.9)
_KILLS_WITHIN: Final = ((0.2, 0.4), (0.6, 0.8))


def cuts_of(chains: int) -> int:
    """How often a subscriber is cut off while so many are played."""
    return CUTS_MIN + chains // _CHAINS_PER_CUT


def cut_moments(chance: random.Random, chains: int) -> list[int]:
    """After how many chains a subscriber is cut off, each time anew."""
    shares = (chance.uniform(*_CUTS_WITHIN) for _ in range(cuts_of(chains)))
    return sorted(round(share * chains) for share in shares)


async def cut_off(
    following: Following,
    at: Sequence[int],
    progress: Progress,
    chance: random.Random,
    chains: int,
) -> None:
    """Cut a subscriber off at these moments: for some seconds, some once for long."""
    if following.line is None:
        return
    subscriber = following.subscriber
    absences = [partial(asyncio.sleep, chance.uniform(*_AWAY_S)) for _ in at]
    moments = [*at]
    if subscriber.way in LONG_AWAY:
        moments[0] = min(at[0], round(_LONG_BY * chains))
        absences[0] = partial(_many_more, progress, long_away(chains))
    for done, absence in zip(moments, absences, strict=True):
        await progress.reached(done)
        over = partial(_away, subscriber, progress, absence)
        subscriber.cuts += int(await following.line.away(over))


async def _away(
    subscriber: Subscriber, progress: Progress, absence: Callable[[], Awaitable[None]]
) -> None:
    """Until it is over, and note how long that was, also in chains."""
    loop = asyncio.get_running_loop()
    before, since_s = progress.done, loop.time()
    await absence()
    subscriber.away_s += loop.time() - since_s
    subscriber.chains_away = max(subscriber.chains_away, progress.done - before)


async def _many_more(progress: Progress, chains: int) -> None:
    await progress.reached(progress.done + chains)


def long_away(chains: int) -> int:
    """How many of these are played while a subscriber is away for long."""
    return round(_LONG * chains)


@dataclass
class HistoryWorkers:
    """The one that came first is active, the others stand by, and take over by turns.

    A single active consumer is the one that was there first (RabbitMQ), so the oldest
    that runs is killed. None is started amid the load, where that may take a while.
    """

    stack: Stack
    say: Callable[[str], None]
    kills: int = 0
    doubts: list[str] = field(default_factory=list)

    async def stand_by(self) -> None:
        """Start one more for each kill, one after the other."""
        for name in _HISTORY[1:]:
            await self.stack.start_worker("history", name)

    async def kill(self, at: Sequence[int], progress: Progress) -> None:
        """Kill the active one at these moments; the next one goes on."""
        for done, name, successor in zip(at, _HISTORY, _HISTORY[1:], strict=False):
            before = self._spent_s()
            await progress.reached(done)
            worked = {one: spent - before[one] for one, spent in self._spent_s().items()}
            if (busiest := max(worked, key=worked.__getitem__)) != name:
                self.doubts.append(f"{name} was killed while {busiest} was at work")
            await self.stack.processes.kill(name)
            self.kills += 1
            self.say(f"the active history worker is killed, {successor} takes over")

    def _spent_s(self) -> dict[str, float]:
        """How much of a processor each that runs has taken."""
        processes = self.stack.processes
        return {
            name: cpu_s(processes.pid(name)) for name in _HISTORY if processes.runs(name)
        }


def kill_moments(chance: random.Random, chains: int) -> list[int]:
    """After how many chains the active history worker is killed: twice."""
    return [round(chance.uniform(*within) * chains) for within in _KILLS_WITHIN]


async def say_so(
    progress: Progress,
    told: Callable[[], str],
    say: Callable[[str], None],
    *,
    every_s: float = 15.0,
) -> None:
    """Say how far it is, for ever."""
    loop = asyncio.get_running_loop()
    while True:
        before, since_s = progress.done, loop.time()
        await asyncio.sleep(every_s)
        pace = (progress.done - before) / (loop.time() - since_s)
        say(f"{progress.done:,} chains, {pace:.1f}/s; {told()}")
