"""The port `Store`: endpoints, and what is parked for them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from typing import Final

from orchestrator.domain import breaker
from orchestrator.domain.breaker import BreakerPolicy, BreakerState, Endpoint
from orchestrator.domain.happenings import endpoint_changed
from orchestrator.ports import PARKED, EndpointRow, Store, Waiting, event_message
from tests.contract.store.samples import LEASE, NOW, SECOND, a_message, a_row

SHOP: Final = "https://shop.example:443"
BANK: Final = "https://bank.example:443"
POLICY: Final = BreakerPolicy(limit=3)

OPEN: Final = Endpoint(
    origin=SHOP,
    state=BreakerState.OPEN,
    version=7,
    since=NOW - SECOND,
    release_at=NOW + SECOND,
    trips=2,
    attempts=20,
    failures=15,
    probe="callback",
    paused_at=NOW,
    note="why",
)


def parked(row_id: str, origin: str = SHOP, first: datetime = NOW) -> Waiting:
    """A callback that was first parked some time."""
    row = a_row(row_id, due_at=first, created_at=first)
    return replace(row, kind=PARKED, endpoint=origin)


async def park(store: Store, *ids: str, origin: str = SHOP) -> None:
    """Park callbacks in this order, a second apart, the last one now."""
    for number, row_id in enumerate(reversed(ids)):
        await store.park([parked(row_id, origin, NOW - number * SECOND)], busy_until={})


async def release(
    store: Store, late: timedelta = timedelta(0), *, owner: str = "clock-1"
) -> list[str]:
    """The ids of the rows that a clock gets."""
    now = NOW + late
    rule = partial(breaker.released, now=now, policy=POLICY)
    rows = await store.release_parked(
        now, rule, owner=owner, lease=LEASE, endpoints_max=8
    )
    return [row.id for row in rows]


async def change(store: Store, before: Endpoint, after: Endpoint | None) -> Endpoint:
    """A change that nobody gets in the way of."""
    assert after is not None
    assert await store.change_endpoint(before, after, ())
    return after


async def the(store: Store, origin: str = SHOP) -> Endpoint:
    """An endpoint that has a row."""
    found = await store.endpoint(origin)
    assert found is not None
    return found


async def test_an_endpoint_comes_back_as_it_was(store: Store) -> None:
    """Every field; what was never written has no row."""
    assert None not in {getattr(OPEN, field.name) for field in fields(Endpoint)}
    assert await store.endpoint(SHOP) is None
    await change(store, breaker.fresh(SHOP, NOW), OPEN)
    assert await store.endpoint(SHOP) == OPEN
    assert await store.endpoints() == [OPEN]


async def test_a_change_is_compared_and_set(store: Store, other: Store) -> None:
    """Of two who saw the same one writes; the other's outbox is not written either."""
    new = breaker.fresh(SHOP, NOW)
    mine, theirs = breaker.paused(new, "mine", NOW), breaker.paused(new, "theirs", NOW)
    assert mine is not None
    assert theirs is not None
    assert await store.change_endpoint(new, mine, [a_message("mine")])
    assert not await other.change_endpoint(new, theirs, [a_message("theirs")])
    assert await other.endpoint(SHOP) == mine
    assert [row.id for row in await store.waiting(limit=9)] == ["mine"]


async def test_many_rivals_change_it_once(store: Store, other: Store) -> None:
    """Twenty workers open the same breaker; one event is told."""
    new = breaker.fresh(SHOP, NOW)
    opened = replace(OPEN, version=1)
    done = await asyncio.gather(
        *(
            rival.change_endpoint(new, opened, [a_message(f"{rival is store}-{n}")])
            for n in range(10)
            for rival in (store, other)
        )
    )
    assert done.count(True) == 1
    assert len(await store.waiting(limit=99)) == 1


async def test_parked_rows_are_never_due(store: Store) -> None:
    """The clock leaves them, however long they wait; others go out meanwhile."""
    await park(store, "p1", "p2")
    await store.put_waiting(a_row("w1"))
    due = await store.take_due_waiting(
        NOW + timedelta(days=9), owner="o", lease=LEASE, limit=9
    )
    assert [row.id for row in due] == ["w1"]


async def test_a_row_that_is_parked_already_stays_as_it_is(store: Store) -> None:
    """A repeat after a crash changes neither its time nor its endpoint."""
    await store.park([parked("p1")], busy_until={})
    await change(store, breaker.fresh(SHOP, NOW), OPEN)
    await store.park([parked("p1", first=NOW + SECOND)], busy_until={})
    assert await store.waiting(limit=9) == [parked("p1")]
    assert await store.endpoint(SHOP) == OPEN


async def test_a_closed_endpoints_rows_are_released_in_portions(store: Store) -> None:
    """The first parked first, one portion a second, each row once."""
    await park(store, "a", "b", "c", "d", "e")
    assert await release(store) == ["a", "b", "c"]
    assert await release(store, SECOND / 2) == []
    assert await release(store, SECOND) == ["d", "e"]
    assert await release(store, 2 * SECOND) == []


async def test_a_busy_endpoint_gets_its_next_portion_later(store: Store) -> None:
    """Whoever parks what was released says so; an open one keeps its own time."""
    await park(store, "a", "b", "c", "d")
    assert await release(store) == ["a", "b", "c"]
    busy_until = NOW + breaker.BUSY_PAUSE
    await store.park([parked("a-again")], busy_until={SHOP: busy_until})
    assert await release(store, breaker.BUSY_PAUSE - SECOND) == []
    assert await release(store, breaker.BUSY_PAUSE) == ["d", "a-again"]
    await change(store, await the(store), replace(OPEN, version=1))
    await store.park([parked("b-again")], busy_until={SHOP: NOW + timedelta(days=1)})
    assert (await the(store)).release_at == OPEN.release_at


async def test_several_clocks_release_one_portion(store: Store, other: Store) -> None:
    """Whoever holds the endpoint's row; the others find that it is not yet time."""
    await park(store, *(f"p{n}" for n in range(9)))
    taken = await asyncio.gather(
        *(
            release(clock, owner=f"clock-{n}")
            for n in range(4)
            for clock in (store, other)
        )
    )
    assert sorted(chain.from_iterable(taken)) == ["p0", "p1", "p2"]


async def test_each_endpoint_has_a_portion_of_its_own(store: Store) -> None:
    """One with many rows takes nothing from the other."""
    await park(store, *(f"s{n}" for n in range(9)))
    await park(store, "b0", origin=BANK)
    assert sorted(await release(store)) == ["b0", "s0", "s1", "s2"]


async def test_an_open_endpoint_releases_its_probe(store: Store, other: Store) -> None:
    """After its pause one row, however many clocks look; the endpoint is half open."""
    await park(store, "a", "b", "c")
    opened = replace(OPEN, version=1, paused_at=None, probe=None)
    await change(store, await the(store), opened)
    assert await release(store) == []
    taken = await asyncio.gather(*(release(c, SECOND) for c in (store, other) * 3))
    assert list(chain.from_iterable(taken)) == ["a"]
    assert (await the(store)).state is BreakerState.HALF_OPEN
    assert await release(store, POLICY.lease) == []
    assert await release(store, SECOND + POLICY.lease) == ["a"]


async def test_an_open_endpoint_without_rows_stays_open(store: Store) -> None:
    """There is nothing to probe with; the first row that comes is the probe."""
    opened = replace(OPEN, version=1, paused_at=None, probe=None)
    await change(store, breaker.fresh(SHOP, NOW), opened)
    assert await release(store, timedelta(hours=1)) == []
    assert await store.endpoint(SHOP) == opened
    await park(store, "a")
    assert await release(store, timedelta(hours=1)) == ["a"]


async def test_nothing_is_released_of_a_paused_endpoint(store: Store) -> None:
    """Until it is resumed."""
    await park(store, "a")
    paused = await change(
        store, await the(store), breaker.paused(await the(store), None, NOW)
    )
    assert await release(store, timedelta(days=1)) == []
    await change(store, paused, breaker.resumed(paused, NOW))
    assert await release(store) == ["a"]


async def test_what_a_dead_clock_released_is_released_again(
    store: Store, other: Store
) -> None:
    """Its lease runs out; what was confirmed and dropped does not come back."""
    await park(store, "a", "b")
    assert await release(store) == ["a", "b"]
    await store.drop_waiting(["a"])
    assert await release(other, LEASE - SECOND) == []
    assert await release(other, LEASE) == ["b"]


async def test_endpoints_are_listed_with_what_is_parked(store: Store) -> None:
    """How many rows and since when; one without rows is there too."""
    await park(store, "a", "b", "c")
    await store.put_waiting(replace(a_row("retry"), endpoint=SHOP))
    opened = replace(OPEN, origin=BANK)
    await change(store, breaker.fresh(BANK, NOW), opened)

    rows: Sequence[EndpointRow] = await store.endpoint_rows()

    assert rows == [
        EndpointRow(endpoint=opened, parked=0, oldest_at=None),
        EndpointRow(
            endpoint=breaker.fresh(SHOP, NOW), parked=3, oldest_at=NOW - 2 * SECOND
        ),
    ]


async def test_an_endpoints_events_are_numbered_by_themselves(store: Store) -> None:
    """Its origin stands where others have their chain."""
    new = breaker.fresh(SHOP, NOW)
    paused = breaker.paused(new, None, NOW)
    assert paused is not None
    resumed = breaker.resumed(paused, NOW)
    assert resumed is not None
    told = [endpoint_changed(new, paused, NOW), endpoint_changed(paused, resumed, NOW)]
    events = [event for event in told if event is not None]
    assert len({event_message(event).id for event in events}) == 2

    written = await store.append_events(events)

    assert [(e.type, e.sequence) for e in written] == [
        ("endpoint.paused", 1),
        ("endpoint.resumed", 2),
    ]
    assert await store.events(SHOP) == written
