"""Session states that came in beside the bridge, judged by rule H3."""

from __future__ import annotations

import pytest

from orchestrator.domain.chain import ChainState, StepState
from orchestrator.domain.ruling import CHECK_AFTER_CALLBACK
from schemas.events import Purpose
from schemas.messages import CallbackSecrets, CallbackWork, CancelWork, parse_work
from tests.support.fakes import token_of
from tests.support.samples import (
    CALLBACK,
    TARGET,
    delivery,
    disclosure,
    issuance,
    result_of,
)
from tests.support.workshop import Workshop
from tests.unit.workers.answering import detached, forwarded


def notifications(workshop: Workshop) -> list[CallbackWork]:
    """The deliveries to requestors' own callback URLs."""
    found = [work for work in workshop.publisher.work if isinstance(work, CallbackWork)]
    assert all(work.purpose is Purpose.NOTIFY for work in found)
    return found


@pytest.mark.trap("T4")
@pytest.mark.parametrize("status", ["INITIALIZED", "PAIRING", "CONNECTED"])
async def test_what_is_not_final_has_no_effect(workshop: Workshop, status: str) -> None:
    """Only the end of a session is news here."""
    begun = await workshop.begin()
    before = await workshop.row(begun.slot)
    await workshop.report(begun.slot, result_of(begun.token, status))
    assert await workshop.row(begun.slot) == before
    assert workshop.publisher.calls == []


@pytest.mark.trap("T2", "T3", "T30")
@pytest.mark.parametrize(
    "status,proof,state,event",
    [
        ("DONE", "VALID", ChainState.COMPLETED, "session.finished"),
        ("DONE", "INVALID", ChainState.FAILED, "session.failed"),
        ("DONE", "EXPIRED", ChainState.FAILED, "session.failed"),
        ("DONE", "MISSING_ATTRIBUTES", ChainState.FAILED, "session.failed"),
        ("CANCELLED", None, ChainState.CANCELLED, "session.cancelled"),
        ("TIMEOUT", None, ChainState.EXPIRED, "session.expired"),
        ("TIMEOUT", "VALID", ChainState.EXPIRED, "session.expired"),
    ],
)
async def test_the_end_of_the_last_session_ends_the_chain(
    workshop: Workshop, status: str, proof: str | None, state: ChainState, event: str
) -> None:
    """Stored with its result; session and chain tell of it, in this order."""
    begun = await workshop.begin(disclosure())
    result = result_of(begun.token, status, proof)
    await workshop.report(begun.slot, result)
    assert (await workshop.chain(begun.id)).state is state
    row = await workshop.row(begun.slot)
    assert (row.final_status, row.check_at) == (status, None)
    assert workshop.rows.result(row) == result
    assert workshop.publisher.types == [event, f"chain.{state}"]


async def test_the_end_of_a_chained_session_waits_for_its_endpoint(
    workshop: Workshop,
) -> None:
    """The bridge has taken its result in, and the answer says what follows."""
    begun = await workshop.begin(disclosure(TARGET))
    await workshop.report(begun.slot, result_of(begun.token, "DONE"))
    assert (await workshop.chain(begun.id)).state is ChainState.RUNNING
    assert workshop.publisher.types == ["session.finished"]


async def test_the_requestors_own_callback_is_told_the_result(
    workshop: Workshop,
) -> None:
    """By the same engine, in the transaction that stores the session's end."""
    begun = await workshop.begin(disclosure(callbackUrl=CALLBACK, validity=77))
    result = result_of(begun.token, "DONE")
    await workshop.report(begun.slot, result)
    (work,) = notifications(workshop)
    assert (work.endpoint, work.validity_s) == ("https://shop.example:443", 77)
    assert work.cause == begun.slot.event_id("session.started")
    assert work.reply is None
    secrets = workshop.sealer.open_model(CallbackSecrets, work.sealed, bound_to=work.id)
    assert (secrets.url, secrets.result) == (CALLBACK, result.to_wire())


async def test_a_state_that_comes_again_has_no_effect(workshop: Workshop) -> None:
    """What it led to went out with the transaction that stored it."""
    begun = await workshop.begin(disclosure(callbackUrl=CALLBACK))
    result = result_of(begun.token, "CANCELLED", None)
    await workshop.report(begun.slot, result)
    row = await workshop.row(begun.slot)
    workshop.clock.advance(1)
    await workshop.report(begun.slot, result, "poll")
    assert await workshop.row(begun.slot) == row
    assert len(workshop.publisher.calls) == 1
    assert len(notifications(workshop)) == 1


async def test_without_a_callback_url_nobody_is_told(workshop: Workshop) -> None:
    """The events are all."""
    begun = await workshop.begin(disclosure())
    await workshop.report(begun.slot, result_of(begun.token, "DONE"))
    assert notifications(workshop) == []


@pytest.mark.parametrize("status", ["CANCELLED", "TIMEOUT", "DONE"])
async def test_another_sessions_state_has_no_effect(
    workshop: Workshop, status: str
) -> None:
    """An orphan's end, or one we have cancelled ourselves, is not the chain's."""
    begun = await workshop.begin()
    before = await workshop.row(begun.slot)
    await workshop.report(begun.slot, result_of("OfAnotherSession0000", status, None))
    assert await workshop.row(begun.slot) == before
    assert workshop.publisher.messages == []
    assert (await workshop.chain(begun.id)).state is ChainState.RUNNING


async def test_after_a_proved_result_a_cancellation_has_no_effect(
    workshop: Workshop,
) -> None:
    """The IRMA server lost its update; what was taken in counts."""
    begun = await workshop.begin()
    await workshop.carry_on(workshop.callback(begun.slot, begun.token), issuance())
    workshop.publisher.calls.clear()
    await workshop.report(begun.slot, result_of(begun.token, "CANCELLED", None))
    assert (await workshop.row(begun.slot)).state is StepState.COMPLETED
    assert workshop.publisher.messages == []


async def test_a_live_session_that_another_one_has_overtaken_is_cancelled(
    workshop: Workshop,
) -> None:
    """An orphan of the step was proved; nobody is left in a session of no use (H3)."""
    begun = await detached(workshop, answer=disclosure())
    slot = begun.slot.following
    await workshop.starter().start(slot)
    await workshop.report(slot, result_of("TokenOfTheOrphan0000", "DONE"))
    row = await workshop.row(slot)
    assert (row.state, workshop.rows.token(row)) == (
        StepState.FINISHED,
        "TokenOfTheOrphan0000",
    )
    await workshop.work_off(CancelWork)
    assert workshop.backend.cancelled == [token_of(2)]
    cancelled = result_of(token_of(2), "CANCELLED", None)
    await workshop.report(slot, cancelled)
    assert await workshop.row(slot) == row


async def test_a_session_is_not_cancelled_for_its_own_result(workshop: Workshop) -> None:
    """It is what the row points to."""
    begun = await detached(workshop, answer=disclosure())
    await workshop.starter().start(begun.slot.following)
    await workshop.report(begun.slot.following, result_of(token_of(2), "DONE"))
    await workshop.work_off(CancelWork)
    assert workshop.backend.cancelled == []


async def test_a_state_of_a_forwarded_session_waits_for_its_look_up(
    workshop: Workshop,
) -> None:
    """Whose it is, only what is stored can tell: it waits, and the clock looks soon."""
    begun = await forwarded(workshop)
    slot = begun.slot.following
    await workshop.report(slot, result_of("TokenOfTheSecond0000", "CANCELLED", None))
    row = await workshop.row(slot)
    assert row.state is StepState.FORWARDED
    assert row.check_at == workshop.clock.now + CHECK_AFTER_CALLBACK
    (waiting,) = await workshop.store.waiting(chain_id=begun.id, limit=10)
    assert (waiting.kind, waiting.message.routing_key) == ("intake", "sessions")
    assert parse_work(waiting.message.body).id in waiting.id
    assert workshop.publisher.messages == []


async def test_it_waits_longer_each_time(workshop: Workshop) -> None:
    """From half a second up to thirty; what brought the message is not in its way."""
    begun = await forwarded(workshop)
    slot, pauses = begun.slot.following, []
    await workshop.report(slot, result_of("TokenOfTheSecond0000", "CANCELLED", None))
    for seconds in (0, 2, 8, 30, 300):
        workshop.clock.advance(seconds)
        (row,) = await workshop.store.waiting(limit=100)
        # The clock has published it and not dropped it yet when a worker has it in hand.
        await workshop.session_worker()(delivery(row.message))
        await workshop.store.drop_waiting([row.id])
        (row,) = await workshop.store.waiting(limit=100)
        assert row.created_at == workshop.clock.now
        pauses.append((row.due_at - row.created_at).total_seconds())
    assert pauses == [0.5, 1.0, 5.0, 20.0, 30.0]


@pytest.mark.trap("T9")
async def test_a_timeout_that_is_announced_again_and_again_waits_once(
    workshop: Workshop,
) -> None:
    """Each access to the session announces it, and none of them is news."""
    begun = await forwarded(workshop)
    slot, timeout = begun.slot.following, result_of("TokenOfTheSecond0000", "TIMEOUT")
    for _ in range(5):
        await workshop.report(slot, timeout)
        (row,) = await workshop.store.waiting(limit=100)
        await workshop.session_worker()(delivery(row.message))
        assert len(await workshop.waiting()) == 2
        await workshop.store.drop_waiting([row.id])
        workshop.clock.advance(1)


async def test_once_its_session_is_known_it_is_settled(workshop: Workshop) -> None:
    """The very message that waited is judged again."""
    begun = await forwarded(workshop)
    slot, token = begun.slot.following, "TokenOfTheSecond0000"
    await workshop.report(slot, result_of(token, "CANCELLED", None))
    first = result_of(begun.token, "DONE", nextSession=token)
    workshop.backend.results[begun.token] = first
    workshop.clock.advance(1)
    workshop.publisher.calls.clear()
    await workshop.beat()
    await workshop.settled()
    (again,) = workshop.publisher.to("sessions")
    assert (await workshop.row(slot)).state is StepState.LIVE
    await workshop.session_worker()(delivery(again))
    assert (await workshop.row(slot)).state is StepState.CANCELLED
    assert (await workshop.chain(begun.id)).state is ChainState.CANCELLED


async def test_a_proved_result_counts_before_its_look_up(workshop: Workshop) -> None:
    """Whoever proved it, the step is done; its start is told on the way (H3)."""
    begun = await forwarded(workshop)
    slot, token = begun.slot.following, "TokenOfTheSecond0000"
    await workshop.report(slot, result_of(token, "DONE"))
    row = await workshop.row(slot)
    assert (row.state, workshop.rows.token(row)) == (StepState.FINISHED, token)
    assert workshop.publisher.types == [
        "session.started",
        "session.finished",
        "chain.completed",
    ]


@pytest.mark.trap("T10")
async def test_a_result_that_names_the_next_session_brings_its_look_up_forward(
    workshop: Workshop,
) -> None:
    """The IRMA server calls before it stores: look in a quarter of a second."""
    begun = await forwarded(workshop)
    result = result_of(begun.token, "DONE", nextSession="TokenOfTheSecond0000")
    await workshop.report(begun.slot, result)
    row = await workshop.row(begun.slot.following)
    assert row.state is StepState.FORWARDED
    assert row.check_at == workshop.clock.now + CHECK_AFTER_CALLBACK
