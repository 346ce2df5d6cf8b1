"""Detached sessions are started once, under a lease (handover.md, H7 and H8)."""

from __future__ import annotations

import pytest

from orchestrator.domain.chain import ChainState, Slot, StepState
from orchestrator.domain.disclosure import required_again
from orchestrator.domain.errors import BackendRefused, StoreUnavailable
from orchestrator.domain.ruling import START_LEASE, START_PAUSE
from schemas.events import SessionStarted
from tests.support.fakes import token_of
from tests.support.samples import issuance, result_of
from tests.support.workshop import Workshop


@pytest.fixture
async def slot(workshop: Workshop) -> Slot:
    """The slot of a second session that is to be started on its own."""
    begun = await workshop.begin()
    await workshop.carry_on(workshop.callback(begun.slot, begun.token), issuance())
    workshop.publisher.calls.clear()
    return begun.slot.following


async def test_a_detached_session_becomes_live(workshop: Workshop, slot: Slot) -> None:
    """Its prepared request is started; package, token and event are there with it."""
    await workshop.starter().start(slot)
    await workshop.settled()
    row = await workshop.row(slot)
    assert (row.state, row.announced, row.lease_owner) == (StepState.LIVE, True, None)
    again = required_again(result_of(token_of(1)))
    prepared = workshop.rows.prepared(row)
    assert workshop.backend.requests[1] == prepared.with_disclose(again)
    assert workshop.rows.token(row) == token_of(2)
    package = workshop.rows.package(row)
    assert package is not None
    assert package.session_ptr.u.endswith(token_of(2))
    (started,) = workshop.publisher.events
    assert isinstance(started, SessionStarted)
    assert (started.step, started.data.in_flow) == (2, False)
    assert token_of(2).encode() not in workshop.publisher.messages[0].body


async def test_while_it_is_being_started_it_is_leased(
    workshop: Workshop, slot: Slot
) -> None:
    """Another worker keeps off until the lease is over, when the clock looks again."""

    async def another_worker() -> None:
        row = await workshop.row(slot)
        assert row.state is StepState.STARTING
        assert (row.lease_owner or "").startswith("one-")
        assert row.check_at == row.lease_until == workshop.clock.now + START_LEASE
        workshop.backend.meanwhile = None
        await workshop.starter("two").start(slot)

    workshop.backend.meanwhile = another_worker
    await workshop.starter("one").start(slot)
    assert len(workshop.backend.requests) == 2
    assert workshop.backend.cancelled == []


async def test_a_session_that_came_too_late_is_cancelled(
    workshop: Workshop, slot: Slot
) -> None:
    """The lease was over and another worker has started it: one is reachable (G2)."""

    async def much_later() -> None:
        workshop.backend.meanwhile = None
        workshop.clock.advance(START_LEASE.total_seconds())
        await workshop.starter("two").start(slot)

    workshop.backend.meanwhile = much_later
    await workshop.starter("one").start(slot)
    row = await workshop.row(slot)
    assert row.state is StepState.LIVE
    assert workshop.rows.token(row) == token_of(3)
    assert workshop.backend.cancelled == [token_of(2)]


async def test_a_session_of_a_chain_that_has_ended_meanwhile_is_cancelled(
    workshop: Workshop, slot: Slot
) -> None:
    """Nobody will ever be told of it."""

    async def chain_fails() -> None:
        workshop.backend.meanwhile = None
        workshop.clock.advance(START_LEASE.total_seconds())
        workshop.backend.refusal = BackendRefused(status=400, error="INVALID_REQUEST")
        await workshop.starter("two").start(slot)

    workshop.backend.meanwhile = chain_fails
    await workshop.starter("one").start(slot)
    assert (await workshop.row(slot)).state is StepState.FAILED
    assert workshop.backend.cancelled == [token_of(2)]


async def test_a_live_session_is_announced_again(workshop: Workshop, slot: Slot) -> None:
    """The message came again: same event, no second session (H7)."""
    await workshop.starter().start(slot)
    await workshop.settled()
    await workshop.starter().start(slot)
    first, second = workshop.publisher.events
    assert first.id == second.id
    assert len(workshop.backend.requests) == 2


async def test_while_the_backend_is_away_it_stays_detached(
    workshop: Workshop, slot: Slot
) -> None:
    """The clock tries again after a pause; no attempt is counted."""
    workshop.backend.unreachable = True
    await workshop.starter().start(slot)
    row = await workshop.row(slot)
    assert (row.state, row.lease_owner) == (StepState.DETACHED, None)
    assert row.check_at == workshop.clock.now + START_PAUSE
    workshop.backend.unreachable = False
    await workshop.starter().start(slot)
    assert (await workshop.row(slot)).state is StepState.LIVE


async def test_what_the_backend_refuses_fails_the_chain(
    workshop: Workshop, slot: Slot
) -> None:
    """With its error as the reason; session and chain tell of it."""
    workshop.backend.refusal = BackendRefused(
        status=400, error="INVALID_REQUEST", message="MARKER"
    )
    await workshop.starter().start(slot)
    await workshop.settled()
    chain = await workshop.chain(slot.chain_id)
    assert chain.state is ChainState.FAILED
    assert chain.reason == ("the backend refused the next session: INVALID_REQUEST (400)")
    assert (await workshop.row(slot)).state is StepState.FAILED
    assert workshop.publisher.types == ["session.failed", "chain.failed"]


async def test_a_refusal_of_any_length_fails_the_chain(
    workshop: Workshop, slot: Slot
) -> None:
    """A backend with an endless error name ends the chain, not the worker."""
    workshop.backend.refusal = BackendRefused(status=400, error="X" * 600)
    await workshop.starter().start(slot)
    await workshop.settled()
    assert (await workshop.chain(slot.chain_id)).state is ChainState.FAILED
    assert workshop.publisher.types == ["session.failed", "chain.failed"]


@pytest.mark.parametrize("state", ["completed", "none"])
async def test_only_detached_rows_are_started(
    workshop: Workshop, slot: Slot, state: str
) -> None:
    """A late start of a row that has gone on, or of none, starts nothing."""
    if state == "completed":
        await workshop.starter().start(slot)
        await workshop.report(slot, result_of(token_of(2), "DONE"))
    other = slot if state == "completed" else slot.following
    await workshop.starter().start(other)
    assert len(workshop.backend.requests) == (2 if state == "completed" else 1)


async def test_a_write_of_unknown_fate_is_read_before_anything_is_done(
    workshop: Workshop, slot: Slot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store went away after the session was started: nothing is cancelled (H8)."""

    async def away(*_: object) -> None:
        raise StoreUnavailable("the database is away")

    async def store_goes() -> None:
        monkeypatch.setattr(workshop.store, "decide", away)

    workshop.backend.meanwhile = store_goes
    with pytest.raises(StoreUnavailable):
        await workshop.starter().start(slot)
    assert workshop.backend.cancelled == []
    monkeypatch.undo()
    await workshop.starter().start(slot)
    assert len(workshop.backend.requests) == 2
    assert (await workshop.row(slot)).state is StepState.STARTING
