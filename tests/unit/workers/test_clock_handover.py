"""The clock worker over rows of the hand-over (handover.md, H1, H2, H5)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from orchestrator.domain import handover
from orchestrator.domain.chain import StepState
from orchestrator.domain.ruling import CHECK_LIVE, START_LEASE
from orchestrator.ports import Changes
from schemas.messages import IntakeWork, StartWork
from tests.support.fakes import token_of
from tests.support.samples import WALL_TIME, result_of
from tests.support.workshop import Workshop
from tests.unit.workers.answering import (
    SECOND,
    forward,
    forwarded,
    looked_up,
    offered,
)


async def test_an_offer_that_nobody_took_is_detached(workshop: Workshop) -> None:
    """After five seconds its gateway is gone; its start goes out with it."""
    begun = await offered(workshop)
    workshop.clock.advance(5)
    assert await workshop.beat() == 1
    await workshop.settled()
    assert (await workshop.row(begun.slot.following)).state is StepState.DETACHED
    (start,) = workshop.publisher.work
    assert isinstance(start, StartWork)
    assert (start.chain_id, start.step, start.requestor) == (begun.id, 2, "acme")
    assert await workshop.waiting() == []


async def test_an_offer_is_left_alone_before_its_time(workshop: Workshop) -> None:
    """Its gateway still has the word."""
    begun = await offered(workshop)
    workshop.clock.advance(4.9)
    assert await workshop.beat() == 0
    assert (await workshop.row(begun.slot.following)).state is StepState.OFFERED


async def test_a_row_that_went_on_meanwhile_is_left_alone(workshop: Workshop) -> None:
    """Its gateway was quicker than the clock: nothing is started twice (G2)."""
    begun = await offered(workshop)
    row = begun.slot.following
    stale = await workshop.row(row)
    await forward(workshop, begun)
    await workshop.clock_worker().looker._check(stale)
    await workshop.settled()
    assert (await workshop.row(row)).state is StepState.FORWARDED
    assert workshop.publisher.messages == []


async def test_a_session_that_cannot_be_started_expires_with_its_chain(
    workshop: Workshop,
) -> None:
    """The backend was away for the whole life of the chain."""
    begun = await offered(workshop)
    row = begun.slot.following
    await workshop.rulings.by_outbox(row, lambda view: handover.detach(view, row))
    workshop.clock.advance(WALL_TIME.total_seconds() + 1)
    workshop.backend.unreachable = True
    await workshop.beat()
    assert (await workshop.row(row)).state is StepState.EXPIRED
    assert (await workshop.chain(begun.id)).state == "expired"
    assert workshop.publisher.types == ["session.expired", "chain.expired"]
    assert workshop.publisher.work == []


async def test_a_session_that_a_message_may_tell_of_is_not_lost(
    workshop: Workshop,
) -> None:
    """Where its predecessor is unknown, a state that waits may hold its token (H2)."""
    begun = await forwarded(workshop)
    slot = begun.slot.following
    await workshop.report(slot, result_of(SECOND, "CANCELLED", None))
    workshop.backend.results.pop(begun.token, None)
    workshop.clock.advance(61)
    await workshop.clock_worker().looker._check(await workshop.row(slot))
    await workshop.settled()
    assert (await workshop.row(slot)).state is StepState.FORWARDED


async def test_what_is_stored_counts_more_than_a_message_that_waits(
    workshop: Workshop,
) -> None:
    """A predecessor that is stored CANCELLED has no successor: an orphan tells (H1)."""
    begun = await forwarded(workshop)
    slot = begun.slot.following
    await workshop.report(slot, result_of(SECOND, "TIMEOUT", None))
    workshop.clock.advance(0.3)
    cancelled = result_of(begun.token, "CANCELLED", None)
    assert await looked_up(workshop, begun, cancelled, 0) is StepState.DETACHED


async def test_a_start_whose_worker_died_is_asked_for_again(workshop: Workshop) -> None:
    """When the lease is over, another worker may have it."""
    begun = await offered(workshop)
    row = begun.slot.following
    await workshop.rulings.by_outbox(row, lambda view: handover.detach(view, row))
    await workshop.rulings.by_outbox(
        row, lambda view: handover.lease_start(view, row, owner="dead")
    )
    workshop.clock.advance(START_LEASE.total_seconds())
    await workshop.beat()
    (start,) = workshop.publisher.work
    assert isinstance(start, StartWork)
    await workshop.starter().start(row)
    assert (await workshop.row(row)).state is StepState.LIVE


async def test_a_session_that_the_irma_server_has_stored_is_live(
    workshop: Workshop,
) -> None:
    """DONE with a next token: the token is kept, the start is told (H1)."""
    begun = await forwarded(workshop)
    done = result_of(begun.token, "DONE", nextSession=SECOND)
    assert await looked_up(workshop, begun, done) is StepState.LIVE
    row = await workshop.row(begun.slot.following)
    assert workshop.rows.token(row) == SECOND
    assert row.token_hash == workshop.sealer.token_hash(SECOND)
    assert row.check_at == workshop.clock.now + CHECK_LIVE
    assert workshop.publisher.types == ["session.started"]
    assert SECOND.encode() not in workshop.publisher.messages[0].body


@pytest.mark.parametrize("status,proof", [("DONE", "VALID"), ("CANCELLED", None)])
async def test_a_session_that_was_never_started_is_detached(
    workshop: Workshop, status: str, proof: str | None
) -> None:
    """The first one is final without a next session: it is ours to start."""
    begun = await forwarded(workshop)
    found = result_of(begun.token, status, proof)
    assert await looked_up(workshop, begun, found) is StepState.DETACHED
    (start,) = workshop.publisher.work
    assert isinstance(start, StartWork)


async def test_what_the_irma_server_has_not_decided_is_looked_up_again(
    workshop: Workshop,
) -> None:
    """After 10 s, doubling to 60 s (H5)."""
    begun = await forwarded(workshop)
    running = result_of(begun.token, "CONNECTED")
    pauses = []
    for _ in range(5):
        row = await workshop.row(begun.slot.following)
        assert row.check_at is not None
        due_s = (row.check_at - workshop.clock.now).total_seconds()
        pauses.append(due_s)
        state = await looked_up(workshop, begun, running, due_s)
        assert state is StepState.FORWARDED
    assert pauses == [10, 10, 20, 40, 60]
    assert workshop.publisher.messages == []


@pytest.mark.parametrize(
    "after_s,state", [(59, StepState.FORWARDED), (61, StepState.DETACHED)]
)
async def test_a_timeout_is_believed_after_a_minute(
    workshop: Workshop, after_s: float, state: StepState
) -> None:
    """A handler may still be at work on a copy (H1)."""
    begun = await forwarded(workshop)
    timeout = result_of(begun.token, "TIMEOUT")
    assert await looked_up(workshop, begun, timeout, after_s) is state


@pytest.mark.parametrize(
    "after_s,state",
    [
        (59, StepState.FORWARDED),
        (61, StepState.DETACHED),
        (239, StepState.DETACHED),
        (241, StepState.FORWARDED),
        (1_800, StepState.FORWARDED),
        (1_861, StepState.DETACHED),
    ],
)
async def test_a_forgotten_session_is_lost_by_its_times(
    workshop: Workshop, after_s: float, state: StepState
) -> None:
    """Within four minutes no purge can be why; later only when nothing can live (H2)."""
    begun = await forwarded(workshop)
    assert await looked_up(workshop, begun, None, after_s) is state


async def test_a_backend_that_is_away_decides_nothing(workshop: Workshop) -> None:
    """The row is looked up again later."""
    begun = await forwarded(workshop)
    workshop.backend.unreachable = True
    assert await looked_up(workshop, begun, None) is StepState.FORWARDED
    row = await workshop.row(begun.slot.following)
    assert row.check_at == workshop.clock.now + timedelta(seconds=10)


@pytest.mark.parametrize("status", ["DONE", None])
async def test_a_completed_session_is_looked_at_until_it_is_final(
    workshop: Workshop, status: str | None
) -> None:
    """Its callback may never come; a backend that forgot it has told us all before."""
    begun = await offered(workshop)
    if status is not None:
        workshop.backend.results[begun.token] = result_of(begun.token, status)
    workshop.clock.advance(CHECK_LIVE.total_seconds())
    await workshop.beat()
    await workshop.settled()
    row = await workshop.row(begun.slot)
    intakes = [w for w in workshop.publisher.work if isinstance(w, IntakeWork)]
    if status is None:
        assert (row.state, row.check_at, intakes) == (StepState.FINISHED, None, [])
        assert row.final_status == "DONE"
    else:
        assert row.state is StepState.COMPLETED
        assert [intake.step for intake in intakes] == [1]


async def test_each_row_is_looked_at_by_its_own_state(workshop: Workshop) -> None:
    """One beat takes all that is due, of all chains."""
    first = await forwarded(workshop)
    second = await offered(workshop)
    third = await workshop.begin()
    workshop.backend.results = {
        first.token: result_of(first.token, "DONE", nextSession=SECOND),
        second.token: result_of(second.token, "CONNECTED"),
        third.token: result_of(third.token, "INITIALIZED", None),
    }
    workshop.clock.advance(20)
    assert await workshop.beat() == 5
    states = [
        (await workshop.row(first.slot.following)).state,
        (await workshop.row(second.slot.following)).state,
        (await workshop.row(third.slot)).state,
    ]
    assert states == [StepState.LIVE, StepState.DETACHED, StepState.LIVE]
    assert third.token == token_of(3)


@pytest.mark.parametrize("step", [1, 2])
async def test_without_a_token_there_is_nothing_to_look_up(
    workshop: Workshop, step: int
) -> None:
    """The row waits for the message that brings it, and is looked at again."""
    begun = await (forwarded(workshop) if step == 2 else workshop.begin())
    row = replace(await workshop.row(begun.slot), sealed_token=None)
    changes = Changes(steps=(row,))
    await workshop.store.decide(begun.slot, lambda _: (None, changes))
    workshop.clock.advance(CHECK_LIVE.total_seconds())
    before = [row.state for row in await workshop.store.steps(begun.id)]
    assert await workshop.beat() == step
    after = await workshop.store.steps(begun.id)
    assert [row.state for row in after] == before
    assert all(row.check_at and row.check_at > workshop.clock.now for row in after)
    assert workshop.backend.asked == []
    assert workshop.publisher.messages == []
