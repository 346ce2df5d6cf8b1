"""The port `Replays`: failures are written with ends of chains, claimed, counted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from orchestrator.domain import replaying
from orchestrator.domain.chain import ChainState, Slot, StepState
from orchestrator.domain.failing import Failure, FailureFilter, FailureReason
from orchestrator.domain.replay_outcomes import Went, judged
from orchestrator.domain.replaying import (
    Claimed,
    CutOff,
    Mark,
    Outcome,
    Replay,
    ReplayKind,
    ReplayState,
)
from orchestrator.ports import Changes, Store
from orchestrator.store.replays import RENEWED
from tests.contract.store.samples import LEASE, NOW, SECOND, a_chain, a_row, a_step
from tests.support.replays import SHOP, a_failure, a_plan

OTHER = "https://other.example:443"
ALL = FailureFilter()
OWNER = "one"


async def write(store: Store, slot: Slot, changes: Changes) -> None:
    """A rule has decided this."""
    await store.decide(slot, lambda _: (None, changes))


async def fail(store: Store, *failures: Failure) -> CutOff:
    """Chains end with these failures; the cut-off after that."""
    for failure in failures:
        slot = failure.slot
        chain = a_chain(slot.chain_id, requestor=failure.requestor)
        await store.begin_chain(chain, a_step(slot.chain_id), [])
        ended = replace(chain, state=ChainState.FAILED, ended_at=failure.failed_at)
        await write(store, slot, Changes(chain=ended, failure=failure))
    return await store.replays.cut_off()


async def many(store: Store, count: int) -> CutOff:
    """As many failures."""
    return await fail(store, *(a_failure(f"C{n}") for n in range(count)))


async def running(store: Store, plan: Replay) -> Replay:
    """A plan that a worker has taken up, and holds."""
    made = replace(plan, state=ReplayState.RUNNING)
    await store.replays.add(made)
    await store.replays.lease(OWNER, NOW, lease=LEASE, limit=9)
    return made


async def plan_of(store: Store, replay_id: str = "R1") -> Replay:
    """A plan as it stands."""
    plan = await store.replays.plan(replay_id)
    assert plan is not None
    return plan


async def claimed(store: Store, cut_off: CutOff, replay_id: str = "R1") -> Replay:
    """A running plan that has claimed all it means."""
    plan = await running(store, replace(a_plan(replay_id), cut_off=cut_off))
    await store.replays.claim(plan, limit=100)
    return await plan_of(store, replay_id)


async def taken(
    store: Store, plan: Replay, limit: int = 100, without: Sequence[str] = ()
) -> list[Claimed]:
    """The next failures of a plan."""
    return await store.replays.take(plan, NOW, owner=OWNER, without=without, limit=limit)


def chains_of(found: Sequence[Claimed]) -> list[str]:
    """Their chains."""
    return [one.failure.slot.chain_id for one in found]


async def test_a_failure_is_written_with_its_chains_end(store: Store) -> None:
    """Once for each generation, however often its message comes."""
    failure = a_failure(endpoint=None, status=None)
    cut_off = await fail(store, failure)
    changes = Changes(failure=replace(failure, text="another"))
    await write(store, failure.slot, changes)
    plan = await claimed(store, cut_off)
    (one,) = await taken(store, plan)
    assert one == Claimed(number=cut_off.number, failure=failure, begun=False)


async def test_failures_are_grouped_with_counts_and_times(store: Store) -> None:
    """By reason, endpoint and status; the most first."""
    cut_off = await fail(
        store,
        a_failure("C1", failed_at=NOW - 9 * SECOND),
        a_failure("C2", failed_at=NOW - 5 * SECOND),
        a_failure("C3", endpoint=OTHER, status=502),
    )
    many, few = await store.replays.groups(ALL, cut_off, limit=9)
    assert (many.reason, many.endpoint, many.status) == ("status", SHOP, 503)
    assert (many.open, many.purged, many.claimed) == (2, 0, 0)
    assert (many.first_at, many.last_at) == (NOW - 9 * SECOND, NOW - 5 * SECOND)
    assert (few.endpoint, few.open) == (OTHER, 1)


@pytest.mark.parametrize(
    "which, expected",
    [
        (ALL, {"C1", "C2"}),
        (FailureFilter(requestor="acme"), {"C1"}),
        (FailureFilter(endpoint=SHOP), {"C1"}),
        (FailureFilter(reason=FailureReason.STATUS), {"C1"}),
        (FailureFilter(status=503), {"C1"}),
        (FailureFilter(step=3), {"C2"}),
        (FailureFilter(since=NOW), {"C2"}),
        (FailureFilter(until=NOW), {"C1"}),
        (FailureFilter(chain_ids=("C2", "C9")), {"C2"}),
        (FailureFilter(requestor="acme", endpoint=OTHER), set()),
    ],
)
async def test_a_plan_claims_what_its_filter_means(
    store: Store, which: FailureFilter, expected: set[str]
) -> None:
    """And what is shown before is what is claimed; the filter is kept as it is."""
    cut_off = await fail(
        store,
        a_failure("C1", failed_at=NOW - SECOND),
        a_failure(
            "C2",
            requestor="else",
            endpoint=OTHER,
            reason=FailureReason.NO_ANSWER,
            status=None,
            step=3,
        ),
    )
    groups = await store.replays.groups(which, cut_off, limit=9)
    plan = await running(store, replace(a_plan(which=which), cut_off=cut_off))
    assert await store.replays.claim(plan, limit=100) == len(expected)
    assert sum(group.open for group in groups) == len(expected)
    assert set(chains_of(await taken(store, plan))) == expected
    assert (await plan_of(store)).filter == which


async def test_claiming_goes_page_by_page_up_to_the_cut_off(store: Store) -> None:
    """What fails later is not taken; of which the plan knows where it was."""
    cut_off = await many(store, 5)
    await fail(store, a_failure("late"))
    plan = await running(store, replace(a_plan(), cut_off=cut_off))
    pages = []
    while (await plan_of(store)).claiming:
        pages.append(await store.replays.claim(plan, limit=2))
    assert pages == [2, 2, 1]
    assert (await plan_of(store)).claimed == 5
    assert "late" not in chains_of(await taken(store, plan))


async def test_a_failure_is_claimed_by_one_plan(store: Store, other: Store) -> None:
    """Two claim at the same moment, on two connections: none has both."""
    cut_off = await many(store, 20)
    one = await running(store, replace(a_plan("R1"), cut_off=cut_off))
    two = await running(store, replace(a_plan("R2"), cut_off=cut_off))
    counts = await asyncio.gather(
        store.replays.claim(one, limit=100), other.replays.claim(two, limit=100)
    )
    assert sum(counts) == 20
    mine, theirs = await taken(store, one), await taken(store, two)
    assert len({*chains_of(mine), *chains_of(theirs)}) == 20
    groups = await store.replays.groups(ALL, cut_off, limit=9)
    assert [(group.open, group.claimed) for group in groups] == [(0, 20)]


async def test_what_was_purged_is_told_and_not_claimed(store: Store) -> None:
    """Its results are gone; that it has failed stays known."""
    cut_off = await many(store, 2)
    chain = await store.chain("C0")
    assert chain is not None
    purged = replace(chain, purged_at=NOW)
    await write(store, Slot(chain_id="C0", step=1), Changes(chain=purged))
    (group,) = await store.replays.groups(ALL, cut_off, limit=9)
    assert (group.open, group.purged) == (1, 1)
    assert (await claimed(store, cut_off)).claimed == 1


async def given_up(store: Store, cut_off: CutOff, replay_id: str = "H1") -> Replay:
    """A plan that has given up all it means."""
    made = replace(a_plan(replay_id), cut_off=cut_off, kind=ReplayKind.HANDLE)
    await store.replays.claim(await running(store, made), limit=100)
    return await plan_of(store, replay_id)


async def test_what_was_given_up_is_counted_apart_and_no_plan_takes_it(
    store: Store,
) -> None:
    """Neither to be replayed nor to be given up again."""
    cut_off = await many(store, 2)
    plan = await given_up(store, cut_off)
    assert (plan.claimed, plan.handled, plan.left, plan.claiming) == (2, 2, 0, False)
    (group,) = await store.replays.groups(ALL, cut_off, limit=9)
    assert (group.open, group.claimed, group.handled) == (0, 0, 2)
    assert (await claimed(store, cut_off)).claimed == 0
    assert (await given_up(store, cut_off, "H2")).handled == 0
    assert await taken(store, plan) == []


async def test_what_cannot_be_replayed_can_be_given_up(store: Store) -> None:
    """What is too old, and what was refused; what is in another replay stays there."""
    cut_off = await many(store, 3)
    plan = await claimed(store, cut_off)
    first, *_ = await taken(store, plan, 1)
    refused = Mark(number=first.number, outcome=Outcome.REFUSED, note="why")
    await store.replays.mark(plan.id, [refused], owner=OWNER)
    await fail(store, a_failure("old"))
    chain = await store.chain("old")
    assert chain is not None
    old = Slot(chain_id="old", step=1)
    await write(store, old, Changes(chain=replace(chain, purged_at=NOW)))
    cut_off = await store.replays.cut_off()
    (group,) = await store.replays.groups(ALL, cut_off, limit=9)
    assert (group.purged, group.refused, group.claimed) == (1, 1, 2)
    assert (await given_up(store, cut_off)).handled == 2
    (group,) = await store.replays.groups(ALL, cut_off, limit=9)
    assert (group.purged, group.refused, group.claimed) == (0, 0, 2)
    assert group.handled == 2
    assert await store.replays.refusals(plan.id, limit=9) == {"why": 1}


async def test_what_could_be_claimed_is_read_page_by_page(store: Store) -> None:
    """As a plan would claim it, up to the cut-off; nobody has claimed it then."""
    cut_off = await many(store, 4)
    await fail(store, a_failure("late"))
    plan = await running(store, a_plan(which=FailureFilter(chain_ids=("C1",))))
    mine = replace(plan, id="R2", cut_off=cut_off)
    await store.replays.add(mine)
    assert await store.replays.claim(mine, limit=9) == 1
    pages, after = [], 0
    while True:
        page = await store.replays.claimable(ALL, cut_off, after=after, limit=2)
        if not page:
            break
        pages.append(chains_of(page))
        after = page[-1].number
    assert pages == [["C0", "C2"], ["C3"]]
    few = FailureFilter(chain_ids=("C3",))
    (one,) = await store.replays.claimable(few, cut_off, after=0, limit=2)
    assert one == Claimed(number=after, failure=one.failure, begun=False)
    assert (await claimed(store, cut_off, "R3")).claimed == 3


async def test_of_two_who_mean_a_failure_one_gets_it(store: Store, other: Store) -> None:
    """It is replayed or given up, at the same moment, on two connections."""
    cut_off = await many(store, 20)
    one = await running(store, replace(a_plan("R1"), cut_off=cut_off))
    two = replace(a_plan("H1"), cut_off=cut_off, kind=ReplayKind.HANDLE)
    await running(store, two)
    counts = await asyncio.gather(
        store.replays.claim(one, limit=100), other.replays.claim(two, limit=100)
    )
    assert sum(counts) == 20
    (group,) = await store.replays.groups(ALL, cut_off, limit=9)
    assert [group.claimed, group.handled] == list(counts)


async def test_who_has_made_and_changed_a_plan_is_kept(store: Store) -> None:
    """As it was noted; the maker never changes."""
    plan = replace(a_plan(), made_by="anna")
    await store.replays.add(plan)
    paused = replaying.paused(plan)
    assert paused is not None
    noted = replace(paused, changed_by="cli:root", made_by="nobody")
    assert await store.replays.change(plan, noted)
    found = await plan_of(store)
    assert (found.made_by, found.changed_by) == ("anna", "cli:root")


async def test_a_chain_that_was_opened_again_has_not_failed(store: Store) -> None:
    """It may fail again in its next generation, which is another failure."""
    cut_off = await many(store, 1)
    opened = replace(a_chain("C0"), generation=1, replayed_at=NOW)
    await write(store, Slot(chain_id="C0", step=1), Changes(chain=opened))
    assert await store.replays.groups(ALL, cut_off, limit=9) == []
    assert (await claimed(store, cut_off)).claimed == 0


async def test_chains_that_never_failed_are_unknown(store: Store) -> None:
    """In the order in which they were named."""
    await many(store, 2)
    assert await store.replays.unknown(["C9", "C1", "C8"]) == ["C9", "C8"]


async def test_failures_are_taken_in_order_and_again_until_they_are_marked(
    store: Store,
) -> None:
    """What was in hand of a worker that died comes first, and is known as begun."""
    plan = await claimed(store, await many(store, 3))
    assert chains_of(await taken(store, plan, 2)) == ["C0", "C1"]
    again = await taken(store, plan, 3)
    assert [one.begun for one in again] == [True, True, False]
    first, second, _ = again
    refused = Mark(number=second.number, outcome=Outcome.REFUSED, note="too old")
    marks = [Mark(number=first.number, outcome=Outcome.REPLAYED), refused]
    for _ in range(2):
        await store.replays.mark(plan.id, marks, owner=OWNER)
    counted = await plan_of(store)
    assert (counted.replayed, counted.refused, counted.left) == (1, 1, 1)
    assert counted.group_taken == 2
    assert await store.replays.refusals(plan.id, limit=9) == {"too old": 1}
    assert chains_of(await taken(store, plan)) == ["C2"]


async def test_what_could_not_be_read_is_free_and_counts_as_ill(store: Store) -> None:
    """The next plan takes it as if it was never begun; what was refused stays out."""
    cut_off = await many(store, 3)
    plan = await claimed(store, cut_off)
    found = await taken(store, plan)
    outcomes = (Outcome.UNREAD, Outcome.REFUSED, Outcome.REPLAYED)
    marks = [
        Mark(number=one.number, outcome=outcome, note=outcome)
        for one, outcome in zip(found, outcomes, strict=True)
    ]
    await store.replays.mark(plan.id, marks, owner=OWNER)
    counted = await plan_of(store)
    assert (counted.refused, counted.replayed, counted.left) == (2, 1, 0)
    assert (counted.group_taken, counted.group_ill, counted.ill) == (3, 1, 0)
    assert await store.replays.refusals("R1", limit=9) == {"unread": 1, "refused": 1}
    (group,) = await store.replays.groups(ALL, cut_off, limit=9)
    assert (group.open, group.refused, group.claimed) == (1, 1, 1)
    assert chains_of(await store.replays.claimable(ALL, cut_off, after=0, limit=9)) == [
        "C0"
    ]
    again = await claimed(store, cut_off, "R2")
    assert again.claimed == 1
    (one,) = await taken(store, again)
    assert (one.failure.slot.chain_id, one.begun) == ("C0", False)


async def test_what_could_not_be_read_can_be_given_up(store: Store) -> None:
    """No later plan takes it then."""
    cut_off = await many(store, 1)
    plan = await claimed(store, cut_off)
    (one,) = await taken(store, plan)
    unread = Mark(number=one.number, outcome=Outcome.UNREAD, note="why")
    await store.replays.mark(plan.id, [unread], owner=OWNER)
    assert (await given_up(store, cut_off)).handled == 1
    assert (await claimed(store, cut_off, "R2")).claimed == 0


async def test_what_was_begun_in_another_group_counts_in_the_one_it_ends_in(
    store: Store,
) -> None:
    """A worker has died, and the plan was resumed with another group."""
    plan = await claimed(store, await many(store, 2))
    (one,) = await taken(store, plan, 1)
    assert await store.replays.change(plan, replaying.next_group(plan))
    assert await taken(store, plan, 1) == [replace(one, begun=True)]
    mark = Mark(number=one.number, outcome=Outcome.REPLAYED)
    await store.replays.mark(plan.id, [mark], owner=OWNER)
    await store.replays.judge(plan, {one.number: Went.WELL})
    counted = await plan_of(store)
    assert (counted.group_number, counted.group_taken, counted.group_well) == (1, 1, 1)


async def test_endpoints_can_be_left_out(store: Store) -> None:
    """What has none is never left out."""
    cut_off = await fail(
        store,
        a_failure("C1"),
        a_failure("C2", endpoint=OTHER),
        a_failure("C3", endpoint=None),
    )
    plan = await claimed(store, cut_off)
    assert chains_of(await taken(store, plan, without=[SHOP])) == ["C2", "C3"]


async def test_a_paused_plan_gives_nothing_new(store: Store) -> None:
    """Its state is looked at under its lock, whatever the worker still believes."""
    plan = await claimed(store, await many(store, 2))
    paused = replaying.paused(plan)
    assert paused is not None
    assert await store.replays.change(plan, paused)
    assert await taken(store, plan) == []


async def test_of_two_who_change_a_plan_one_does(store: Store, other: Store) -> None:
    """The second has not seen what the first did; counters are not set back."""
    plan = await claimed(store, await many(store, 2))
    paused, cancelled = replaying.paused(plan), replaying.cancelled(plan, NOW)
    assert paused is not None
    assert cancelled is not None
    (first, *_) = await taken(store, plan)
    mark = Mark(number=first.number, outcome=Outcome.REPLAYED)
    await store.replays.mark(plan.id, [mark], owner=OWNER)
    done = await asyncio.gather(
        store.replays.change(plan, paused), other.replays.change(plan, cancelled)
    )
    assert sorted(done) == [False, True]
    assert (await plan_of(store)).replayed == 1


async def test_a_plan_is_leased_to_one_worker(store: Store, other: Store) -> None:
    """Until its lease is over; its owner, who asks again, holds it on from half of it."""
    await store.replays.add(a_plan())

    async def lease(at: Store, owner: str, later: timedelta = timedelta()) -> int:
        plans = await at.replays.lease(owner, NOW + later, lease=LEASE, limit=9)
        return len(plans)

    both = await asyncio.gather(lease(store, "one"), lease(other, "two"))
    assert sum(both) == 1
    owner, rival = ("one", "two") if both[0] else ("two", "one")
    assert await lease(store, owner, LEASE / 2) == 1
    assert await lease(store, rival, LEASE) == 0
    assert await lease(store, rival, LEASE + LEASE / 2) == 1


async def test_a_lease_that_is_still_long_is_not_written_anew(
    store: Store, other: Store
) -> None:
    """A worker asks ten times a second; so its lease ends that little earlier."""
    await store.replays.add(a_plan())

    async def lease(at: Store, owner: str, later: timedelta = timedelta()) -> int:
        plans = await at.replays.lease(owner, NOW + later, lease=LEASE, limit=9)
        return len(plans)

    assert await lease(store, "one") == 1
    assert await lease(store, "one", (1 - RENEWED) * LEASE) == 1
    assert await lease(other, "two", LEASE - SECOND) == 0
    assert await lease(other, "two", LEASE) == 1


async def test_who_has_lost_its_lease_takes_and_notes_nothing(
    store: Store, other: Store
) -> None:
    """It was frozen; whoever has the plan now goes on with what it had in hand."""
    plan = await claimed(store, await many(store, 2))
    (one,) = await taken(store, plan, 1)
    assert await other.replays.lease("two", NOW + LEASE, lease=LEASE, limit=9)
    assert await taken(store, plan) == []
    late = Mark(number=one.number, outcome=Outcome.REFUSED, note="it was replayed")
    await store.replays.mark(plan.id, [late], owner=OWNER)
    again = await other.replays.take(plan, NOW, owner="two", without=(), limit=1)
    assert again == [replace(one, begun=True)]
    mark = Mark(number=one.number, outcome=Outcome.REPLAYED)
    await other.replays.mark(plan.id, [mark], owner="two")
    counted = await plan_of(store)
    assert (counted.replayed, counted.refused, counted.left) == (1, 0, 1)


async def test_what_was_meant_to_be_written_before_a_takeover_is_not(
    store: Store, other: Store
) -> None:
    """Whoever has the plan now would find it ended, with something still in hand."""
    plan = replaying.cancelled(await claimed(store, await many(store, 1)), NOW)
    assert plan is not None
    assert await store.replays.change(await plan_of(store), plan)
    (before,) = await store.replays.lease(OWNER, NOW, lease=LEASE, limit=9)
    (theirs,) = await other.replays.lease("two", NOW + LEASE, lease=LEASE, limit=9)
    assert not await store.replays.change(before, replaying.settled(before))
    assert theirs == await plan_of(store)
    assert await other.replays.change(theirs, replaying.settled(theirs))


async def test_a_lease_that_is_over_holds_until_somebody_else_has_the_plan(
    store: Store,
) -> None:
    """What was done meanwhile is noted, not done again."""
    plan = await claimed(store, await many(store, 1))
    later = NOW + 2 * LEASE
    found = await store.replays.take(plan, later, owner=OWNER, without=(), limit=1)
    assert chains_of(found) == ["C0"]


@pytest.mark.parametrize("over", [ReplayState.PAUSED, ReplayState.DONE])
async def test_nothing_is_to_be_done_for_a_plan_that_rests(
    store: Store, over: ReplayState
) -> None:
    """A cancelled one has to let go of what it has claimed first."""
    done = over is ReplayState.DONE
    await store.replays.add(replace(a_plan(state=over), settled=done))
    cancelled = a_plan("R2", state=ReplayState.CANCELLED)
    await store.replays.add(cancelled)
    found = await store.replays.lease("one", NOW, lease=LEASE, limit=9)
    assert found == [cancelled]


async def test_what_was_never_begun_is_let_go_of(store: Store) -> None:
    """Another plan may have it; what was begun stays."""
    cut_off = await many(store, 5)
    plan = await claimed(store, cut_off)
    begun = [one.number for one in await taken(store, plan, 2)]
    first = await store.replays.release(plan.id, after=0, limit=2)
    assert first is not None
    assert first > max(begun)
    last = await store.replays.release(plan.id, after=first, limit=2)
    assert last is not None
    assert last > first
    assert await store.replays.release(plan.id, after=last, limit=2) is None
    assert await store.replays.release(plan.id, after=0, limit=2) is None
    assert (await claimed(store, cut_off, "R2")).claimed == 3


async def test_outcomes_are_read_from_rows_and_counted_once(store: Store) -> None:
    """A retry, a later step, an end, and nothing yet; of this generation's callback."""
    plan = await claimed(store, await many(store, 4))
    found = await taken(store, plan)
    marks = [Mark(number=one.number, outcome=Outcome.REPLAYED) for one in found]
    await store.replays.mark(plan.id, marks, owner=OWNER)
    for one in found:
        chain_id = one.failure.slot.chain_id
        chain = replace(a_chain(chain_id), generation=1, replayed_at=NOW)
        rows = [a_step(chain_id, 1, generation=1, state=StepState.FINISHED)]
        if chain_id == "C1":
            rows.append(a_step(chain_id, 2, generation=1))
        if chain_id == "C2":
            chain = replace(chain, state=ChainState.COMPLETED, ended_at=NOW)
            rows.append(a_step(chain_id, 2, generation=1, state=StepState.END))
        await write(store, one.failure.slot, Changes(chain=chain, steps=tuple(rows)))
    retry, notified = "C0-1-1-session_completed-ab", "C3-1-1-session_notified-ab"
    await store.put_waiting(
        a_row(f"{retry}-retry-1", chain_id="C0"),
        a_row(f"{notified}-retry-1", chain_id="C3"),
    )

    on_their_way = await store.replays.on_their_way(plan.id, limit=9)
    seen = {one.number: judged(one, NOW, NOW) for one in on_their_way}
    assert list(seen.values()) == [Went.ILL, Went.WELL, Went.WELL, None]
    went = {number: how for number, how in seen.items() if how is not None}
    for _ in range(2):
        await store.replays.judge(plan, went)
    counted = await plan_of(store)
    assert (counted.well, counted.ill, counted.undecided) == (2, 1, 1)
    assert (counted.group_well, counted.group_ill) == (2, 1)
    assert len(await store.replays.on_their_way(plan.id, limit=9)) == 1


async def test_what_of_a_replay_has_not_gone_out_is_seen(store: Store) -> None:
    """Its outcome cannot be known; a row of its callback's tells more."""
    plan = await claimed(store, await many(store, 2))
    marks = [
        Mark(number=one.number, outcome=Outcome.REPLAYED)
        for one in await taken(store, plan)
    ]
    await store.replays.mark(plan.id, marks, owner=OWNER)
    work = "C1-1-1-session_completed-ab"
    await store.put_waiting(
        replace(a_row("C0-1-1-session_replay-ab", chain_id="C0"), kind="outbox"),
        replace(a_row(work, chain_id="C1"), kind="outbox"),
        a_row(f"{work}-retry-1", chain_id="C1"),
    )
    on_their_way = await store.replays.on_their_way(plan.id, limit=9)
    assert [one.waits_as for one in on_their_way] == ["outbox", "retry"]


async def test_plans_are_listed_the_newest_first(store: Store) -> None:
    """By their ids, which grow with time."""
    for name in ("R1", "R2", "R3"):
        await store.replays.add(a_plan(name))
    listed = await store.replays.plans(limit=2)
    assert [plan.id for plan in listed] == ["R3", "R2"]
    assert await store.replays.plan("R9") is None
