"""The port `Store`: a generation is closed, and what waits of it goes, all at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from orchestrator.domain.chain import ChainState, Slot, View
from orchestrator.ports import Changes, Store, Waiting
from orchestrator.store import StatementRefused
from tests.contract.store.samples import LEASE, NOW, a_chain, a_message, a_row, a_step

SLOT = Slot(chain_id="C1", step=1)
OPENED = replace(a_chain(), generation=1, replayed_at=NOW)


def over(row: Waiting) -> bool:
    """Whether a row goes with its generation."""
    return row.kind == "retry"


def waits(name: str, kind: str = "retry", chain_id: str = "C1") -> Waiting:
    """A row that waits for a chain."""
    return replace(a_row(name, chain_id=chain_id), kind=kind)


async def ids(store: Store) -> list[str]:
    """Which rows wait."""
    return [row.id for row in await store.waiting(limit=9)]


async def test_what_waits_of_a_closed_generation_goes(store: Store) -> None:
    """Of this chain only, leased or not; what the rule puts itself comes after that."""
    await store.begin_chain(a_chain(), a_step(), [])
    await store.put_waiting(waits("leased"))
    await store.take_due_waiting(NOW, owner="clock-1", lease=LEASE, limit=1)
    await store.put_waiting(
        waits("w1"), waits("kept", "cancel"), waits("else", chain_id="C2")
    )
    first = a_step(generation=1)
    put = a_message("again")
    changes = Changes(steps=(first,), chain=OPENED, outbox=(put,), forget=over)

    await store.decide(SLOT, lambda _: (None, changes))

    assert sorted(await ids(store)) == ["again", "else", "kept"]
    assert await store.chain("C1") == OPENED
    assert await store.steps("C1") == [a_step(), first]


async def test_without_a_word_nothing_that_waits_goes(store: Store) -> None:
    """Most decisions leave the chain's waiting rows alone."""
    await store.begin_chain(a_chain(), a_step(), [])
    await store.put_waiting(waits("w1"))

    await store.decide(SLOT, lambda _: (None, Changes(chain=OPENED)))

    assert await ids(store) == ["w1"]


async def test_what_waits_stays_if_the_generation_does(store: Store) -> None:
    """A change that cannot be written as a whole takes nothing with it."""
    await store.begin_chain(a_chain(), a_step(), [])
    await store.put_waiting(waits("w1"))
    changes = Changes(steps=(a_step("C9"),), chain=OPENED, forget=over)

    with pytest.raises(StatementRefused):
        await store.decide(SLOT, lambda _: (None, changes))

    assert await ids(store) == ["w1"]
    assert await store.chain("C1") == a_chain()


async def test_of_two_who_close_a_generation_one_does(store: Store, other: Store) -> None:
    """The second sees under the chain's lock what the first has written."""
    failed = a_chain(state=ChainState.FAILED)
    await store.begin_chain(failed, a_step(), [])

    def close(view: View) -> tuple[bool, Changes]:
        if view.chain.generation:
            return False, Changes()
        return True, Changes(chain=OPENED, forget=over)

    closed = await asyncio.gather(store.decide(SLOT, close), other.decide(SLOT, close))

    assert sorted(closed) == [False, True]


async def test_a_row_that_a_clock_is_taking_does_not_keep_it_from_going(
    store: Store, other: Store
) -> None:
    """Neither waits for ever for the other, whoever is first."""
    await store.begin_chain(a_chain(), a_step(), [])
    await store.put_waiting(*(waits(f"w{n}") for n in range(20)))
    changes = Changes(chain=OPENED, forget=over)

    async def takes() -> None:
        for _ in range(5):
            await other.take_due_waiting(NOW, owner="clock-2", lease=LEASE, limit=4)

    await asyncio.gather(store.decide(SLOT, lambda _: (None, changes)), takes())

    assert await ids(store) == []


async def test_a_session_is_found_in_its_newest_generation(store: Store) -> None:
    """What was carried over knows what follows the session now."""
    first = a_step(token_hash="hash-1")
    carried = a_step(generation=1, token_hash="hash-1")
    await store.begin_chain(a_chain(), first, [])
    await store.decide(SLOT, lambda _: (None, Changes(steps=(carried,), chain=OPENED)))

    assert await store.step_by_token("hash-1") == carried
