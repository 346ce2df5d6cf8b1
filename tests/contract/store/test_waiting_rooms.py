"""The port `Store`: what operators do with waiting rows."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final

from orchestrator.domain import breaker
from orchestrator.domain.breaker import BreakerPolicy
from orchestrator.ports import PARKED, Store, Waiting, WaitingFilter, WaitingRow
from tests.contract.store.samples import LEASE, NOW, SECOND, a_message, a_row

SHOP: Final = "https://shop.example:443"
BANK: Final = "https://bank.example:443"
ALL: Final = WaitingFilter()


def row(
    row_id: str,
    kind: str = "retry",
    *,
    due_s: int = 0,
    since_s: int = 0,
    chain_id: str | None = None,
    endpoint: str | None = None,
) -> Waiting:
    """A row that is due so long from now and waits since so long ago."""
    made = a_row(
        row_id,
        due_at=NOW + due_s * SECOND,
        created_at=NOW - since_s * SECOND,
        chain_id=chain_id,
    )
    return replace(made, kind=kind, endpoint=endpoint)


async def put_some(store: Store) -> None:
    """A row of each kind that matters here."""
    await store.park(
        [row("p1", PARKED, due_s=-9, since_s=9, chain_id="C1", endpoint=SHOP)],
        busy_until={},
    )
    await store.put_waiting(
        row("r1", due_s=60, since_s=1, chain_id="C1", endpoint=SHOP),
        row("r2", due_s=30, since_s=2, chain_id="C2", endpoint=BANK),
        row("d1", "deadline", due_s=90, since_s=3, chain_id="C2", endpoint=BANK),
        row("o1", "outbox", due_s=2),
    )


async def ids(store: Store, which: WaitingFilter = ALL) -> list[str]:
    """The ids of the rows that are meant."""
    return [row.waiting.id for row in await store.waiting_rows(which, NOW, limit=99)]


async def take(store: Store, now: datetime = NOW) -> list[str]:
    """The ids of the rows that a clock gets."""
    rows = await store.take_due_waiting(now, owner="clock-1", lease=LEASE, limit=99)
    return [row.id for row in rows]


async def test_rows_are_found_by_what_is_asked_for(store: Store) -> None:
    """By id, kind, chain, endpoint and due time, all of them together; in due order."""
    await put_some(store)
    assert await ids(store) == ["p1", "o1", "r2", "r1", "d1"]
    assert await ids(store, WaitingFilter(ids=["r1", "o1", "never"])) == ["o1", "r1"]
    assert await ids(store, WaitingFilter(kinds=["retry", "outbox"])) == [
        "o1",
        "r2",
        "r1",
    ]
    assert await ids(store, WaitingFilter(chain_id="C1")) == ["p1", "r1"]
    assert await ids(store, WaitingFilter(endpoint=BANK)) == ["r2", "d1"]
    both = WaitingFilter(endpoint=BANK, kinds=["deadline"])
    assert await ids(store, both) == ["d1"]
    assert await ids(store, WaitingFilter(ids=[])) == []
    assert await ids(store, WaitingFilter(kinds=[])) == []


async def test_what_is_parked_is_never_due(store: Store) -> None:
    """It waits for its endpoint, so no time is before its own."""
    await put_some(store)
    soon = WaitingFilter(due_before=NOW + 31 * SECOND)
    assert await ids(store, soon) == ["o1", "r2"]


async def test_pages_follow_each_other(store: Store) -> None:
    """Whatever the ties: due time, then how long it has waited, then as written."""
    rows = [row(f"w{n:02}", due_s=n % 2, since_s=n % 3) for n in range(12)]
    await store.put_waiting(*rows)
    listed = await store.waiting_rows(ALL, NOW, limit=99)
    seen: list[WaitingRow] = []
    while page := await store.waiting_rows(
        ALL, NOW, after=seen[-1] if seen else None, limit=5
    ):
        seen += page
    assert seen == listed
    assert {found.waiting.id for found in seen} == {row.id for row in rows}


async def test_a_row_in_a_clocks_hands_says_so(store: Store) -> None:
    """Until the lease is over."""
    await store.put_waiting(row("r1"), row("r2", due_s=1))
    await take(store)
    assert [found.held for found in await store.waiting_rows(ALL, NOW, limit=9)] == [
        True,
        False,
    ]
    over = NOW + LEASE
    assert not any(found.held for found in await store.waiting_rows(ALL, over, limit=9))


async def test_rows_are_counted_by_kind(store: Store) -> None:
    """All of them, whatever a list would show."""
    await put_some(store)
    assert await store.count_waiting(ALL) == {
        "deadline": 1,
        "outbox": 1,
        "parked": 1,
        "retry": 2,
    }
    assert await store.count_waiting(WaitingFilter(chain_id="C2")) == {
        "deadline": 1,
        "retry": 1,
    }


async def test_hurried_rows_are_due_the_oldest_first(store: Store) -> None:
    """Portion by portion, each once; others stay as they are."""
    await put_some(store)
    which = WaitingFilter(kinds=["retry", "deadline"])
    assert await store.hurry_waiting(which, NOW, limit=2) == {
        "d1": "deadline",
        "r2": "retry",
    }
    assert await store.hurry_waiting(which, NOW, limit=2) == {"r1": "retry"}
    assert await store.hurry_waiting(which, NOW, limit=2) == {}
    assert await take(store) == ["d1", "r2", "r1"]
    assert await store.count_waiting(WaitingFilter(kinds=["outbox", "parked"])) == {
        "outbox": 1,
        "parked": 1,
    }


async def test_a_parked_row_that_is_hurried_goes_out_once(store: Store) -> None:
    """As a retry that keeps its message, its endpoint and its first time."""
    parked = row("p1", PARKED, due_s=-9, since_s=9, chain_id="C1", endpoint=SHOP)
    await store.park([parked], busy_until={})
    assert await take(store) == []
    assert await store.hurry_waiting(ALL, NOW, limit=9) == {"p1": PARKED}
    assert await store.hurry_waiting(ALL, NOW, limit=9) == {}
    (hurried,) = await store.waiting(limit=9)
    assert hurried == replace(parked, kind="retry", due_at=NOW)
    assert await take(store) == ["p1"]


async def test_what_is_held_stays_with_its_holder(store: Store) -> None:
    """Neither hurried nor taken out, until the lease is over."""
    await store.put_waiting(row("r1"))
    await store.park([row("p1", PARKED, endpoint=SHOP)], busy_until={})
    await take(store)
    rule = partial(breaker.released, now=NOW, policy=BreakerPolicy())
    await store.release_parked(NOW, rule, owner="c", lease=LEASE, endpoints_max=9)

    assert await store.hurry_waiting(ALL, NOW, limit=9) == {}
    assert await store.swap_waiting({"r1": [a_message()], "p1": []}, NOW) == set()
    assert await ids(store) == ["r1", "p1"]
    assert await store.swap_waiting({"r1": [], "p1": []}, NOW + LEASE) == {"r1", "p1"}


async def test_a_row_is_taken_out_with_what_takes_its_place(store: Store) -> None:
    """In one transaction, in order; nothing is put for a row that is not there."""
    await store.put_waiting(row("r1", due_s=60, chain_id="C1"), row("r2", due_s=60))
    swaps = {"r1": [a_message("m1"), a_message("m2")], "gone": [a_message("m3")]}
    assert await store.swap_waiting(swaps, NOW) == {"r1"}
    assert await store.swap_waiting(swaps, NOW) == set()
    rows = await store.waiting(limit=9)
    assert [(row.id, row.kind, row.chain_id) for row in rows] == [
        ("m1", "outbox", "C1"),
        ("m2", "outbox", "C1"),
        ("r2", "retry", None),
    ]


async def test_two_who_take_a_row_out_do_so_once(store: Store, other: Store) -> None:
    """Nor does a clock get what an operator has taken out, or the other way round."""
    for number in range(8):
        row_id = f"r{number}"
        await store.put_waiting(row(row_id))
        swaps = {row_id: [a_message(f"m{number}")]}
        mine, theirs, clock = await asyncio.gather(
            store.swap_waiting(swaps, NOW), other.swap_waiting(swaps, NOW), take(other)
        )
        assert len(mine) + len(theirs) + clock.count(row_id) == 1
