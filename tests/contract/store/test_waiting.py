"""The port `Store`: waiting rows and their leases."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from orchestrator.ports import Message, Store, Waiting
from tests.contract.store.samples import LEASE, NOW, SECOND, a_message, a_row


async def take(
    store: Store, late_s: int = 0, *, owner: str = "clock-1", limit: int = 10
) -> list[str]:
    """The ids of the rows that a clock gets."""
    now = NOW + late_s * SECOND
    rows = await store.take_due_waiting(now, owner=owner, lease=LEASE, limit=limit)
    return [row.id for row in rows]


async def test_a_row_comes_back_as_it_was(store: Store) -> None:
    """Every field of the row and of its message, bytes and header types included."""
    message = Message(
        id="e1:work",
        routing_key="acme",
        body=b"\x00\xff{",
        exchange="chain.events",
        content_type="application/cloudevents+json",
        correlation_id="c1",
        headers={"attempt": 3, "reason": "päuse\x00"},
    )
    row = Waiting(
        id="w1",
        kind="outbox",
        due_at=NOW,
        created_at=NOW - SECOND,
        message=message,
        chain_id="C1",
        endpoint="https://example.org:443",
    )
    await store.put_waiting(row)

    assert await store.waiting(limit=1) == [row]
    assert await store.take_due_waiting(NOW, owner="o", lease=LEASE, limit=1) == [row]


async def test_a_row_that_waits_already_stays_as_it_is(store: Store) -> None:
    """Putting it again, even with others, moves nothing."""
    await store.put_waiting(a_row("w1"))
    moved = replace(a_row("w1"), due_at=NOW + LEASE, message=a_message("else"))
    await store.put_waiting(moved, a_row("w2"))

    assert await store.waiting(limit=9) == [a_row("w1"), a_row("w2")]


async def test_a_row_is_replaced_by_its_id(store: Store) -> None:
    """All of it is the new one, only its place among the others stays the first one's."""
    await store.put_waiting(a_row("w1", chain_id="C1"), a_row("w2"))
    moved = replace(a_row("w1"), due_at=NOW + LEASE, message=a_message("else"))
    await store.replace_waiting(moved)
    await store.replace_waiting(a_row("w3"))

    assert await store.waiting(limit=9) == [a_row("w2"), a_row("w3"), moved]
    await store.replace_waiting(a_row("w1"))
    assert await take(store) == ["w1", "w2", "w3"]


async def test_a_row_that_was_replaced_is_nobodys(store: Store) -> None:
    """Whoever held it held another one."""
    await store.put_waiting(a_row("w1"))
    assert await take(store) == ["w1"]
    await store.replace_waiting(a_row("w1", due_at=NOW + SECOND))

    assert await take(store) == []
    assert await take(store, 1) == ["w1"]


async def test_a_row_is_never_gone_while_it_is_replaced(
    store: Store, other: Store
) -> None:
    """Whoever looks meanwhile, as after a crash, finds the one or the other."""
    await store.put_waiting(a_row("w1"))
    seen: list[int] = []

    async def look() -> None:
        while len(seen) < 50:
            seen.append(len(await other.waiting(limit=9)))

    looking = asyncio.ensure_future(look())
    while not looking.done():
        await store.replace_waiting(a_row("w1", due_at=NOW + len(seen) * SECOND))
    await looking
    assert set(seen) == {1}


async def test_rows_are_listed_by_due_time(store: Store) -> None:
    """All of them or one chain's, at most the limit."""
    late = a_row("w1", due_at=NOW + SECOND, chain_id="C1")
    other = a_row("w2", chain_id="C2")
    early = a_row("w3", due_at=NOW - SECOND, chain_id="C1")
    await store.put_waiting(late, other, early)

    assert await store.waiting(limit=2) == [early, other]
    assert await store.waiting(chain_id="C1", limit=9) == [early, late]


async def test_due_rows_are_taken_oldest_first(store: Store) -> None:
    """By due time, then by how long they have waited, then as they were written."""
    await store.put_waiting(
        a_row("not-due", due_at=NOW + SECOND),
        a_row("c", due_at=NOW - SECOND),
        a_row("e"),
        a_row("d", created_at=NOW - SECOND),
        a_row("b", due_at=NOW - 2 * SECOND),
        a_row("a", due_at=NOW - 2 * SECOND),
    )

    assert await take(store, limit=4) == ["b", "a", "c", "d"]
    assert await take(store, limit=4) == ["e"]


async def test_a_leased_row_is_nobody_elses_until_the_lease_is_over(
    store: Store, other: Store
) -> None:
    """Nor is it given twice to the same owner."""
    await store.put_waiting(a_row("w1"))

    assert await take(store, owner="clock-1") == ["w1"]
    assert await take(store, owner="clock-1") == []
    assert await take(other, 29, owner="clock-2") == []
    assert await take(other, 30, owner="clock-2") == ["w1"]
    assert await take(store, 59, owner="clock-1") == []


async def test_a_dropped_row_is_gone(store: Store) -> None:
    """Leased or not; ids that are not there are no error."""
    await store.put_waiting(a_row("w1"), a_row("w2"), a_row("w3"))
    await take(store, limit=1)

    await store.drop_waiting(["w1", "w2", "never"])

    assert await store.waiting(limit=9) == [a_row("w3")]
    assert await take(store, 60) == ["w3"]


async def test_no_rows_are_no_error(store: Store) -> None:
    """Empty batches happen."""
    await store.put_waiting()
    await store.drop_waiting([])

    assert await take(store) == []
