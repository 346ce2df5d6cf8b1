"""Sealing keys in the store: what is noted of them, and which rows still name them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from orchestrator.domain import replaying
from orchestrator.domain.chain import Slot, Step, View
from orchestrator.domain.key_retirement import KeyUse
from orchestrator.ports import Changes, Message, Store
from orchestrator.sealing import Sealer
from orchestrator.store import open_store
from schemas.messages import End, EndWork, dump
from tests.contract.store.samples import NOW, SECOND, a_chain, a_row, a_step
from tests.support.fakes import FakeClock
from tests.support.replays import a_plan

HASH_KEY = b"\x02" * 32


def sealer(key_id: str) -> Sealer:
    """A sealer with this key alone."""
    return Sealer(key_id.encode().ljust(32, b"-"), key_id, HASH_KEY)


def sealed(key_id: str) -> str:
    """An envelope of this key."""
    return sealer(key_id).seal(b"MARKER", bound_to="x")


def a_sealed_message(key_id: str) -> Message:
    """Work whose secrets this key has sealed, and whose open part pretends another."""
    work = EndWork(
        id=f"w-{key_id}",
        chain_id="C1",
        step=1,
        generation=0,
        requestor="acme",
        cause='"sealed":"v1.k9.x',
        end=End.FAILED,
        reason='"sealed":"v1.k9.é\x00\\',
        sealed=sealed(key_id),
    )
    return Message(id=f"{work.id}:work", routing_key="sessions", body=dump(work))


async def test_the_first_time_stays_and_the_last_moves_on(url: str) -> None:
    """Whoever notes it; a clock that is behind moves nothing back."""
    clock = FakeClock(NOW)
    async with open_store(url, now=clock) as store:
        await store.note_keys(used=["k2"], known=["k1", "k0"])
        clock.advance(1)
        await store.note_keys(used=["k2", "k1"], known=["k3"])
        clock.advance(-2)
        await store.note_keys(used=["k2"], known=["k1"])
        uses = await store.key_uses()

    assert uses == [
        KeyUse(key_id="k0", first_seen_at=NOW),
        KeyUse(key_id="k1", first_seen_at=NOW, last_used_at=NOW + SECOND),
        KeyUse(key_id="k2", first_seen_at=NOW, last_used_at=NOW + SECOND),
        KeyUse(key_id="k3", first_seen_at=NOW + SECOND),
    ]


async def test_an_empty_store_names_no_key(store: Store) -> None:
    """Nothing is noted, and nothing sealed."""
    assert await store.key_uses() == []
    assert await store.sealed_rows() == {}


async def test_rows_are_counted_by_the_keys_that_they_name(store: Store) -> None:
    """A row counts once for each of its keys, however many of its columns name it."""
    rows = {
        "C1": replace(
            a_step("C1"), sealed_request=sealed("k1"), sealed_result=sealed("k1")
        ),
        "C2": replace(
            a_step("C2"), sealed_request=sealed("k1"), sealed_token=sealed("k2")
        ),
        "C3": replace(a_step("C3"), sealed_package=sealed("k_3-x")),
        "C4": a_step("C4"),
        "C5": replace(a_step("C5"), sealed_prepared="no envelope", sealed_token="v1."),
    }
    for chain_id, row in rows.items():
        await store.begin_chain(a_chain(chain_id), row, [])

    assert await store.sealed_rows() == {
        "k1": {"steps": 2},
        "k2": {"steps": 1},
        "k_3-x": {"steps": 1},
    }


async def test_messages_that_wait_are_counted_by_their_sealed_part(
    store: Store,
) -> None:
    """What their open part says is not taken for an envelope; bodies may be anything."""
    bodies = {"plain": b"{}", "odd": b'\xff\x00\\"sealed":"v1.', "none": b'"sealed":""'}
    messages = {name: replace(a_row().message, body=b) for name, b in bodies.items()}
    messages |= {"first": a_sealed_message("k1"), "second": a_sealed_message("k2")}
    for name, message in messages.items():
        await store.put_waiting(replace(a_row(name), message=message))
    await store.put_waiting(replace(a_row("third"), message=a_sealed_message("k1")))

    assert await store.sealed_rows() == {"k1": {"waiting": 2}, "k2": {"waiting": 1}}


async def test_a_purge_frees_the_keys_of_its_rows(store: Store) -> None:
    """No row names them afterwards."""
    ended = replace(a_chain(), ended_at=NOW - timedelta(days=1))
    row = replace(a_step(), sealed_request=sealed("k1"), sealed_token=sealed("k1"))
    await store.begin_chain(ended, row, [])

    await store.purge(lambda _: NOW, limit=1)

    assert await store.sealed_rows() == {}


async def test_steps_are_sealed_anew_page_by_page(store: Store) -> None:
    """By chain, step and generation; nothing but secrets is written."""
    ids = ["C1", "C2", "C3"]
    for chain_id in ids:
        row = replace(a_step(chain_id), sealed_token=sealed("k1"), repeats=2)
        await store.begin_chain(a_chain(chain_id), row, [])
    again = replace(a_step("C2", generation=1), sealed_token="C2")
    await store.decide(a_step("C2").slot, lambda _: (None, Changes(steps=(again,))))

    def rule(row: Step) -> Step:
        return replace(row, sealed_token=row.slot.chain_id, repeats=9)

    seen = []
    after: Slot | None = None
    for _ in range(3):
        after, changed = await store.reseal_steps(rule, after=after, limit=2)
        seen.append((after and (after.chain_id, after.generation), changed))

    assert seen == [(("C2", 0), 2), (("C3", 0), 1), (None, 0)]
    for chain_id in ids:
        expected = replace(a_step(chain_id), sealed_token=chain_id, repeats=2)
        assert await store.step(expected.slot) == expected


async def test_waiting_messages_are_sealed_anew_page_by_page(store: Store) -> None:
    """In the order of writing; leases and times stay."""
    names = ["c", "a", "b"]
    await store.put_waiting(*(a_row(name) for name in names))

    seen = []
    after: int | None = 0
    while after is not None:
        after, changed = await store.reseal_waiting(
            lambda row: b"{}" if row.id == "a" else row.id.encode(), after=after, limit=2
        )
        seen.append(changed)

    assert seen == [1, 1, 0]
    rows = {row.id: row for row in await store.waiting(limit=9)}
    assert {name: row.message.body for name, row in rows.items()} == {
        "a": b"{}",
        "b": b"b",
        "c": b"c",
    }
    assert rows["a"] == a_row("a")


async def test_the_urls_of_plans_are_sealed_anew_page_by_page(store: Store) -> None:
    """Who has read a plan before does not set it back; one without a URL is left out."""
    old = sealed("k1")
    for name in ("R1", "R2", "R3", "R4"):
        await store.replays.add(replace(a_plan(name), sealed_url=old))
    await store.replays.add(a_plan("R5"))
    read = await store.replays.plan("R1")
    assert read is not None

    def rule(replay_id: str, envelope: str) -> str:
        return envelope if replay_id == "R3" else f"{replay_id} anew"

    seen = []
    after: str | None = ""
    while after is not None:
        after, changed = await store.replays.reseal(rule, after=after, limit=3)
        seen.append((after, changed))
    assert seen == [("R3", 2), ("R4", 1), (None, 0)]
    plans = await store.replays.plans(limit=9)
    assert [plan.sealed_url for plan in reversed(plans)] == [
        "R1 anew",
        "R2 anew",
        old,
        "R4 anew",
        None,
    ]
    stale = replaying.paused(read)
    assert stale is not None
    assert not await store.replays.change(read, stale)


async def test_writers_and_resealing_lose_nothing_of_each_other(
    store: Store, other: Store
) -> None:
    """Whoever decides upon a row meanwhile; all is sealed anew in the end."""
    slots = [Slot(chain_id=f"C{n}", step=1) for n in range(4)]
    for slot in slots:
        row = replace(a_step(slot.chain_id), sealed_token="old")
        await store.begin_chain(a_chain(slot.chain_id), row, [])

    def count(view: View) -> tuple[None, Changes]:
        assert view.step is not None
        return None, Changes(steps=(replace(view.step, repeats=view.step.repeats + 1),))

    async def reseal() -> None:
        after: Slot | None = None
        for _ in range(len(slots) + 1):
            after, _ = await other.reseal_steps(
                lambda row: replace(row, sealed_token="new"), after=after, limit=1
            )

    decisions = [store.decide(slot, count) for slot in slots for _ in range(10)]
    await asyncio.gather(reseal(), *decisions)
    await reseal()

    rows = [await store.step(slot) for slot in slots]
    assert [(row.sealed_token, row.repeats) for row in rows if row] == [("new", 10)] * 4


async def test_a_whole_chain_is_decided_upon(store: Store) -> None:
    """The rule sees all of its rows, whatever generation, and none of another chain."""
    await store.begin_chain(a_chain(), a_step(), [])
    await store.begin_chain(a_chain("C2"), a_step("C2"), [])
    replayed = a_step(generation=1)
    changes = Changes(steps=(replayed,))
    await store.decide(a_step().slot, lambda _: (None, changes))
    await store.put_waiting(a_row("w1", chain_id="C1"), a_row("w2", chain_id="C2"))
    gone = Changes(chain=replace(a_chain(), purged_at=NOW), forget=lambda _: True)

    seen = await store.decide_chain("C1", lambda *all_: (all_, gone))

    assert seen == (a_chain(), [a_step(), replayed], NOW)
    assert await store.chain("C1") == gone.chain
    assert [row.id for row in await store.waiting(limit=9)] == ["w2"]
