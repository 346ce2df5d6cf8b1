"""The callback worker spares endpoints, and one's trouble is nobody else's (G5)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from orchestrator.broker.holding import HandedBack
from orchestrator.domain import breaker
from orchestrator.domain.breaker import BreakerState, Endpoint, Kept
from orchestrator.domain.delivery import Fault, NoAnswer, Reply
from orchestrator.domain.endpoint import origin_of
from orchestrator.isolating import news_of
from orchestrator.ports import ENDPOINTS_EXCHANGE, LANES, PARKED, Post, Waiting
from schemas.endpoints import NewsInvalid, parse_news
from schemas.events import CallbackParked, EndpointChanged
from schemas.messages import CallbackWork, Lane, Wake, parse_work
from tests.support.fakes import FakeCaller
from tests.support.parts import BREAKER, Pauses
from tests.support.samples import NOW, TARGET, delivery
from tests.support.workshop import Workshop
from tests.unit.conftest import LoseStore
from tests.unit.workers.posting import SLOT, TOKEN, Published, answered, post, stopping
from workers.callback import CallbackWorker
from workers.isolation import Gate
from workers.places import Limits

TIMEOUT = NoAnswer(fault=Fault.TIMEOUT, duration_s=20.0)
NO_WAIT = Limits(attempts=2, room=2, room_per_requestor=1, wait_s=0)


@dataclass
class HangingCaller:
    """An endpoint that answers when it is let."""

    answer: Reply
    let: asyncio.Event = field(default_factory=asyncio.Event)
    posts: list[Post] = field(default_factory=list)

    async def post(self, post: Post) -> Reply:
        """Wait, then answer."""
        self.posts.append(post)
        await self.let.wait()
        return self.answer


def callback(workshop: Workshop, number: int, **changes: object) -> CallbackWork:
    """One of many callbacks to the same endpoint."""
    work = workshop.callback(replace(SLOT, chain_id=f"C{number}"), TOKEN)
    return work.model_copy(update=changes)


def worker(
    workshop: Workshop, caller: FakeCaller | HangingCaller, gate: Gate
) -> CallbackWorker:
    """A worker that lives on from callback to callback."""
    made = workshop.callback_worker(FakeCaller(), Pauses(workshop.clock))
    return replace(made, caller=caller, gate=gate)


async def parked(workshop: Workshop) -> list[Waiting]:
    """Parked rows, the first parked first."""
    rows = [r for r in await workshop.store.waiting(limit=1000) if r.kind == PARKED]
    return sorted(rows, key=lambda row: row.created_at)


async def the_endpoint(workshop: Workshop) -> Endpoint:
    """How the one endpoint stands."""
    (endpoint,) = await workshop.store.endpoints()
    return endpoint


async def paused(workshop: Workshop) -> Gate:
    """The gate of a worker that knows of a pause."""
    await workshop.switchboard.change(
        workshop.callback(SLOT, TOKEN).endpoint,
        lambda endpoint: breaker.paused(endpoint, None, NOW),
    )
    gate = workshop.gate()
    await gate.refresh()
    workshop.publisher.calls.clear()
    return gate


async def opened(workshop: Workshop) -> Gate:
    """The gate of a worker that has opened the breaker."""
    gate = workshop.gate()
    caller = FakeCaller([TIMEOUT] * BREAKER.attempts_min)
    working = worker(workshop, caller, gate)
    for number in range(BREAKER.attempts_min):
        await working(delivery(callback(workshop, number)))
    assert (await the_endpoint(workshop)).state is BreakerState.OPEN
    return gate


async def test_over_the_limit_it_is_parked(workshop: Workshop) -> None:
    """A row, then its event; no attempt is made or spent, and the others go on."""
    caller = HangingCaller(answered(204))
    working = worker(workshop, caller, workshop.gate(NO_WAIT))
    tasks = [
        asyncio.create_task(working(delivery(callback(workshop, number))))
        for number in range(3)
    ]
    await tasks[2]
    (row,) = await parked(workshop)
    (event,) = workshop.publisher.events
    assert isinstance(event, CallbackParked)
    assert (event.chainid, event.data.attempt, event.data.kept) == ("C2", 1, "limit")
    assert (row.chain_id, row.endpoint, row.created_at) == (
        "C2",
        event.data.endpoint,
        NOW,
    )
    assert len(caller.posts) == 2
    caller.let.set()
    await asyncio.gather(*tasks)
    assert len(await parked(workshop)) == 1


async def test_what_was_parked_comes_back_as_it_was(workshop: Workshop) -> None:
    """The same id, attempt and secrets on the same lane, and since when it waits."""
    gate = await paused(workshop)
    work = callback(workshop, 1, attempt=3, retries=2, lane=Lane.EVENTS)
    await worker(workshop, FakeCaller(), gate)(delivery(work))
    (row,) = await parked(workshop)
    assert row.message.routing_key == LANES[Lane.EVENTS]
    assert parse_work(row.message.body) == work.model_copy(
        update={"parked_at": NOW, "parkings": 1}
    )


async def test_parked_again_it_keeps_its_first_time(workshop: Workshop) -> None:
    """A row of its own, for the one before is deleted later; but no second event."""
    gate = await paused(workshop)
    working = worker(workshop, FakeCaller(), gate)
    await working(delivery(callback(workshop, 1)))
    (first,) = await parked(workshop)
    workshop.clock.advance(60)
    work = parse_work(first.message.body)
    assert isinstance(work, CallbackWork)
    await working(delivery(work))
    await workshop.store.drop_waiting([first.id])
    (second,) = await parked(workshop)
    assert second.created_at == NOW
    assert second.id != first.id
    assert workshop.publisher.types == ["callback.parked"]


async def test_parked_twice_by_a_repeat_it_is_one_row(workshop: Workshop) -> None:
    """A worker that died after the commit changes nothing."""
    gate = await paused(workshop)
    for _ in range(2):
        await worker(workshop, FakeCaller(), gate)(delivery(callback(workshop, 1)))
    assert len(await parked(workshop)) == 1
    first, second = workshop.publisher.events
    assert first.id == second.id


async def test_parking_lets_the_app_go(workshop: Workshop) -> None:
    """Its user does not wait for an endpoint that is left alone."""
    gate = await paused(workshop)
    work = workshop.callback(SLOT, TOKEN, waited_s=3.5)
    await worker(workshop, FakeCaller(), gate)(delivery(work))
    (wake_up,) = workshop.publisher.wake_ups
    assert wake_up.wake is Wake.LATER
    (row,) = await parked(workshop)
    told = parse_work(row.message.body)
    assert isinstance(told, CallbackWork)
    assert told.reply is None


async def test_nothing_is_parked_while_the_store_is_away(
    workshop: Workshop, lose_store: LoseStore
) -> None:
    """It is held, and the app is not let go before there is a row."""
    gate = await paused(workshop)
    lose_store("park")
    held = replace(worker(workshop, FakeCaller(), gate), hold=stopping())
    with pytest.raises(HandedBack):
        await held(delivery(workshop.callback(SLOT, TOKEN, waited_s=3.5)))
    assert workshop.publisher.messages == []


async def test_what_a_clock_has_published_is_not_parked_again(
    workshop: Workshop,
) -> None:
    """Its row was there before the broker went away; only the rest is left to do."""
    pauses = Published(workshop.clock, workshop=workshop)
    held = workshop.callback_worker(FakeCaller(), pauses)
    held = replace(held, gate=await paused(workshop))
    workshop.publisher.down = True
    await held(delivery(workshop.callback(SLOT, TOKEN, waited_s=3.5)))
    assert [row.kind for row in pauses.rows] == [PARKED]
    assert await parked(workshop) == []
    assert workshop.publisher.types == ["callback.parked"]
    assert len(workshop.publisher.wake_ups) == 1


async def test_failures_open_the_breaker(workshop: Workshop) -> None:
    """The event and the news go out once, and later callbacks are parked unasked."""
    gate = await opened(workshop)
    endpoint = await the_endpoint(workshop)
    assert (endpoint.attempts, endpoint.failures, endpoint.trips) == (10, 10, 1)
    (event,) = [e for e in workshop.publisher.events if isinstance(e, EndpointChanged)]
    assert (event.type, event.subject) == ("endpoint.opened", endpoint.origin)
    (news,) = [m for m in workshop.publisher.messages if m.exchange == ENDPOINTS_EXCHANGE]
    assert parse_news(news.body) == news_of(endpoint)

    await worker(workshop, FakeCaller(), gate)(delivery(callback(workshop, 99)))
    (row,) = await parked(workshop)
    assert row.chain_id == "C99"


async def test_another_worker_learns_of_it(workshop: Workshop) -> None:
    """By news at once, or by reading the table; old news change nothing."""
    await opened(workshop)
    news = news_of(await the_endpoint(workshop))
    work = callback(workshop, 1)
    told, reading, late = workshop.gate(), workshop.gate(), workshop.gate()
    told.learn(news)
    await reading.refresh()
    later = news.version + 1
    late.learn(news.model_copy(update={"version": later, "state": "closed"}))
    late.learn(news)
    assert [await gate.enter(work) for gate in (told, reading)] == [Kept.OPEN] * 2
    assert not isinstance(await late.enter(work), Kept)


async def test_who_waits_in_the_room_is_parked_when_it_opens(workshop: Workshop) -> None:
    """Nobody waits for an endpoint that is left alone."""
    gate = workshop.gate(Limits(attempts=1, wait_s=30))
    work = callback(workshop, 1)
    assert not isinstance(await gate.enter(work), Kept)
    entering = asyncio.create_task(gate.enter(work))
    await asyncio.sleep(0)
    await opened(workshop)
    gate.learn(news_of(await the_endpoint(workshop)))
    async with asyncio.timeout(5):
        assert await entering is Kept.OPEN


async def released(workshop: Workshop) -> list[CallbackWork]:
    """What the clock lets out now."""
    workshop.publisher.calls.clear()
    await workshop.clock_worker().release_parked()
    works = [work for work in workshop.publisher.work if isinstance(work, CallbackWork)]
    assert len(works) == len(workshop.publisher.work)
    return works


async def open_with_rows(workshop: Workshop) -> Gate:
    """The breaker is open, and three callbacks are parked."""
    gate = await opened(workshop)
    for number in (21, 22, 23):
        await worker(workshop, FakeCaller(), gate)(delivery(callback(workshop, number)))
        workshop.clock.advance(0.1)
    return gate


async def test_a_probe_that_goes_well_closes_it(workshop: Workshop) -> None:
    """One is released, nothing more before it is back; then the rest, oldest first."""
    gate = await open_with_rows(workshop)
    assert await released(workshop) == []
    workshop.clock.advance(BREAKER.pause.total_seconds())
    (probe,) = await released(workshop)
    assert probe.chain_id == "C21"
    assert await released(workshop) == []

    await worker(workshop, FakeCaller([answered(204)]), gate)(delivery(probe))

    assert (await the_endpoint(workshop)).state is BreakerState.CLOSED
    assert workshop.publisher.types == ["endpoint.closed", "callback.answered"]
    rest = await released(workshop)
    assert [work.chain_id for work in rest] == ["C22", "C23"]
    working = worker(workshop, FakeCaller([answered(204)] * 2), gate)
    for work in rest:
        await working(delivery(work))
    assert await parked(workshop) == []


async def test_a_probe_that_fails_opens_it_for_longer(workshop: Workshop) -> None:
    """It has spent an attempt and waits for its retry; the others spend nothing."""
    gate = await open_with_rows(workshop)
    workshop.clock.advance(BREAKER.pause.total_seconds())
    (probe,) = await released(workshop)
    await worker(workshop, FakeCaller([TIMEOUT]), gate)(delivery(probe))
    endpoint = await the_endpoint(workshop)
    assert (endpoint.state, endpoint.trips) == (BreakerState.OPEN, 2)
    assert endpoint.release_at == workshop.clock() + 2 * BREAKER.pause
    retries = [r for r in await workshop.store.waiting(limit=99) if r.kind == "retry"]
    again = parse_work(retries[-1].message.body)
    assert isinstance(again, CallbackWork)
    assert (again.chain_id, again.attempt, again.parked_at) == ("C21", 2, None)
    assert [row.chain_id for row in await parked(workshop)] == ["C22", "C23"]


async def test_only_one_of_those_that_were_released_is_the_probe(
    workshop: Workshop,
) -> None:
    """What went out just before the opening is parked again, with its first time."""
    gate = await opened(workshop)
    works = [callback(workshop, n, parked_at=NOW, parkings=1) for n in (31, 32)]
    await workshop.store.park(
        [workshop.make.parked(callback(workshop, 30), NOW)], busy_until={}
    )
    workshop.clock.advance(BREAKER.pause.total_seconds())
    await released(workshop)
    caller = HangingCaller(answered(204))
    working = worker(workshop, caller, gate)
    probing = asyncio.create_task(working(delivery(works[0])))
    async with asyncio.timeout(5):
        while not caller.posts:  # noqa: ASYNC110 - the store is asked on a thread
            await asyncio.sleep(0.01)
        await working(delivery(works[1]))
    assert [row.chain_id for row in await parked(workshop)] == ["C32"]
    caller.let.set()
    await probing
    assert (await the_endpoint(workshop)).state is BreakerState.CLOSED


async def test_a_worker_whose_probe_died_is_followed_by_another(
    workshop: Workshop,
) -> None:
    """The lease ends, and the next parked callback is the probe."""
    gate = await open_with_rows(workshop)
    workshop.clock.advance(BREAKER.pause.total_seconds())
    (lost,) = await released(workshop)
    assert not isinstance(await gate.enter(lost), Kept)
    workshop.clock.advance(BREAKER.lease.total_seconds())
    (probe,) = await released(workshop)
    assert probe.chain_id == "C22"
    await worker(workshop, FakeCaller([answered(204)]), gate)(delivery(probe))
    assert (await the_endpoint(workshop)).state is BreakerState.CLOSED


async def test_attempts_from_before_the_opening_do_not_count_after_it(
    workshop: Workshop,
) -> None:
    """What hung meanwhile says nothing of the endpoint that is well again."""
    gate = workshop.gate()
    caller = HangingCaller(TIMEOUT)
    working = worker(workshop, caller, gate)
    tasks = [
        asyncio.create_task(working(delivery(callback(workshop, number))))
        for number in range(BREAKER.attempts_min)
    ]
    await asyncio.sleep(0)
    origin = callback(workshop, 0).endpoint
    closed = breaker.fresh(origin, NOW)
    gate.learn(news_of(replace(closed, version=2)))
    caller.let.set()
    await asyncio.gather(*tasks)
    assert len(caller.posts) == BREAKER.attempts_min
    assert await workshop.store.endpoints() == []


async def test_an_opening_that_cannot_be_written_stops_nobody(
    workshop: Workshop, lose_store: LoseStore
) -> None:
    """The store is away: the callbacks are answered all the same."""
    lose_store("endpoint", "change_endpoint")
    gate = workshop.gate()
    working = worker(workshop, FakeCaller([TIMEOUT] * 12), gate)
    for number in range(12):
        await working(delivery(callback(workshop, number)))
    assert workshop.publisher.types == ["callback.retrying"] * 12


async def test_what_was_purged_is_forgotten(workshop: Workshop) -> None:
    """Memory is that of endpoints with a row (G8), and their callbacks go through."""
    gate = await opened(workshop)
    news = news_of(await the_endpoint(workshop))
    workshop.clock.advance(timedelta(days=2).total_seconds())
    await workshop.clock_worker().purge_due()
    assert await workshop.store.endpoints() == []
    await gate.refresh()
    assert not gate._known
    assert not isinstance(await gate.enter(callback(workshop, 1)), Kept)
    gate.learn(news)  # was late, and is corrected by the next reading
    await gate.refresh()
    assert not gate._known


async def test_what_was_purged_and_made_anew_is_learned(workshop: Workshop) -> None:
    """By the news alone, before anybody has read that the earlier one was purged."""
    gate = await opened(workshop)
    workshop.clock.advance(timedelta(days=2).total_seconds())
    await workshop.clock_worker().purge_due()
    later = workshop.publisher.events
    endpoint, _ = await workshop.switchboard.change(
        callback(workshop, 1).endpoint, lambda e: breaker.paused(e, None, NOW)
    )
    gate.learn(news_of(endpoint))
    assert await gate.enter(callback(workshop, 1)) is Kept.PAUSED
    ids = [event.id for event in (*later, *workshop.publisher.events)]
    assert len(ids) == len(set(ids)) + len(later)


async def test_what_is_told_while_rows_are_read_stays(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows may have been read before what it tells of was written."""
    gate = workshop.gate()
    origin = callback(workshop, 1).endpoint
    before = replace(breaker.fresh(origin, NOW), version=3)
    gate.learn(news_of(before))

    async def nothing() -> list[Endpoint]:
        gate.learn(news_of(replace(before, version=4, paused_at=NOW)))
        return []

    monkeypatch.setattr(workshop.store, "endpoints", nothing)
    await gate.refresh()
    assert await gate.enter(callback(workshop, 1)) is Kept.PAUSED


async def test_what_was_counted_long_ago_is_forgotten(workshop: Workshop) -> None:
    """Memory is that of endpoints with traffic (G8)."""
    gate = workshop.gate()
    await worker(workshop, FakeCaller([TIMEOUT]), gate)(delivery(callback(workshop, 1)))
    await gate.refresh()
    assert len(gate._tallies) == 1
    workshop.clock.advance(BREAKER.window.total_seconds() + 1)
    await gate.refresh()
    assert not gate._tallies


async def test_a_callback_that_waits_for_its_retry_is_not_parked(
    workshop: Workshop,
) -> None:
    """One that finds its endpoint well is attempted at once, as ever."""
    await post(workshop, workshop.callback(SLOT, TOKEN), answered(503))
    assert await parked(workshop) == []
    assert await workshop.store.endpoints() == []


async def test_the_clock_publishes_what_was_parked_and_nothing_else_of_it(
    workshop: Workshop,
) -> None:
    """A row goes out when its endpoint may be asked, not when its time has come."""
    await workshop.store.park(
        [workshop.make.parked(callback(workshop, 1), NOW)], busy_until={}
    )
    workshop.clock.advance(timedelta(days=1).total_seconds())
    assert await workshop.clock_worker().publish_due() == 0
    (work,) = await released(workshop)
    assert (work.chain_id, work.endpoint) == ("C1", origin_of(TARGET))
    assert await parked(workshop) == []


def test_news_that_cannot_be_read_name_the_field() -> None:
    """Without the value."""
    with pytest.raises(NewsInvalid, match="version") as caught:
        parse_news(b'{"endpoint":"x","version":"MARKER","state":"open","paused":true}')
    assert "MARKER" not in str(caught.value)


async def test_what_is_parked_at_once_is_one_transaction(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is written at once, all that come meanwhile together next."""
    sizes: list[int] = []
    go, park = asyncio.Event(), workshop.store.park

    async def counting(
        rows: Sequence[Waiting], *, busy_until: Mapping[str, datetime]
    ) -> None:
        sizes.append(len(rows))
        await go.wait()
        await park(rows, busy_until=busy_until)

    gate = await paused(workshop)
    monkeypatch.setattr(workshop.store, "park", counting)
    working = worker(workshop, FakeCaller(), gate)
    tasks = [asyncio.create_task(working(delivery(callback(workshop, 0))))]
    while not sizes:  # noqa: ASYNC110 - it is written within a few turns of the loop
        await asyncio.sleep(0)
    tasks += [
        asyncio.create_task(working(delivery(callback(workshop, number))))
        for number in range(1, 20)
    ]
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(*tasks)
    assert sizes == [1, 19]
    assert len(await parked(workshop)) == 20
