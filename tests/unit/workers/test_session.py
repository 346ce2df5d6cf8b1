"""The session worker: what follows a step claims one slot, and the gateway is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.domain.chain import ChainState, StepState
from orchestrator.domain.errors import BrokerUnavailable
from orchestrator.domain.ruling import CHECK_OFFERED
from orchestrator.ports import RELAY_PAUSE, Changes
from orchestrator.work import start_message
from schemas.events import ChainEnded, SessionRequested
from schemas.irma import JsonObject, session_request_from
from schemas.messages import CancelWork, End, Wake
from tests.support.fakes import token_of
from tests.support.samples import (
    ISSUANCE,
    MEMBER,
    PUBLIC_URL,
    TARGET,
    delivery,
    disclosure,
    issuance,
    result_of,
)
from tests.support.workshop import EndpointAnswer, Workshop
from tests.unit.workers.answering import says, starts, wakes


async def test_while_the_app_waits_the_next_session_is_offered(
    workshop: Workshop,
) -> None:
    """One row, its event, then the wake-up; the clock looks again in five seconds."""
    begun = await workshop.begin()
    await says(workshop, begun, issuance(TARGET))
    row = await workshop.row(begun.slot.following)
    assert (row.state, row.in_flow, row.chained) == (StepState.OFFERED, True, True)
    assert row.check_at == workshop.clock.now + CHECK_OFFERED
    (requested,) = workshop.publisher.events
    assert isinstance(requested, SessionRequested)
    assert (requested.step, requested.data.in_flow) == (2, True)
    (wake_up,) = workshop.publisher.wake_ups
    assert (wake_up.wake, wake_up.chain_id, wake_up.step) == (Wake.OFFERED, begun.id, 2)
    assert workshop.publisher.messages[-1].correlation_id == "c1"
    assert starts(workshop) == []


@pytest.mark.trap("T1")
async def test_the_row_of_the_finished_step_gets_its_result(workshop: Workshop) -> None:
    """Result and token are stored with the claim, in one transaction."""
    begun = await workshop.begin()
    await says(workshop, begun, issuance())
    row = await workshop.row(begun.slot)
    assert row.state is StepState.COMPLETED
    assert workshop.rows.result(row) == result_of(begun.token)


async def test_the_next_request_is_prepared_for_its_backend(workshop: Workshop) -> None:
    """Our URLs in; the integrator's own request is kept beside it."""
    begun = await workshop.begin()
    await says(workshop, begun, issuance("https://shop.example/MARKER"))
    row = await workshop.row(begun.slot.following)
    assert workshop.rows.request(row) == session_request_from(
        issuance("https://shop.example/MARKER")
    )
    prepared = workshop.rows.prepared(row)
    assert prepared.next_session is not None
    assert prepared.next_session.url.startswith(f"{PUBLIC_URL}/bridge/")


@pytest.mark.parametrize("waited_s", [None, 0.0])
async def test_when_nobody_waits_any_more_it_is_detached(
    workshop: Workshop, waited_s: float | None
) -> None:
    """Its start is published at once (H5); a gateway is told `later`."""
    begun = await workshop.begin()
    await says(workshop, begun, issuance(), waited_s=waited_s)
    row = await workshop.row(begun.slot.following)
    assert (row.state, row.in_flow) == (StepState.DETACHED, False)
    assert [work.step for work in starts(workshop)] == [2]
    assert wakes(workshop) == ([] if waited_s is None else [Wake.LATER])


async def test_an_offer_that_nobody_waits_for_is_detached(workshop: Workshop) -> None:
    """The gateway's queue is gone with it: the wake-up comes back."""
    begun = await workshop.begin()
    workshop.publisher.gone.add("gateway.one")
    await says(workshop, begun, issuance())
    assert (await workshop.row(begun.slot.following)).state is StepState.DETACHED
    assert len(starts(workshop)) == 1


async def test_an_end_that_nobody_waits_for_is_an_end(workshop: Workshop) -> None:
    """There is nothing to detach."""
    begun = await workshop.begin()
    workshop.publisher.gone.add("gateway.one")
    await says(workshop, begun, End.COMPLETED)
    assert (await workshop.chain(begun.id)).state is ChainState.COMPLETED
    assert starts(workshop) == []


@pytest.mark.trap("T9")
async def test_a_repeated_message_makes_nothing_new(workshop: Workshop) -> None:
    """The same row, the same events; the gateway that waits is woken again."""
    begun = await workshop.begin()
    await says(workshop, begun, issuance())
    before = await workshop.store.steps(begun.id)
    await says(workshop, begun, issuance())
    assert await workshop.store.steps(begun.id) == before
    assert wakes(workshop) == [Wake.OFFERED, Wake.OFFERED]
    assert len({event.id for event in workshop.publisher.events}) == 1


async def test_the_same_answer_in_another_order_is_the_same(workshop: Workshop) -> None:
    """JSON objects have no order: the endpoint may have been asked twice."""

    def request(*names: str) -> JsonObject:
        attributes: JsonObject = dict.fromkeys(names, "x")
        credential: JsonObject = {"credential": MEMBER, "attributes": attributes}
        return {"@context": ISSUANCE, "credentials": [credential]}

    begun = await workshop.begin()
    await says(workshop, begun, request("fullname", "id"))
    await says(workshop, begun, request("id", "fullname"))
    assert wakes(workshop) == [Wake.OFFERED, Wake.OFFERED]


async def test_a_repeat_of_a_detached_one_is_started_again(workshop: Workshop) -> None:
    """The start may have been lost; its id is the same."""
    begun = await workshop.begin()
    await says(workshop, begun, issuance(), waited_s=None)
    await says(workshop, begun, issuance(), waited_s=None)
    first, second = starts(workshop)
    assert first == second


async def test_another_answer_has_no_effect(workshop: Workshop) -> None:
    """The slot is held: the gateway may let the app go (G2)."""
    begun = await workshop.begin()
    await says(workshop, begun, issuance())
    before = await workshop.store.steps(begun.id)
    workshop.publisher.calls.clear()
    await says(workshop, begun, disclosure())
    await says(workshop, begun, End.COMPLETED)
    assert await workshop.store.steps(begun.id) == before
    assert wakes(workshop) == [Wake.LATER, Wake.LATER]
    assert workshop.publisher.events == []
    assert (await workshop.chain(begun.id)).state is ChainState.RUNNING


@pytest.mark.parametrize(
    "answer,wake,state",
    [
        (End.COMPLETED, Wake.ENDED, ChainState.COMPLETED),
        (End.FAILED, Wake.FAILED, ChainState.FAILED),
    ],
)
async def test_an_end_ends_the_chain(
    workshop: Workshop, answer: EndpointAnswer, wake: Wake, state: ChainState
) -> None:
    """Its slot is claimed, its event published, the gateway told, also when repeated."""
    begun = await workshop.begin()
    await says(workshop, begun, answer)
    await says(workshop, begun, answer)
    assert (await workshop.chain(begun.id)).state is state
    assert (await workshop.row(begun.slot.following)).state is StepState.END
    assert wakes(workshop) == [wake, wake]
    ends = [e for e in workshop.publisher.events if isinstance(e, ChainEnded)]
    assert {end.id for end in ends} == {ends[0].id}
    assert ends[0].data.steps == 1


async def test_an_ended_chain_takes_nothing(workshop: Workshop) -> None:
    """A late answer has no effect, and the gateway may let the app go (H9)."""
    begun = await workshop.begin()
    await workshop.report(begun.slot, result_of(begun.token, "CANCELLED", None))
    workshop.publisher.calls.clear()
    await says(workshop, begun, issuance())
    assert wakes(workshop) == [Wake.LATER]
    assert workshop.publisher.events == []
    assert (await workshop.chain(begun.id)).state is ChainState.CANCELLED


@pytest.mark.parametrize("answer", [issuance(), End.COMPLETED], ids=["next", "end"])
async def test_a_session_that_another_ones_answer_has_overtaken_is_cancelled(
    workshop: Workshop, answer: EndpointAnswer
) -> None:
    """An orphan's result claims first: the session the row pointed to is given up."""
    begun = await workshop.begin()
    orphan = "TokenOfTheOrphan0000"
    await workshop.carry_on(workshop.callback(begun.slot, orphan), answer)
    assert workshop.rows.token(await workshop.row(begun.slot)) == orphan
    await workshop.settled()
    await workshop.work_off(CancelWork)
    assert workshop.backend.cancelled == [begun.token]


async def test_a_worker_that_dies_with_its_claim_has_left_the_cancellation(
    workshop: Workshop,
) -> None:
    """The row knows the session no more; what was written with it does (G2)."""
    begun = await workshop.begin()
    workshop.publisher.down = True
    work = workshop.callback(begun.slot, "TokenOfTheOrphan0000")
    with pytest.raises(BrokerUnavailable):
        await workshop.carry_on(work, issuance())
    await workshop.settled()
    workshop.publisher.down = False
    await workshop.carry_on(work, issuance())
    workshop.clock.advance(RELAY_PAUSE.total_seconds())
    await workshop.beat()
    await workshop.work_off(CancelWork)
    assert workshop.backend.cancelled == [begun.token]
    assert await workshop.waiting() == []


async def test_an_answer_cancels_nobodys_session(workshop: Workshop) -> None:
    """It is to the result of the very session that the row points to."""
    begun = await workshop.begin()
    await says(workshop, begun, issuance())
    await workshop.settled()
    await workshop.work_off(CancelWork)
    assert workshop.backend.cancelled == []


async def test_an_answer_that_comes_again_in_a_chain_that_was_opened_again(
    workshop: Workshop,
) -> None:
    """A replay runs by then; the gateway is told what became of its own answer."""
    begun = await workshop.begin()
    work = workshop.callback(begun.slot, begun.token, waited_s=3.5)
    await workshop.carry_on(work, issuance(), steps_max=1)
    reopened = replace(
        await workshop.chain(begun.id),
        state=ChainState.RUNNING,
        generation=1,
        ended_at=None,
    )
    changes = Changes(chain=reopened)
    await workshop.store.decide(begun.slot, lambda _: (None, changes))
    await workshop.carry_on(work, issuance(), steps_max=1)
    assert wakes(workshop) == [Wake.FAILED, Wake.FAILED]
    assert await workshop.chain(begun.id) == reopened
    first, second = workshop.publisher.events
    assert first.id == second.id


async def test_a_note_marks_the_row(workshop: Workshop) -> None:
    """The store was away when the result was taken in (H4)."""
    begun = await workshop.begin()
    note = workshop.make.note(begun.slot, "acme", result_of(begun.token))
    await workshop.session_worker()(delivery(note))
    await workshop.session_worker()(delivery(note))
    row = await workshop.row(begun.slot)
    assert row.state is StepState.COMPLETED
    assert workshop.rows.result(row) == result_of(begun.token)


async def test_a_start_starts_the_detached_session(workshop: Workshop) -> None:
    """The session worker is also the one that starts."""
    begun = await workshop.begin()
    await says(workshop, begun, issuance(), waited_s=None)
    start = start_message(begun.slot.following, "acme")
    await workshop.session_worker()(delivery(start))
    row = await workshop.row(begun.slot.following)
    assert (row.state, workshop.rows.token(row)) == (StepState.LIVE, token_of(2))
