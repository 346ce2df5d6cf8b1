"""The proof that integrators can follow their chains: nothing missing, double or foreign.

Three requestors' chains are played, each of them followed in every way there is. Two of
three subscribers of each kind are cut off again and again, and the active history worker
is killed twice. What each should have seen is worked out from what wallets and endpoint
have in their journals (`events_expected`), and compared at the end (`events_judging`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.local.stack import Stack
from orchestrator.proof.events_crowd import Crowd, crowd
from orchestrator.proof.events_endpoint import journal_at_work
from orchestrator.proof.events_expected import Expected, all_expected
from orchestrator.proof.events_faults import (
    HistoryWorkers,
    cut_moments,
    cut_off,
    cuts_of,
    kill_moments,
    say_so,
)
from orchestrator.proof.events_following import receiving, subscribing
from orchestrator.proof.events_granted import Member, granted, plan
from orchestrator.proof.events_judging import agreed, judge
from orchestrator.proof.events_sheet import Found, report
from orchestrator.proof.events_subscribers import Following, Way
from orchestrator.proof.ground import Ground, Proof
from orchestrator.proof.report import Report

Say = Callable[[str], None]

_KEYS: Final = ("acme", "globex", "initech")

#: Chains in progress at a time, at most. Two cores are busy with these: more would take
#: as long in all, and each of them longer.
AT_ONCE: Final = 10

#: How long subscribers may take to come to listen, and what is left to come in.
_LISTENING_S: Final = 120.0
_CAUGHT_UP_S: Final = 300.0
#: What should not come may come so long after all that should.
_QUIET_S: Final = 3.0
_LOOK_S: Final = 5.0


def prove(chains: int, rate: float | None) -> Proof:
    """So many chains, as fast as the machine can or at most so many a second."""

    async def run(ground: Ground, say: Say) -> Report:
        members = [Member.named(key) for key in _KEYS]
        requestors = [one.requestor for one in members]
        management_url = ground.broker.management.login_url
        async with (
            receiving(members) as (receivers, urls),
            ground.stack(plan(members, urls, management_url)) as stack,
            journal_at_work() as journal,
            crowd(stack.gateway_url, requestors, journal) as users,
            granted(stack, _KEYS) as amqp_urls,
            subscribing(stack, members, amqp_urls) as others,
        ):
            chance = random.Random(6)  # noqa: S311 - so that runs are alike
            work = _Run(stack, users, [*receivers, *others], chance, say)
            return await work.report(chains, rate)

    return run


@dataclass(frozen=True)
class _Run:
    """One run: the load, what happens meanwhile, and what is found afterwards."""

    stack: Stack
    users: Crowd
    followings: Sequence[Following]
    chance: random.Random
    say: Say

    async def report(self, chains: int, rate: float | None) -> Report:
        """Play so many chains; everything that was found."""
        history = HistoryWorkers(self.stack, self.say)
        await history.stand_by()
        async with asyncio.TaskGroup() as group:
            at_work = [group.create_task(one.at_work()) for one in self.followings]
            async with asyncio.timeout(_LISTENING_S):
                for one in self.followings:
                    await one.subscriber.subscribed.wait()
            self.say(f"{len(self.followings)} subscribers listen; {chains:,} chains")
            lasted_s = await self._under_load(chains, rate, history)
            self.say("the last user has gone")
            caught_up_s, expected = await self._caught_up()
            self.say(f"{caught_up_s:.0f} s later, journals are compared")
            for task in at_work:
                task.cancel()
        return report(
            Found(
                asked=chains,
                played=self.users.played,
                refused=self.users.refused,
                expected=expected,
                subscribers=[one.subscriber for one in self._in_order()],
                cuts=cuts_of(chains),
                kills=history.kills,
                doubts=history.doubts,
                lasted_s=lasted_s,
                caught_up_s=caught_up_s,
                died=[one.name for one in self.stack.processes.exited()],
            )
        )

    async def _under_load(
        self, chains: int, rate: float | None, history: HistoryWorkers
    ) -> float:
        """Play all chains; how long that took."""
        progress, chance = self.users.progress, self.chance
        loop = asyncio.get_running_loop()
        begin_s = loop.time()
        async with asyncio.TaskGroup() as meanwhile:
            saying = meanwhile.create_task(say_so(progress, self._far, self.say))
            killed_at = kill_moments(chance, chains)
            meanwhile.create_task(history.kill(killed_at, progress))
            for one in self.followings:
                cut_at = cut_moments(chance, chains)
                absent = cut_off(one, cut_at, progress, chance, chains)
                meanwhile.create_task(absent)
            await self.users.play(chains, at_once=AT_ONCE, rate=rate)
            lasted_s = loop.time() - begin_s
            saying.cancel()
        return lasted_s

    def _far(self) -> str:
        """How far subscribers are."""
        seen = [len(one.subscriber.seen) for one in self.followings]
        cuts = sum(one.subscriber.cuts for one in self.followings)
        return f"{sum(seen):,} events seen by {len(seen)}, who were cut off {cuts} times"

    async def _caught_up(self) -> tuple[float, Mapping[str, Expected]]:
        """Wait until all chains are over and everything is seen, and a little longer."""
        loop = asyncio.get_running_loop()
        begin_s = loop.time()
        while (left := self._left()) and loop.time() < begin_s + _CAUGHT_UP_S:
            self.say(f"still to come: {left}")
            await asyncio.sleep(_LOOK_S)
        took_s = loop.time() - begin_s
        await asyncio.sleep(_QUIET_S)
        return took_s, self._expected()

    def _expected(self) -> dict[str, Expected]:
        expected = all_expected(self.users.played, self.users.journal.posted)
        return agreed(expected, [one.subscriber.seen for one in self.followings])

    def _left(self) -> str:
        """What is missing still, in words; nothing in the end."""
        expected = self._expected()
        running = sum(not one.over for one in expected.values())
        missing = {
            f"{one.way} of {one.requestor}": missing
            for one in (following.subscriber for following in self.followings)
            if (missing := judge(one.requestor, one.seen, expected).missing)
        }
        left = {"chains that are not over": running} if running else {}
        return ", ".join(f"{name} {n:,}" for name, n in (left | missing).items())

    def _in_order(self) -> list[Following]:
        """As the table has them."""
        ways = list(Way)
        return sorted(self.followings, key=lambda one: ways.index(one.subscriber.way))
