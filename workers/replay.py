"""The replay worker: carries out plans of batch replays, each chain at most once (G10).

It has no queue. Each beat it leases the plans that have something to do and takes one
small step with each: claim failures, take a few of them at the plan's pace and open their
chains' next generations, or look what came of those before. What a step did is noted in
the same or the next transaction, so a worker that dies loses nothing and repeats nothing:
a generation is opened once, whoever asks again. Its memory does not grow with the plans.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog

from orchestrator.domain import replaying
from orchestrator.domain.errors import (
    BrokerUnavailable,
    OrchestratorError,
    Refused,
    SealBroken,
    SealKeyUnknown,
)
from orchestrator.domain.generations import Opened
from orchestrator.domain.pacing import Bucket
from orchestrator.domain.replay_outcomes import judged
from orchestrator.domain.replaying import (
    Claimed,
    Mark,
    NextGroup,
    Outcome,
    Replay,
    ReplayState,
    Stop,
    Take,
    Wait,
)
from orchestrator.ports import Clock, Store
from orchestrator.sealing import Sealer, key_in
from workers.holding_back import HeldBack, held_back
from workers.reopening import Reopener, missing
from workers.replay_going import Going

_log = structlog.get_logger(__name__)

#: How long plans that were leased are ours.
LEASE: Final = timedelta(seconds=10)

#: Plans that are carried out side by side.
PLANS: Final = 16

#: Failures claimed, and let go of, in one transaction.
CLAIMS: Final = 1_000

#: Chains replayed side by side; each is some database work.
AT_ONCE: Final = 8

#: Replays whose outcome is looked for at a time: a whole group.
LOOKS: Final = replaying.CANARY[-1]

#: Between two looks at outcomes, and at how endpoints stand.
LOOK_EVERY: Final = timedelta(seconds=0.5)

#: The beat when no plan can go on, and when there is none.
IDLE_S: Final = 0.1
REST_S: Final = 0.5

#: The pause after a fault of broker or store.
FAULT_PAUSE_S: Final = 1.0


def _untold(_: frozenset[str]) -> None:
    """Nobody wants to know what beats fail with."""


@dataclass(frozen=True, kw_only=True)
class Beat:
    """What came of one step with each plan.

    Attributes:
        went_on: whether there was anything to do, and it was done.
        faults: the kinds of what plans fail with; the others went on all the same.
        held: the ids of those that failed.
    """

    went_on: bool = False
    faults: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class ReplayWorker:
    """Runs until `stop` is set.

    Attributes:
        room: how many publishes the broker takes now. What it does not take is left to
            the clock, which knows nothing of a plan's pace.
        told: hears which kinds of fault beats fail with, whenever that has changed.
    """

    store: Store
    reopener: Reopener
    sealer: Sealer
    clock: Clock
    owner: str
    room: Callable[[], int]
    told: Callable[[frozenset[str]], None] = _untold
    going: dict[str, Going] = field(default_factory=dict)

    async def run(self, stop: asyncio.Event) -> None:
        """Beat until stopped; a fault of broker or store is waited out."""
        before = frozenset[str]()
        while not stop.is_set():
            beat = await self.beat()
            if beat.faults != before:
                self._tell(beat.faults)
                before = beat.faults
            await _stopped(stop, self._pause_s(beat))

    def _tell(self, faults: frozenset[str]) -> None:
        if faults:
            _log.warning("replay.held", by=sorted(faults))
        else:
            _log.info("replay.goes_on")
        self.told(faults)

    def _pause_s(self, beat: Beat) -> float:
        """Until the next chain may go: bursts would trouble others more."""
        now = self.clock()
        free = self.going.keys() - beat.held
        if not free:
            rest_s = FAULT_PAUSE_S if beat.faults else REST_S
            return 0.0 if beat.went_on else rest_s
        next_s = min(self.going[one].bucket.next_in_s(now) for one in free)
        if beat.went_on:
            return min(next_s, IDLE_S)
        return next_s if 0 < next_s < IDLE_S else IDLE_S

    async def beat(self) -> Beat:
        """One step with each plan that has something to do.

        A beat may take longer than a lease. So it is asked for again on the way, or the
        last plans would lose theirs each time.
        """
        went_on, faults, held = False, set[str](), set[str]()
        try:
            plans = await self._lease()
            leased_at = self.clock()
            for replay_id in sorted(plans):
                if self.clock() - leased_at > LEASE / 2:
                    plans, leased_at = await self._lease(), self.clock()
                if (plan := plans.get(replay_id)) is None:
                    continue
                try:
                    went_on = await self.step(plan) or went_on
                except OrchestratorError as error:
                    faults.add(type(error).__name__)
                    held.add(replay_id)
        except OrchestratorError as error:
            faults.add(type(error).__name__)
            held |= self.going.keys()
        return Beat(went_on=went_on, faults=frozenset(faults), held=frozenset(held))

    async def _lease(self) -> dict[str, Replay]:
        """The plans that are ours, by their ids; of others we keep nothing."""
        plans = await self.store.replays.lease(
            self.owner, self.clock(), lease=LEASE, limit=PLANS
        )
        for gone in self.going.keys() - {plan.id for plan in plans}:
            del self.going[gone]
        return {plan.id: plan for plan in plans}

    async def step(self, plan: Replay) -> bool:
        """One step with a plan; whether there was anything to do."""
        if plan.state is ReplayState.CANCELLED:
            return await self._let_go(plan)
        if (begun := replaying.taken_up(plan, self.clock())) is not None:
            return await self._change(plan, begun)
        if plan.claiming:
            await self.store.replays.claim(plan, limit=CLAIMS)
            return True
        return await self._carry_on(plan)

    async def _carry_on(self, plan: Replay) -> bool:
        """One step with a plan that has all its failures."""
        if plan.canary and plan.undecided and await self._look(plan):
            return True
        if not plan.left:
            return await self._finish(plan)
        match replaying.next_move(plan, at_once_max=AT_ONCE):
            case Stop(why=why):
                return await self._stop(plan, why)
            case NextGroup():
                return await self._change(plan, replaying.next_group(plan))
            case Take(count=count):
                return await self._go_on_with_room(plan, count)
            case Wait():
                return False

    async def _stop(self, plan: Replay, why: str) -> bool:
        """An operator has to look at it, and may let it go on."""
        _log.warning("replay.stopped", replay=plan.id, why=why)
        return await self._change(plan, replaying.stopped(plan, why))

    async def _finish(self, plan: Replay) -> bool:
        """Done once every outcome is known, where outcomes are waited for."""
        if plan.canary and plan.undecided:
            return False
        return await self._change(plan, replaying.finished(plan, self.clock()))

    async def _let_go(self, plan: Replay) -> bool:
        """What never was begun is nobody's again; what was is finished."""
        going = self._going(plan)
        last = await self.store.replays.release(
            plan.id, after=going.let_go_to, limit=CLAIMS
        )
        if last is not None:
            going.let_go_to = last
            return True
        begun = await self._take(plan, self.clock(), AT_ONCE)
        if not begun:
            return await self._change(plan, replaying.settled(plan))
        url, why = self._url(plan)
        if why is None:
            await self._replay(plan, begun, url)
        else:
            await self._leave(plan, begun, why)
        return True

    async def _go_on_with_room(self, plan: Replay, count: int) -> bool:
        """What the broker does not take would go out later, without any pace.

        Raises:
            BrokerUnavailable: nothing was taken, or one only, which shows how it is now.
        """
        room = self.room()
        if room < 1:
            raise BrokerUnavailable("a plan waits for it")
        went_on = await self._go_on(plan, min(count, room))
        if went_on and room < AT_ONCE:
            raise BrokerUnavailable("what just went out shows whether it takes again")
        return went_on

    async def _go_on(self, plan: Replay, count: int) -> bool:
        """Replay the next few failures, if pace and endpoints let us."""
        now, going = self.clock(), self._going(plan)
        count = min(count, going.bucket.available(now))
        if count < 1:
            return False
        url, why = self._url(plan)
        if why is not None:
            return await self._stop(plan, why)
        held = await self._held(going, now)
        without = going.without(now)
        if plan.endpoint is not None and plan.endpoint in without:
            return False
        # One at a time, where what is taken first decides whether there is a second.
        if plan.endpoint_pace is not None or held.probes:
            count = 1
        if plan.endpoint is not None:
            without = frozenset()
        if going.stuck(without, now):
            return False
        claimed = await self._take(plan, now, count, without)
        going.looked(without, len(claimed), now)
        if not claimed:
            return False
        going.bucket.take(len(claimed))
        for one in claimed:
            going.spend(plan.endpoint or one.failure.endpoint, plan.endpoint_pace, now)
        await self._replay(plan, claimed, url)
        return True

    async def _take(
        self, plan: Replay, now: datetime, limit: int, without: Collection[str] = ()
    ) -> list[Claimed]:
        """The next failures, while the plan is ours."""
        return await self.store.replays.take(
            plan, now, owner=self.owner, without=without, limit=limit
        )

    async def _replay(
        self, plan: Replay, claimed: Sequence[Claimed], url: str | None
    ) -> None:
        """Open the next generations side by side, and note what was done.

        Raises:
            OrchestratorError: something is away; what was not noted is taken again.
        """
        each = (self._replay_one(one, url) for one in claimed)
        done = await asyncio.gather(*each, return_exceptions=True)
        marks = [mark for mark in done if isinstance(mark, Mark)]
        await self.store.replays.mark(plan.id, marks, owner=self.owner)
        for fault in done:
            if isinstance(fault, BaseException):
                raise fault

    async def _replay_one(self, one: Claimed, url: str | None) -> Mark:
        slot = one.failure.slot
        try:
            outcome = await self.reopener.replay(slot.chain_id, slot.generation, url=url)
        except (SealBroken, SealKeyUnknown) as error:
            return _unread(one, f"its secrets cannot be opened: {error}")
        except Refused as error:
            return Mark(number=one.number, outcome=Outcome.REFUSED, note=str(error))
        if isinstance(outcome, Opened) or await self._done_before(one):
            return Mark(number=one.number, outcome=Outcome.REPLAYED)
        return Mark(number=one.number, outcome=Outcome.REFUSED, note=outcome.reason)

    async def _leave(self, plan: Replay, begun: Sequence[Claimed], why: str) -> None:
        """What cannot be finished was done before, or is for another plan."""
        marks = [
            Mark(number=one.number, outcome=Outcome.REPLAYED)
            if await self._done_before(one)
            else _unread(one, why)
            for one in begun
        ]
        await self.store.replays.mark(plan.id, marks, owner=self.owner)

    async def _done_before(self, one: Claimed) -> bool:
        """Whether a worker that died had opened the generation, and not noted it."""
        if not one.begun:
            return False
        chain = await self.store.chain(one.failure.slot.chain_id)
        return chain is not None and chain.generation > one.failure.slot.generation

    async def _look(self, plan: Replay) -> bool:
        """Look what came of replays; whether anything new is known."""
        now, going = self.clock(), self._going(plan)
        if going.looked_at is not None and now - going.looked_at < LOOK_EVERY:
            return False
        if going.looked_at is not None and now - going.looked_at > LEASE:
            going.silent_at = now  # the database was away
        going.looked_at = now
        on_their_way = await self.store.replays.on_their_way(plan.id, limit=LOOKS)
        if self.room() < 1 or any(one.waits_as == "outbox" for one in on_their_way):
            going.silent_at = now  # the broker was
        known = {one.number: judged(one, now, going.silent_at) for one in on_their_way}
        went = {number: how for number, how in known.items() if how is not None}
        if went:
            await self.store.replays.judge(plan, went)
        return bool(went)

    async def _held(self, going: Going, now: datetime) -> HeldBack:
        """Which endpoints have to be left alone, as it was half a second ago."""
        if going.held_at is None or now - going.held_at >= LOOK_EVERY:
            going.held_at = now
            going.held = await held_back(self.store, now)
        return going.held

    async def _change(self, before: Replay, after: Replay) -> bool:
        """Write it, unless an operator was quicker; either way there is more to do."""
        if await self.store.replays.change(before, after):
            _log.info("replay.changed", replay=after.id, state=after.state)
        return True

    def _going(self, plan: Replay) -> Going:
        now = self.clock()
        fresh = Going(bucket=Bucket(pace=plan.pace, filled_at=now), silent_at=now)
        return self.going.setdefault(plan.id, fresh)

    def _url(self, plan: Replay) -> tuple[str | None, str | None]:
        """The plan's other URL, if it has one, and why that cannot be opened."""
        if plan.sealed_url is None:
            return None, None
        bound_to = replaying.url_bound_to(plan.id)
        try:
            return self.sealer.open(plan.sealed_url, bound_to=bound_to).decode(), None
        except SealKeyUnknown:
            return None, f"its other URL is {missing(key_in(plan.sealed_url))}"
        except (SealBroken, UnicodeDecodeError):
            return None, "its other URL cannot be opened: it is not what was sealed"


def _unread(one: Claimed, why: str) -> Mark:
    """A later plan may try it again."""
    return Mark(number=one.number, outcome=Outcome.UNREAD, note=why)


async def _stopped(stop: asyncio.Event, pause_s: float) -> None:
    """Pause, but not longer than until the stop."""
    try:
        async with asyncio.timeout(pause_s):
            await stop.wait()
    except TimeoutError:
        return
