"""Many at once on one database: tasks of one process and of two, and real processes."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from orchestrator.domain.chain import Slot
from orchestrator.ports import Store
from orchestrator.store import open_store
from tests.contract.store.process import claim
from tests.contract.store.samples import (
    LEASE,
    NOW,
    SECOND,
    a_chain,
    a_row,
    a_step,
    an_event,
)

PROGRAM = Path(__file__).with_name("process.py")


@asynccontextmanager
async def another_process(what: str, url: str, *args: str) -> AsyncIterator[Process]:
    """A real process on the same database, killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), what, url, *args, stdin=PIPE, stdout=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def line(process: Process) -> str:
    """The next line that a process says."""
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip()


async def test_a_slot_is_claimed_once_by_many_tasks(store: Store, other: Store) -> None:
    """Twenty session workers with different answers make one next step."""
    await store.begin_chain(a_chain(), a_step(), [])
    slot = Slot(chain_id="C1", step=1)

    claims = await asyncio.gather(
        *(store.decide(slot, claim(f"a{n}")) for n in range(10)),
        *(other.decide(slot, claim(f"b{n}")) for n in range(10)),
    )

    assert claims.count(True) == 1
    assert len(await store.steps("C1")) == 2
    assert len(await store.waiting(limit=99)) == 1


async def test_a_slot_is_claimed_once_by_two_processes(url: str, store: Store) -> None:
    """Both go through the same chains from both ends; each slot is claimed by one."""
    ids = [f"C{n}" for n in range(30)]
    for chain_id in ids:
        await store.begin_chain(a_chain(chain_id), a_step(chain_id), [])

    async with (
        another_process("claim", url, "left", *ids) as left,
        another_process("claim", url, "right", *ids) as right,
    ):
        assert await line(left) == await line(right) == "ready"
        for process in (left, right):
            assert process.stdin is not None
            process.stdin.write(b"go\n")
        mine, theirs = (await line(left)).split(), (await line(right)).split()

    assert sorted(mine + theirs) == sorted(ids)
    for chain_id in ids:
        assert len(await store.steps(chain_id)) == 2


async def test_due_rows_are_taken_by_one_clock_each(store: Store, other: Store) -> None:
    """No row is given to two, none is left."""
    ids = [f"w{n}" for n in range(40)]
    await store.put_waiting(*(a_row(row_id) for row_id in ids))

    taken = await asyncio.gather(
        *(
            clock.take_due_waiting(NOW, owner=f"{n}", lease=LEASE, limit=5)
            for n in range(8)
            for clock in (store, other)
        )
    )
    left = await store.take_due_waiting(NOW, owner="last", lease=LEASE, limit=99)

    found = [row.id for rows in [*taken, left] for row in rows]
    assert sorted(found) == sorted(ids)


async def test_three_clocks_publish_every_row_once_and_in_time(
    url: str, store: Store
) -> None:
    """Each takes, publishes and drops, while more comes: none twice, the oldest first."""
    ids = [f"w{n}" for n in range(150)]
    published: list[str] = []

    async def put() -> None:
        for n in range(0, 150, 10):
            due_at = NOW - (150 - n) * SECOND
            await store.put_waiting(*(a_row(i, due_at=due_at) for i in ids[n : n + 10]))

    async def clock(owner: str) -> None:
        async with open_store(url, now=lambda: NOW) as mine:
            while len(published) < len(ids):
                rows = await mine.take_due_waiting(NOW, owner=owner, lease=LEASE, limit=7)
                assert rows == sorted(rows, key=lambda row: row.due_at)
                published.extend(row.id for row in rows)
                await mine.drop_waiting([row.id for row in rows])

    async with asyncio.timeout(30):
        await asyncio.gather(put(), *(clock(f"clock-{n}") for n in range(3)))

    assert sorted(published) == sorted(ids)
    assert await store.waiting(limit=9) == []


async def test_due_steps_are_taken_by_one_clock_each(store: Store, other: Store) -> None:
    """No step is given to two, none is left."""
    ids = [f"C{n}" for n in range(20)]
    for chain_id in ids:
        step = a_step(chain_id, check_at=NOW)
        await store.begin_chain(a_chain(chain_id), step, [])

    taken = await asyncio.gather(
        *(
            clock.take_due_steps(NOW, lease=LEASE, limit=5)
            for _ in range(4)
            for clock in (store, other)
        )
    )
    left = await store.take_due_steps(NOW, lease=LEASE, limit=99)

    found = [step.slot.chain_id for steps in [*taken, left] for step in steps]
    assert sorted(found) == sorted(ids)


async def test_what_a_killed_clock_held_is_taken_after_its_lease(
    url: str, store: Store
) -> None:
    """Killed between lease and drop: the row waits for the end of the lease."""
    await store.put_waiting(a_row("w1"))
    async with another_process("lease", url) as process:
        assert await line(process) == "w1"
        process.kill()
        await process.wait()

    early = await store.take_due_waiting(NOW, owner="next", lease=LEASE, limit=9)
    late = await store.take_due_waiting(NOW + LEASE, owner="next", lease=LEASE, limit=9)

    assert ([row.id for row in early], [row.id for row in late]) == ([], ["w1"])


async def test_a_process_killed_while_it_decides_has_decided_nothing(
    url: str, store: Store
) -> None:
    """Its lock goes with it, its changes were never there."""
    await store.begin_chain(a_chain(), a_step(), [])
    async with another_process("hang", url) as process:
        assert await line(process) == "deciding"
        process.kill()
        await process.wait()

    assert await store.decide(Slot(chain_id="C1", step=1), claim("after"))
    [_, following] = await store.steps("C1")
    assert following.answer_hash == "after"


async def test_events_are_numbered_without_a_gap_by_rivals(
    store: Store, other: Store
) -> None:
    """Two histories that overlap for a moment write each event once, in one count."""
    batches = [[an_event(f"e{n}-{m}") for m in range(5)] for n in range(6)]

    await asyncio.gather(
        *(history.append_events(batch) for batch in batches for history in (store, other))
    )

    events = await store.events("C1")
    assert [event.sequence for event in events] == list(range(1, 31))
    assert {event.id for event in events} == {e.id for batch in batches for e in batch}


async def test_a_caller_who_gives_up_leaves_nothing_open(
    store: Store, other: Store
) -> None:
    """A cancelled decision has happened or has not; the next one is not in its way."""
    await store.begin_chain(a_chain(), a_step(), [])
    slot = Slot(chain_id="C1", step=1)
    for n in range(10):
        given_up = asyncio.create_task(store.decide(slot, claim(f"given-up-{n}")))
        for _ in range(n):
            await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)

    await other.decide(slot, claim("other"))
    assert not await store.decide(slot, claim("same"))
    assert len(await store.steps("C1")) == 2
