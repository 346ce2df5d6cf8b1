"""The replay worker: plans that go on, stop, and are taken over, on real chains."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

import pytest

from orchestrator.domain import breaker, replaying
from orchestrator.domain.breaker import BreakerState
from orchestrator.domain.chain import ChainState, View
from orchestrator.domain.endpoint import origin_of
from orchestrator.domain.errors import Refused, StoreUnavailable
from orchestrator.domain.failing import FailureFilter
from orchestrator.domain.generations import NotReplayed, Opened, next_generation
from orchestrator.domain.replaying import (
    Claimed,
    Mark,
    Replay,
    ReplayKind,
    ReplayState,
)
from orchestrator.ports import Changes, Queues
from orchestrator.sealing import Sealer
from schemas.messages import CallbackSecrets, CallbackWork, End
from tests.support.replays import a_plan
from tests.support.samples import TARGET, delivery
from tests.support.workshop import Begun, Workshop
from tests.unit.workers.answering import says
from tests.unit.workers.posting import answered, post
from workers import replay
from workers.reopening import Reopener
from workers.replay import Beat, ReplayWorker

ANOTHER_URL = "https://other.example/next/MARKER"
ANOTHER_KEY = Sealer(b"k" * 32, "gone", b"h" * 32)


class LoseReplays(Protocol):
    """Lets the database be away."""

    def __call__(self, *, times: int) -> None:
        """For so many beats."""


@pytest.fixture
def lose_store(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> LoseReplays:
    """Lets leases fail for a while, and no pause be made after that."""
    monkeypatch.setattr(replay, "FAULT_PAUSE_S", 0.0)
    there = workshop.store.replays.lease

    def lose(*, times: int) -> None:
        left = iter(range(times))

        async def away(
            owner: str, now: datetime, *, lease: timedelta, limit: int
        ) -> list[Replay]:
            if next(left, None) is not None:
                raise StoreUnavailable("the database is away")
            return await there(owner, now, lease=lease, limit=limit)

        monkeypatch.setattr(workshop.store.replays, "lease", away)

    return lose


async def nothing(*_: object) -> None:
    """Happens."""


def around_take(
    workshop: Workshop,
    patch: pytest.MonkeyPatch,
    *,
    before: Callable[[str], Awaitable[None]] = nothing,
    after: Callable[[str, int], Awaitable[None]] = nothing,
) -> None:
    """What happens before an owner takes failures, and after it took so many."""
    there = workshop.store.replays.take

    async def take(
        plan: Replay, now: datetime, *, owner: str, without: Collection[str], limit: int
    ) -> list[Claimed]:
        await before(owner)
        found = await there(plan, now, owner=owner, without=without, limit=limit)
        await after(owner, len(found))
        return found

    patch.setattr(workshop.store.replays, "take", take)


async def failed(workshop: Workshop, count: int = 1) -> list[Begun]:
    """Chains whose first callback was given up."""
    begun = [await workshop.begin() for _ in range(count)]
    for one in begun:
        await says(workshop, one, End.FAILED, waited_s=None)
    await workshop.settled()
    workshop.publisher.calls.clear()
    return begun


async def planned(workshop: Workshop, plan: Replay) -> Replay:
    """The plan, for all that has failed until now."""
    made = replace(plan, cut_off=await workshop.store.replays.cut_off())
    await workshop.store.replays.add(made)
    return made


async def plan_of(workshop: Workshop, replay_id: str = "R1") -> Replay:
    """A plan as it stands."""
    plan = await workshop.store.replays.plan(replay_id)
    assert plan is not None
    return plan


async def beat(worker: ReplayWorker) -> bool:
    """Whether a beat went on; nothing failed in it."""
    done = await worker.beat()
    assert not done.faults
    return done.went_on


async def until_held(worker: ReplayWorker) -> frozenset[str]:
    """Beat until nothing goes on for faults, and which."""
    done = await worker.beat()
    while not done.faults:
        assert done.went_on
        done = await worker.beat()
    return done.faults


async def go_on(workshop: Workshop, worker: ReplayWorker) -> None:
    """Let a worker beat until nothing goes on any more; half a second passes each."""
    idle = 0
    while idle < 3:
        idle = 0 if await beat(worker) else idle + 1
        workshop.clock.advance(0.5)
    await workshop.settled()


def callbacks(workshop: Workshop) -> list[CallbackWork]:
    """What was published for the replay lane, once each."""
    sent = workshop.publisher.to(Queues.CALLBACKS_REPLAY)
    works = [work for work in workshop.publisher.work if isinstance(work, CallbackWork)]
    assert len(works) == len(sent)
    return works


async def answer(workshop: Workshop, status: int) -> None:
    """The endpoint answers all that was POSTed to it so, once."""
    works = callbacks(workshop)
    workshop.publisher.calls.clear()
    for work in works:
        await post(workshop, work, answered(status))
    ends = workshop.publisher.work
    workshop.publisher.calls.clear()
    for end in ends:
        await workshop.session_worker()(delivery(end))


async def test_without_a_canary_everything_goes_out(workshop: Workshop) -> None:
    """Each chain once, in its own lane; then the plan is done."""
    begun = await failed(workshop, 12)
    await planned(workshop, a_plan(canary=False))
    await go_on(workshop, workshop.replay_worker())
    plan = await plan_of(workshop)
    assert (plan.state, plan.claimed, plan.replayed) == (ReplayState.DONE, 12, 12)
    assert {work.chain_id for work in callbacks(workshop)} == {one.id for one in begun}
    assert len(callbacks(workshop)) == 12


async def test_a_canary_waits_for_each_group(workshop: Workshop) -> None:
    """One, then two, then five: each after the one before was answered well."""
    await failed(workshop, 8)
    await planned(workshop, a_plan())
    worker = workshop.replay_worker()
    sizes = []
    for _ in range(3):
        await go_on(workshop, worker)
        sizes.append(len(callbacks(workshop)))
        await answer(workshop, 204)
    await go_on(workshop, worker)
    plan = await plan_of(workshop)
    assert sizes == [1, 2, 5]
    assert (plan.state, plan.replayed, plan.well, plan.ill) == ("done", 8, 8, 0)


async def test_a_canary_stops_at_a_first_attempt_that_fails(workshop: Workshop) -> None:
    """The callback will be tried again, but its waiting row says how it began."""
    await failed(workshop, 5)
    await planned(workshop, a_plan())
    worker = workshop.replay_worker()
    await go_on(workshop, worker)
    await answer(workshop, 503)
    await go_on(workshop, worker)
    plan = await plan_of(workshop)
    assert (plan.state, plan.replayed, plan.left, plan.ill) == ("paused", 1, 4, 1)
    assert plan.why == "1 of 1 in group 1 failed again: more than 20%"


async def test_a_stopped_plan_begins_small_again(workshop: Workshop) -> None:
    """The operator has mended the endpoint; the next group is one chain."""
    await failed(workshop, 5)
    await planned(workshop, a_plan())
    worker = workshop.replay_worker()
    await go_on(workshop, worker)
    await answer(workshop, 404)
    await go_on(workshop, worker)
    before = await plan_of(workshop)
    resumed = replaying.resumed(before)
    assert resumed is not None
    assert await workshop.store.replays.change(before, resumed)
    await go_on(workshop, worker)
    assert len(callbacks(workshop)) == 1


async def test_failures_after_the_cut_off_are_not_taken(workshop: Workshop) -> None:
    """Also not those of the plan's own chains that fail again."""
    await failed(workshop, 2)
    await planned(workshop, a_plan(canary=False))
    late = await failed(workshop)
    worker = workshop.replay_worker()
    await go_on(workshop, worker)
    await answer(workshop, 404)
    await go_on(workshop, worker)
    plan = await plan_of(workshop)
    assert (plan.state, plan.claimed, plan.replayed) == (ReplayState.DONE, 2, 2)
    assert (await workshop.chain(late[0].id)).generation == 0


async def test_two_plans_never_replay_one_chain_twice(workshop: Workshop) -> None:
    """Whoever claims it first has it; the other one has nothing to do."""
    await failed(workshop, 6)
    await planned(workshop, a_plan("R1", canary=False))
    await planned(workshop, a_plan("R2", canary=False))
    await go_on(workshop, workshop.replay_worker())
    one, other = await plan_of(workshop, "R1"), await plan_of(workshop, "R2")
    assert one.claimed + other.claimed == one.replayed + other.replayed == 6
    assert (one.state, other.state) == (ReplayState.DONE, ReplayState.DONE)
    assert len(callbacks(workshop)) == 6


async def test_a_worker_that_died_is_taken_over(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had opened generations and noted none; the next counts them as replayed."""
    await failed(workshop, 6)
    await planned(workshop, a_plan(canary=False))

    async def dies(*_: object, owner: str) -> None:
        raise StoreUnavailable("the database is away")

    worker = workshop.replay_worker()
    with monkeypatch.context() as patch:
        patch.setattr(workshop.store.replays, "mark", dies)
        await until_held(worker)
        await workshop.settled()
    begun = len(callbacks(workshop))
    workshop.clock.advance(11)
    await go_on(workshop, workshop.replay_worker("replay-2"))
    plan = await plan_of(workshop)
    assert begun > 0
    assert (plan.state, plan.replayed, plan.refused) == (ReplayState.DONE, 6, 0)
    assert len(callbacks(workshop)) == 6


async def test_a_plan_is_in_one_hand(workshop: Workshop) -> None:
    """Another worker finds it leased until its owner is gone for a while."""
    await failed(workshop)
    await planned(workshop, a_plan())
    assert await beat(workshop.replay_worker("replay-1"))
    assert not await beat(workshop.replay_worker("replay-2"))
    workshop.clock.advance(11)
    assert await beat(workshop.replay_worker("replay-2"))


async def test_chains_go_out_at_the_pace(workshop: Workshop) -> None:
    """Two a second: the first at once, and no more than a second's worth later."""
    await failed(workshop, 9)
    await planned(workshop, a_plan(canary=False, pace=2.0))
    worker = workshop.replay_worker()
    sent = []
    for _ in range(5):
        for _ in range(5):
            await beat(worker)
        await workshop.settled()
        sent.append(len(callbacks(workshop)))
        workshop.clock.advance(1.0)
    assert sent == [1, 3, 5, 7, 9]


async def test_each_endpoint_has_a_pace_of_its_own(workshop: Workshop) -> None:
    """However fast the plan may be."""
    await failed(workshop, 4)
    await planned(workshop, a_plan(canary=False, endpoint_pace=1.0))
    worker = workshop.replay_worker()
    sent = []
    for _ in range(3):
        for _ in range(6):
            await beat(worker)
        await workshop.settled()
        sent.append(len(callbacks(workshop)))
        workshop.clock.advance(1.0)
    assert sent == [1, 2, 3]


async def test_a_paused_endpoint_is_waited_for(workshop: Workshop) -> None:
    """Nothing is taken that would only be parked; resumed, it goes on."""
    await failed(workshop, 3)
    await planned(workshop, a_plan(canary=False))
    worker, origin = workshop.replay_worker(), origin_of(TARGET)
    await workshop.switchboard.change(
        origin, lambda endpoint: breaker.paused(endpoint, None, workshop.clock())
    )
    workshop.publisher.calls.clear()
    await go_on(workshop, worker)
    assert callbacks(workshop) == []
    assert (await plan_of(workshop)).state is ReplayState.RUNNING
    await workshop.switchboard.change(
        origin, lambda endpoint: breaker.resumed(endpoint, workshop.clock())
    )
    await go_on(workshop, worker)
    assert (await plan_of(workshop)).state is ReplayState.DONE


async def test_an_open_endpoint_with_nothing_parked_gets_one(workshop: Workshop) -> None:
    """Nothing else would ever find out that it is well again."""
    await failed(workshop, 3)
    await planned(workshop, a_plan(canary=False))
    now = workshop.clock()
    fresh = breaker.fresh(origin_of(TARGET), now)
    opened = replace(fresh, state=BreakerState.OPEN, version=1)
    await workshop.store.change_endpoint(fresh, opened, [])
    worker = workshop.replay_worker()
    for _ in range(9):
        await beat(worker)
    await workshop.settled()
    (probe,) = callbacks(workshop)
    assert await workshop.gate().enter(probe) is not None


async def test_a_cancelled_plan_lets_go_of_the_rest(workshop: Workshop) -> None:
    """What was never started is counted, and free for another plan."""
    await failed(workshop, 6)
    await planned(workshop, a_plan())
    worker = workshop.replay_worker()
    await go_on(workshop, worker)
    before = await plan_of(workshop)
    cancelled = replaying.cancelled(before, workshop.clock())
    assert cancelled is not None
    assert await workshop.store.replays.change(before, cancelled)
    await go_on(workshop, worker)
    plan = await plan_of(workshop)
    assert (plan.claimed, plan.replayed, plan.left, plan.settled) == (6, 1, 5, True)
    await planned(workshop, a_plan("R2", canary=False))
    await go_on(workshop, worker)
    assert (await plan_of(workshop, "R2")).replayed == 5


async def test_results_that_were_deleted_meanwhile_are_refused(
    workshop: Workshop,
) -> None:
    """They were claimed before; the plan says how many and why, and goes on."""
    begun = await failed(workshop, 2)
    await planned(workshop, a_plan(canary=False))
    worker = workshop.replay_worker()
    for _ in range(2):
        await beat(worker)
    workshop.clock.advance(1)
    chain = replace(await workshop.chain(begun[0].id), purged_at=workshop.clock())
    changes = Changes(chain=chain)
    await workshop.store.decide(begun[0].slot, lambda _: (None, changes))
    await go_on(workshop, worker)
    plan = await plan_of(workshop)
    assert (plan.state, plan.replayed, plan.refused) == (ReplayState.DONE, 1, 1)
    (why,) = await workshop.store.replays.refusals("R1", limit=9)
    assert why.startswith("the chain's results were deleted at")


async def sealed_as(workshop: Workshop, one: Begun, sealed: str) -> None:
    """This stands in the chain's row as its request."""

    def rule(view: View) -> tuple[None, Changes]:
        assert view.step is not None
        return None, Changes(steps=(replace(view.step, sealed_request=sealed),))

    await workshop.store.decide(one.slot, rule)


async def with_a_missing_key(workshop: Workshop, one: Begun) -> None:
    """The chain's request is sealed with a key that is not here."""
    sealed = ANOTHER_KEY.seal(b"{}", bound_to=one.slot.sealed_as("request"))
    await sealed_as(workshop, one, sealed)


async def cancel(workshop: Workshop, replay_id: str = "R1") -> None:
    """An operator cancels the plan."""
    before = await plan_of(workshop, replay_id)
    cancelled = replaying.cancelled(before, workshop.clock())
    assert cancelled is not None
    assert await workshop.store.replays.change(before, cancelled)


def only(begun: Sequence[Begun]) -> FailureFilter:
    """These chains."""
    return FailureFilter(chain_ids=tuple(one.id for one in begun))


async def test_a_missing_key_stops_neither_plan_nor_the_next(workshop: Workshop) -> None:
    """The one row is refused, naming the key; all behind it and all plans go on."""
    first, others = await failed(workshop, 3), await failed(workshop, 3)
    await with_a_missing_key(workshop, first[0])
    await planned(workshop, a_plan("R1", canary=False, which=only(first)))
    await planned(workshop, a_plan("R2", canary=False, which=only(others)))
    await go_on(workshop, workshop.replay_worker())
    one, two = await plan_of(workshop, "R1"), await plan_of(workshop, "R2")
    assert (one.state, one.replayed, one.refused) == (ReplayState.DONE, 2, 1)
    assert (two.state, two.replayed) == (ReplayState.DONE, 3)
    why = "its secrets cannot be opened: sealed with key gone, which is not here"
    assert await workshop.store.replays.refusals("R1", limit=9) == {why: 1}


async def test_what_could_not_be_opened_is_for_a_later_plan(workshop: Workshop) -> None:
    """Once its key is back; what was refused for good stays out."""
    begun = await failed(workshop, 2)
    row = await workshop.store.step(begun[0].slot)
    assert row is not None
    await with_a_missing_key(workshop, begun[0])
    await planned(workshop, a_plan("R1", canary=False))
    worker = workshop.replay_worker()
    await go_on(workshop, worker)
    assert row.sealed_request is not None
    await sealed_as(workshop, begun[0], row.sealed_request)
    await planned(workshop, a_plan("R2", canary=False))
    await go_on(workshop, worker)
    one, two = await plan_of(workshop, "R1"), await plan_of(workshop, "R2")
    assert (one.claimed, one.replayed, one.refused) == (2, 1, 1)
    assert (two.state, two.claimed, two.replayed) == (ReplayState.DONE, 1, 1)
    assert len(callbacks(workshop)) == 2


async def test_a_canary_stops_at_what_cannot_be_opened(workshop: Workshop) -> None:
    """A wrong key does not burn the whole plan."""
    for one in await failed(workshop, 5):
        await sealed_as(workshop, one, workshop.sealer.seal(b"{}", bound_to="another"))
    await planned(workshop, a_plan())
    await go_on(workshop, workshop.replay_worker())
    plan = await plan_of(workshop)
    assert (plan.state, plan.replayed, plan.refused, plan.left) == ("paused", 0, 1, 4)
    words = "1 of 1 in group 1 failed again or could not be read: more than 20%"
    assert plan.why == words


@pytest.mark.parametrize("garbage", [b"not JSON", b"[]", b'{"request": 3}', b"\xff"])
async def test_a_row_that_cannot_be_read_is_refused(
    workshop: Workshop, garbage: bytes
) -> None:
    """What is in it is told nowhere, and the worker goes on."""
    begun = await failed(workshop, 2)
    bound_to = begun[0].slot.sealed_as("request")
    await sealed_as(workshop, begun[0], workshop.sealer.seal(garbage, bound_to=bound_to))
    await planned(workshop, a_plan(canary=False))
    await go_on(workshop, workshop.replay_worker())
    plan = await plan_of(workshop)
    assert (plan.state, plan.replayed, plan.refused) == (ReplayState.DONE, 1, 1)
    (why,) = await workshop.store.replays.refusals("R1", limit=9)
    assert why.startswith("its secrets cannot be opened: what was sealed cannot be read")


async def test_what_the_database_refuses_is_told_as_that(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No key is looked for in vain, and no later plan tries it."""
    await failed(workshop)
    await planned(workshop, a_plan(canary=False))

    async def refuses(*_: object, **__: object) -> None:
        raise Refused("the database refused a statement (22021)")

    monkeypatch.setattr(Reopener, "replay", refuses)
    await go_on(workshop, workshop.replay_worker())
    why = "the database refused a statement (22021)"
    assert await workshop.store.replays.refusals("R1", limit=9) == {why: 1}
    await planned(workshop, a_plan("R2", canary=False))
    await go_on(workshop, workshop.replay_worker())
    assert (await plan_of(workshop, "R2")).claimed == 0


async def test_a_fault_of_one_plan_does_not_stop_the_next(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told all the same; a cancelled plan first lets go of what never began."""
    first, others = await failed(workshop, 9), await failed(workshop, 2)
    slow = a_plan("R1", canary=False, pace=1.0, which=only(first))
    await planned(workshop, slow)
    await planned(workshop, a_plan("R2", canary=False, which=only(others)))
    there = Reopener.replay

    async def away(
        self: Reopener, chain_id: str, generation: int, *, url: str | None = None
    ) -> Opened | NotReplayed:
        if chain_id == first[0].id:
            raise StoreUnavailable("the database is away")
        return await there(self, chain_id, generation, url=url)

    async def beats(count: int) -> int:
        faults = 0
        for _ in range(count):
            faults += bool((await worker.beat()).faults)
            workshop.clock.advance(1)
        return faults

    worker = workshop.replay_worker()
    with monkeypatch.context() as patch:
        patch.setattr(Reopener, "replay", away)
        assert await beats(6) > 0
        assert (await plan_of(workshop, "R2")).state is ReplayState.DONE
        await cancel(workshop)
        await planned(workshop, a_plan("R3", canary=False))
        assert await beats(6) > 0
        assert (await plan_of(workshop, "R3")).replayed == 8
        assert not (await plan_of(workshop, "R1")).settled
    await go_on(workshop, worker)
    plan = await plan_of(workshop, "R1")
    assert (plan.settled, plan.replayed, plan.left) == (True, 1, 8)


async def taken_by(worker: ReplayWorker, plan: Replay, count: int) -> list[Claimed]:
    """It has them in hand, and dies."""
    return await worker.store.replays.take(
        plan, worker.clock(), owner=worker.owner, without=(), limit=count
    )


async def test_a_cancelled_plan_with_a_missing_key_comes_to_its_end(
    workshop: Workshop,
) -> None:
    """What was begun is refused, and may be taken by another plan."""
    begun = await failed(workshop, 12)
    await with_a_missing_key(workshop, begun[0])
    made = await planned(workshop, a_plan(canary=False))
    worker = workshop.replay_worker()
    for _ in range(2):
        await beat(worker)
    running = await plan_of(workshop)
    assert len(await taken_by(worker, made, 2)) == 2
    assert running.claimed == 12
    await cancel(workshop)
    await go_on(workshop, worker)
    plan = await plan_of(workshop)
    assert (plan.settled, plan.replayed, plan.refused, plan.left) == (True, 1, 1, 10)


@pytest.mark.parametrize(
    "another, why", [(ANOTHER_KEY, "key gone, which"), (None, "be opened: it")]
)
async def test_a_plan_whose_url_cannot_be_opened_pauses(
    workshop: Workshop, another: Sealer | None, why: str
) -> None:
    """It says why and takes nothing; cancelled, it comes to its end."""
    begun = await failed(workshop, 3)
    await planned(workshop, a_plan("R2", canary=False, which=only(begun[2:])))
    bound_to = replaying.url_bound_to("R1" if another else "R9")
    sealed = (another or workshop.sealer).seal(ANOTHER_URL.encode(), bound_to=bound_to)
    plan = replace(a_plan(canary=False, which=only(begun[:2])), sealed_url=sealed)
    await planned(workshop, replace(plan, endpoint=origin_of(ANOTHER_URL)))
    worker = workshop.replay_worker()
    await go_on(workshop, worker)
    stopped = await plan_of(workshop)
    assert (stopped.state, stopped.left) == (ReplayState.PAUSED, 2)
    assert (stopped.why or "").startswith("its other URL ")
    assert why in (stopped.why or "")
    assert (await plan_of(workshop, "R2")).state is ReplayState.DONE
    resumed = replaying.resumed(stopped)
    assert resumed is not None
    assert await workshop.store.replays.change(stopped, resumed)
    assert len(await taken_by(worker, plan, 1)) == 1
    await cancel(workshop)
    await go_on(workshop, worker)
    over = await plan_of(workshop)
    assert (over.settled, over.refused, over.left) == (True, 1, 1)


async def test_a_canary_whose_worker_died_does_not_skip_its_group(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was taken and not noted is still of its group: it is waited for."""
    await failed(workshop, 12)
    await planned(workshop, a_plan())

    async def dies(*_: object, owner: str) -> None:
        raise StoreUnavailable("the database is away")

    worker = workshop.replay_worker()
    with monkeypatch.context() as patch:
        patch.setattr(workshop.store.replays, "mark", dies)
        await until_held(worker)
    workshop.clock.advance(11)
    worker = workshop.replay_worker("replay-2")
    await go_on(workshop, worker)
    plan = await plan_of(workshop)
    assert (plan.replayed, plan.group_number, plan.undecided) == (1, 0, 1)
    await answer(workshop, 503)
    await go_on(workshop, worker)
    plan = await plan_of(workshop)
    assert (plan.state, plan.replayed, plan.ill) == (ReplayState.PAUSED, 1, 1)


async def test_a_worker_that_froze_does_not_spoil_the_account_of_the_one_after_it(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It wakes up with what the other has replayed in hand, and notes nothing of it."""
    await failed(workshop, 2)
    await planned(workshop, a_plan(canary=False))
    frozen, next_one = workshop.replay_worker("frozen"), workshop.replay_worker("next")
    noted = workshop.store.replays.mark

    async def freeze(owner: str, found: int) -> None:
        if owner == frozen.owner and found:
            workshop.clock.advance(11)
            await until_held(next_one)

    async def mark(replay_id: str, marks: Sequence[Mark], *, owner: str) -> None:
        if owner == next_one.owner:
            raise StoreUnavailable("the database is away")
        await noted(replay_id, marks, owner=owner)

    with monkeypatch.context() as patch:
        around_take(workshop, patch, after=freeze)
        patch.setattr(workshop.store.replays, "mark", mark)
        await go_on(workshop, frozen)
    await go_on(workshop, next_one)
    plan = await plan_of(workshop)
    assert (plan.state, plan.replayed, plan.refused) == (ReplayState.DONE, 2, 0)


async def test_a_blocked_plan_is_not_looked_through_at_every_beat(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every two seconds while the same is blocked, at once when that changes."""
    await failed(workshop, 3)
    await planned(workshop, a_plan(canary=False))
    origin = origin_of(TARGET)
    await workshop.switchboard.change(
        origin, lambda endpoint: breaker.paused(endpoint, None, workshop.clock())
    )
    workshop.publisher.calls.clear()
    looked = list[int]()

    async def count(_: str, found: int) -> None:
        looked.append(found)

    around_take(workshop, monkeypatch, after=count)
    worker = workshop.replay_worker()
    for _ in range(62):
        await beat(worker)
        workshop.clock.advance(0.1)
    assert len(looked) == 3
    await workshop.switchboard.change(
        origin, lambda endpoint: breaker.resumed(endpoint, workshop.clock())
    )
    workshop.clock.advance(0.5)
    await beat(worker)
    assert len(looked) == 4
    assert (await plan_of(workshop)).replayed > 0


async def test_a_plan_waits_for_the_broker(workshop: Workshop) -> None:
    """Else what it opened would go out all at once when the broker is back."""
    await failed(workshop, 5)
    await planned(workshop, a_plan(canary=False))
    room = 0
    worker = replace(workshop.replay_worker(), room=lambda: room)
    assert await until_held(worker) == {"BrokerUnavailable"}
    plan = await plan_of(workshop)
    assert (plan.state, plan.claimed, plan.replayed) == (ReplayState.RUNNING, 5, 0)
    assert callbacks(workshop) == []
    room = 9
    await beat(worker)
    assert (await plan_of(workshop)).replayed == 1
    workshop.clock.advance(1)
    room = 1
    assert (await worker.beat()).faults == {"BrokerUnavailable"}
    assert (await plan_of(workshop)).replayed == 2
    room = 9
    await go_on(workshop, worker)
    assert (await plan_of(workshop)).replayed == len(callbacks(workshop)) == 5


async def test_what_needs_no_broker_goes_on_without_it(workshop: Workshop) -> None:
    """Another plan gives its failures up, beat by beat."""
    begun = await failed(workshop, 3)
    await planned(workshop, a_plan(canary=False, which=only(begun[:1])))
    worker = replace(workshop.replay_worker(), room=lambda: 0)
    await until_held(worker)
    handling = replace(a_plan("H1", which=only(begun[1:])), kind=ReplayKind.HANDLE)
    await planned(workshop, handling)
    for _ in range(2):
        both = await worker.beat()
        faults, held = frozenset({"BrokerUnavailable"}), frozenset({"R1"})
        assert both == Beat(went_on=True, faults=faults, held=held)
        assert worker._pause_s(both) < replay.FAULT_PAUSE_S
    assert (await plan_of(workshop, "H1")).handled == 2


async def passes(workshop: Workshop, worker: ReplayWorker, seconds: int) -> Replay:
    """So much time, with a beat every five seconds; the plan then."""
    for _ in range(seconds // 5):
        workshop.clock.advance(5)
        await worker.beat()
    return await plan_of(workshop)


async def has_its_ten_minutes(workshop: Workshop, worker: ReplayWorker) -> None:
    """The canary's one chain counts as failed after them, and not before."""
    plan = await passes(workshop, worker, 595)
    assert (plan.state, plan.undecided) == (ReplayState.RUNNING, 1)
    plan = await passes(workshop, worker, 20)
    assert (plan.state, plan.ill) == (ReplayState.PAUSED, 1)


async def test_the_time_without_the_broker_counts_for_no_outcome(
    workshop: Workshop,
) -> None:
    """What is on its way gets its ten minutes once the broker takes messages again."""
    await failed(workshop, 3)
    await planned(workshop, a_plan())
    room = 9
    worker = replace(workshop.replay_worker(), room=lambda: room)
    await go_on(workshop, worker)
    room = 0
    await passes(workshop, worker, 700)
    room = 9
    await has_its_ten_minutes(workshop, worker)


async def test_what_has_not_gone_out_is_not_judged(workshop: Workshop) -> None:
    """The broker does not take it, and the connection is there: nobody has tried it."""
    await failed(workshop, 3)
    await planned(workshop, a_plan())
    worker = workshop.replay_worker()
    workshop.publisher.down = True
    await go_on(workshop, worker)
    plan = await passes(workshop, worker, 700)
    assert (plan.state, plan.undecided) == (ReplayState.RUNNING, 1)
    workshop.publisher.down = False
    await workshop.beat()
    assert len(callbacks(workshop)) == 1
    await has_its_ten_minutes(workshop, worker)


async def test_whoever_takes_a_plan_in_hand_gives_outcomes_their_time(
    workshop: Workshop,
) -> None:
    """It does not know what was away until then: the worker may have been."""
    await failed(workshop, 3)
    await planned(workshop, a_plan())
    await go_on(workshop, workshop.replay_worker())
    workshop.clock.advance(3_600)
    worker = workshop.replay_worker("next")
    await has_its_ten_minutes(workshop, worker)


async def test_the_time_without_the_database_counts_for_no_outcome(
    workshop: Workshop,
) -> None:
    """Nor could anything have come of a chain meanwhile."""
    await failed(workshop, 3)
    await planned(workshop, a_plan())
    worker = workshop.replay_worker()
    await go_on(workshop, worker)
    workshop.clock.advance(3_600)
    await has_its_ten_minutes(workshop, worker)


async def test_a_beat_that_takes_longer_than_a_lease_keeps_its_plans(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two slow workers would take the last plans from each other for ever."""
    begun = await failed(workshop, 3)
    for number, one in enumerate(begun):
        plan = a_plan(f"R{number}", canary=False, which=only([one]))
        await planned(workshop, plan)
    slow, there = workshop.replay_worker("slow"), workshop.store.replays.claim
    others = list[int]()

    async def claim(plan: Replay, *, limit: int) -> int:
        workshop.clock.advance(6)
        other = await workshop.store.replays.lease(
            "other", workshop.clock(), lease=replay.LEASE, limit=9
        )
        others.append(len(other))
        return await there(plan, limit=limit)

    await beat(slow)
    monkeypatch.setattr(workshop.store.replays, "claim", claim)
    await beat(slow)
    assert others == [0, 0, 0]
    assert [(await plan_of(workshop, f"R{n}")).claimed for n in range(3)] == [1, 1, 1]


async def test_whoever_lost_a_cancelled_plan_does_not_end_it(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was in hand is the next worker's to finish."""
    await failed(workshop, 3)
    made = await planned(workshop, a_plan(canary=False))
    frozen, next_one = workshop.replay_worker("frozen"), workshop.replay_worker("next")
    for _ in range(2):
        await beat(frozen)
    assert len(await taken_by(frozen, made, 2)) == 2
    await cancel(workshop)

    async def freeze(owner: str) -> None:
        if owner == frozen.owner:
            workshop.clock.advance(11)
            assert await workshop.store.replays.lease(
                next_one.owner, workshop.clock(), lease=replay.LEASE, limit=9
            )

    with monkeypatch.context() as patch:
        around_take(workshop, patch, before=freeze)
        await go_on(workshop, frozen)
    assert not (await plan_of(workshop)).settled
    await go_on(workshop, next_one)
    plan = await plan_of(workshop)
    assert (plan.settled, plan.replayed, plan.refused, plan.left) == (True, 2, 0, 1)


async def test_another_url_is_kept_sealed_until_the_end(workshop: Workshop) -> None:
    """The results go there, and the plan forgets it once it is done."""
    await failed(workshop)
    bound_to = replaying.url_bound_to("R1")
    sealed = workshop.sealer.seal(ANOTHER_URL.encode(), bound_to=bound_to)
    plan = a_plan(canary=False)
    await planned(
        workshop, replace(plan, sealed_url=sealed, endpoint=origin_of(ANOTHER_URL))
    )
    await go_on(workshop, workshop.replay_worker())
    (work,) = callbacks(workshop)
    secrets = workshop.sealer.open_model(CallbackSecrets, work.sealed, bound_to=work.id)
    assert secrets.url == ANOTHER_URL
    assert (await plan_of(workshop)).sealed_url is None


async def test_a_fault_is_told_waited_out_and_forgotten(
    workshop: Workshop, lose_store: LoseReplays
) -> None:
    """The worker goes on when the database is back, and ends when it is stopped."""
    await failed(workshop)
    await planned(workshop, a_plan(canary=False))
    stop, told = asyncio.Event(), list[frozenset[str]]()

    def hear(faults: frozenset[str]) -> None:
        told.append(faults)
        if not faults:
            stop.set()

    lose_store(times=1)
    worker = replace(workshop.replay_worker(), told=hear)
    await asyncio.wait_for(worker.run(stop), 10)
    assert told == [frozenset({"StoreUnavailable"}), frozenset()]


async def test_chains_go_one_by_one(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two of them as long as the pace says: bursts would trouble others more."""
    await failed(workshop, 3)
    await planned(workshop, a_plan(canary=False, pace=20.0))
    stop, pauses = asyncio.Event(), list[float]()

    async def pass_by(stop: asyncio.Event, pause_s: float) -> None:
        pauses.append(pause_s)
        workshop.clock.advance(pause_s)
        if (await plan_of(workshop)).replayed == 3:
            stop.set()

    monkeypatch.setattr(replay, "_stopped", pass_by)
    async with asyncio.timeout(10):
        await workshop.replay_worker().run(stop)
    waited = [pause_s for pause_s in pauses if pause_s]
    assert waited == [pytest.approx(0.05)] * 3


async def test_a_replayed_chain_ends_as_it_would_have(workshop: Workshop) -> None:
    """The endpoint is well again: its answer completes the chain's next generation."""
    (begun,) = await failed(workshop)
    await planned(workshop, a_plan())
    await go_on(workshop, workshop.replay_worker())
    await answer(workshop, 204)
    chain = await workshop.chain(begun.id)
    assert (chain.state, chain.generation) == (ChainState.COMPLETED, 1)
    assert await workshop.store.step(next_generation(begun.slot)) is not None
