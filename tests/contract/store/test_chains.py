"""The port `Store`: chains, steps and decisions."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy.exc import StatementError

from orchestrator.domain.chain import Chain, ChainState, Slot, Step, StepState, View
from orchestrator.domain.errors import UnknownChain
from orchestrator.ports import ChainRow, Changes, Store, outbox_row
from orchestrator.store import StatementRefused
from tests.contract.store.samples import (
    LEASE,
    NOW,
    SECOND,
    a_chain,
    a_message,
    a_step,
)

SLOT = Slot(chain_id="C1", step=1)


def nothing(view: View) -> tuple[View, Changes]:
    """A rule that only looks."""
    return view, Changes()


async def test_begin_chain_writes_the_chain_its_step_and_its_events(store: Store) -> None:
    """All three are there afterwards; the events wait for two seconds in the outbox."""
    await store.begin_chain(a_chain(), a_step(), [a_message("m1"), a_message("m2")])

    assert await store.chain("C1") == a_chain()
    assert await store.steps("C1") == [a_step()]
    assert await store.waiting(limit=10) == [
        outbox_row(a_message("m1"), "C1", NOW),
        outbox_row(a_message("m2"), "C1", NOW),
    ]


async def test_begin_chain_refuses_a_chain_that_is_there(store: Store) -> None:
    """A second chain with the same id changes nothing."""
    await store.begin_chain(a_chain(), a_step(), [])
    with pytest.raises(StatementRefused):
        await store.begin_chain(
            a_chain(requestor="else"), a_step(step=2), [a_message("m1")]
        )

    assert await store.chain("C1") == a_chain()
    assert await store.steps("C1") == [a_step()]
    assert await store.waiting(limit=10) == []


async def test_every_field_comes_back_as_it_was(store: Store) -> None:
    """Chain and step keep all they hold, times to the microsecond and in UTC."""
    chain = replace(
        a_chain(),
        state=ChainState.FAILED,
        ended_at=NOW,
        reason="wörds",
        idempotency="i",
        body_hash="b",
        purged_at=NOW,
        replayed_at=NOW,
    )
    step = replace(
        a_step(check_at=NOW + LEASE, token_hash="t"),
        session_type="disclosing",
        cause="e1",
        in_flow=True,
        deadline=NOW + SECOND,
        forwarded_at=NOW,
        completed_at=NOW,
        live_at=NOW - SECOND,
        chained=True,
        announced=True,
        session_timeout_s=5_000_000_000,
        lease_owner="worker-1",
        lease_until=NOW + LEASE,
        answer_hash="a",
        reply_hash="h",
        repeats=2,
        final_status="DONE",
        reason="why",
        sealed_request="r",
        sealed_prepared="p",
        sealed_package="k",
        sealed_token="t",
        sealed_result="s",
    )
    assert None not in {getattr(step, field.name) for field in fields(Step)}
    assert None not in {getattr(chain, field.name) for field in fields(Chain)}

    await store.begin_chain(chain, step, [])

    assert await store.chain("C1") == chain
    assert await store.step(SLOT) == step
    assert isinstance((await store.steps("C1"))[0].state, StepState)


async def test_a_time_of_another_zone_is_the_same_moment(store: Store) -> None:
    """Zones do not change when something is due."""
    local = NOW.astimezone(timezone(timedelta(hours=2)))
    await store.begin_chain(a_chain(created_at=local), a_step(check_at=local), [])

    assert (await store.chain("C1")) == a_chain(created_at=NOW)
    assert await store.take_due_steps(NOW - SECOND, lease=LEASE, limit=1) == []
    assert len(await store.take_due_steps(NOW, lease=LEASE, limit=1)) == 1


async def test_a_time_without_a_zone_is_refused(store: Store) -> None:
    """Nobody would know which moment it is."""
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - the point of the test
    with pytest.raises(StatementError, match="without a time zone"):
        await store.begin_chain(a_chain(created_at=naive), a_step(), [])


async def test_what_is_not_there_is_none(store: Store) -> None:
    """Looking for unknown things is no error."""
    assert await store.chain("C1") is None
    assert await store.step(SLOT) is None
    assert await store.step_by_token("t") is None
    assert await store.steps("C1") == []
    assert await store.chains(limit=10) == []


async def test_an_id_that_no_database_can_hold_is_of_no_chain(store: Store) -> None:
    """It may come from a URL, as `%00`; PostgreSQL would refuse the statement."""
    assert await store.chain("C1\0") is None


async def test_decide_needs_a_chain(store: Store) -> None:
    """A rule is not asked about a chain that does not exist; no repeat would help."""

    def never(_: View) -> tuple[None, Changes]:
        raise AssertionError

    with pytest.raises(UnknownChain, match="C1"):
        await store.decide(SLOT, never)


async def test_a_rule_sees_what_is_around_its_slot(store: Store) -> None:
    """Chain, the slot's row, the following one, and the store's time."""
    await store.begin_chain(a_chain(), a_step(), [])
    expected = View(chain=a_chain(), step=a_step(), following=None, now=NOW)
    assert await store.decide(SLOT, nothing) == expected

    third = a_step(step=3)
    await store.decide(SLOT, lambda _: (None, Changes(steps=(third,))))
    view = await store.decide(SLOT.following, nothing)
    assert (view.step, view.following) == (None, third)


async def test_a_rule_sees_its_own_generation_and_chain_only(store: Store) -> None:
    """Rows of a replay or of another chain are not around the slot."""
    await store.begin_chain(a_chain(), a_step(generation=1), [])
    await store.begin_chain(a_chain("C2"), a_step("C2"), [])

    view = await store.decide(SLOT, nothing)

    assert (view.step, view.following) == (None, None)


async def test_decide_writes_everything_in_one_transaction(store: Store) -> None:
    """Rows are replaced or created, the chain too, and messages join the outbox."""
    await store.begin_chain(a_chain(), a_step(), [])
    done = replace(a_step(), state=StepState.COMPLETED, sealed_result="s")
    offered = a_step(step=2, state=StepState.OFFERED, check_at=NOW)
    failed = a_chain(state=ChainState.FAILED)
    changes = Changes(steps=(done, offered), chain=failed, outbox=(a_message("m1"),))

    assert await store.decide(SLOT, lambda _: ("outcome", changes)) == "outcome"

    assert await store.steps("C1") == [done, offered]
    assert await store.chain("C1") == failed
    assert await store.waiting(limit=10) == [outbox_row(a_message("m1"), "C1", NOW)]


async def test_a_rule_that_raises_changes_nothing(store: Store) -> None:
    """The error reaches the caller; the chain can be decided upon afterwards."""
    await store.begin_chain(a_chain(), a_step(), [])

    def broken(_: View) -> tuple[None, Changes]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.decide(SLOT, broken)
    assert (await store.decide(SLOT, nothing)).step == a_step()


async def test_changes_that_cannot_be_written_are_not_written_in_part(
    store: Store,
) -> None:
    """A row of a chain that does not exist takes the others with it."""
    await store.begin_chain(a_chain(), a_step(), [])
    changes = Changes(steps=(a_step(step=2), a_step("C9")), outbox=(a_message(),))

    with pytest.raises(StatementRefused):
        await store.decide(SLOT, lambda _: (None, changes))

    assert await store.steps("C1") == [a_step()]
    assert await store.waiting(limit=10) == []


async def test_the_outbox_tells_whose_messages_wait(store: Store) -> None:
    """An operator who asks about a chain sees its own, from its start and later."""

    def telling(view: View) -> tuple[None, Changes]:
        return None, Changes(outbox=(a_message(f"{view.chain.id}-decided"),))

    for chain_id in ("C1", "C2"):
        await store.begin_chain(
            a_chain(chain_id), a_step(chain_id), [a_message(f"{chain_id}-begun")]
        )
        await store.decide(Slot(chain_id=chain_id, step=1), telling)

    rows = await store.waiting(chain_id="C2", limit=9)

    assert [row.id for row in rows] == ["C2-begun", "C2-decided"]


async def test_a_message_that_waits_already_stays_as_it_is(store: Store) -> None:
    """An event that is decided upon again has the same id; one row is enough."""
    await store.begin_chain(a_chain(), a_step(), [a_message("m1")])
    again = replace(a_message("m1"), body=b"again")

    await store.decide(SLOT, lambda _: (None, Changes(outbox=(again,))))

    [row] = await store.waiting(limit=10)
    assert row.message == a_message("m1")


async def test_chains_are_listed_newest_first_with_their_sessions(store: Store) -> None:
    """The slot that holds the chain's end is no session."""
    for n in range(3):
        chain = a_chain(f"C{n}", created_at=NOW + n * SECOND)
        await store.begin_chain(chain, a_step(f"C{n}"), [])
    end = a_step("C1", 3, state=StepState.END)
    changes = Changes(steps=(a_step("C1", 2), end))
    await store.decide(Slot(chain_id="C1", step=1), lambda _: (None, changes))

    rows = await store.chains(limit=2)

    assert [(row.chain.id, row.steps) for row in rows] == [("C2", 1), ("C1", 2)]


async def test_chains_can_be_asked_for_by_state_and_requestor(store: Store) -> None:
    """Both filters narrow the list."""
    failed = a_chain("C1", state=ChainState.FAILED)
    await store.begin_chain(failed, a_step("C1"), [])
    await store.begin_chain(a_chain("C2"), a_step("C2"), [])
    await store.begin_chain(a_chain("C3", requestor="else"), a_step("C3"), [])

    assert await store.chains(limit=9, state="failed") == [
        ChainRow(chain=failed, steps=1)
    ]
    by_both = await store.chains(limit=9, state="running", requestor="acme")
    assert [row.chain.id for row in by_both] == ["C2"]
    assert await store.chains(limit=9, state="failed", requestor="else") == []


async def test_steps_come_by_generation_and_step(store: Store) -> None:
    """A replay's rows follow those it replays."""
    await store.begin_chain(a_chain(), a_step(), [])
    replayed, second = a_step(step=1, generation=1), a_step(step=2)
    await store.decide(SLOT, lambda _: (None, Changes(steps=(replayed, second))))

    assert await store.steps("C1") == [a_step(), second, replayed]


async def test_a_session_is_found_by_its_token(store: Store) -> None:
    """Only its own hash finds a row."""
    step = a_step(token_hash="hash-1")
    await store.begin_chain(a_chain(), step, [])
    await store.begin_chain(a_chain("C2"), a_step("C2"), [])

    assert await store.step_by_token("hash-1") == step
    assert await store.step_by_token("hash-2") is None


async def test_due_steps_are_taken_oldest_first_and_moved_on(store: Store) -> None:
    """What was taken is not due again before the lease is over."""
    times = {"C1": 0 * SECOND, "C2": -2 * SECOND, "C3": SECOND, "C4": -SECOND}
    for chain_id, late in times.items():
        step = a_step(chain_id, check_at=NOW + late)
        await store.begin_chain(a_chain(chain_id), step, [])
    await store.begin_chain(a_chain("C5"), a_step("C5", check_at=None), [])

    first = await store.take_due_steps(NOW, lease=LEASE, limit=2)
    second = await store.take_due_steps(NOW, lease=LEASE, limit=2)

    assert [step.slot.chain_id for step in first] == ["C2", "C4"]
    assert [step.slot.chain_id for step in second] == ["C1"]
    assert await store.step(first[0].slot) == first[0]
    assert first[0].check_at == NOW + LEASE
    again = await store.take_due_steps(NOW + LEASE, lease=LEASE, limit=9)
    assert {step.slot.chain_id for step in again} == {"C1", "C2", "C3", "C4"}
