"""The callback worker: when it tries again, and who does (DESIGN §4)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from orchestrator.broker.holding import HandedBack
from orchestrator.domain.delivery import Answer, Fault, NoAnswer
from orchestrator.ports import Waiting
from schemas.events import CallbackRetrying, Purpose
from schemas.messages import (
    CallbackWork,
    EndWork,
    NextWork,
    Wake,
    parse_work,
)
from tests.support.fakes import FakeCaller
from tests.support.parts import Pauses
from tests.support.samples import NOW, TARGET, delivery
from tests.support.workshop import Workshop
from tests.unit.conftest import LoseStore
from tests.unit.workers.posting import (
    NEXT,
    SLOT,
    TOKEN,
    Published,
    answered,
    post,
    stopping,
)


async def test_live_retries_are_made_while_the_app_waits(workshop: Workshop) -> None:
    """After 250 and 500 ms, in this worker, each told before its pause."""
    work = workshop.callback(SLOT, TOKEN, waited_s=3.5)
    _, pauses = await post(
        workshop, work, answered(503), answered(500), answered(200, NEXT)
    )
    assert pauses.asked_s == [0.25, 0.5]
    assert workshop.publisher.types == [
        "callback.retrying",
        "callback.retrying",
        "callback.answered",
    ]
    retries = [e for e in workshop.publisher.events if isinstance(e, CallbackRetrying)]
    assert [(r.data.attempt, r.data.clock, r.data.status) for r in retries] == [
        (1, "live", 503),
        (2, "live", 500),
    ]
    assert retries[0].data.next_at == NOW + timedelta(milliseconds=250)
    assert await workshop.waiting() == []


async def test_a_retry_is_told_for_when_it_is_due(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the store takes to write its row."""
    put = workshop.store.put_waiting

    async def slowly(*rows: Waiting) -> None:
        await put(*rows)
        workshop.clock.advance(3.0)

    monkeypatch.setattr(workshop.store, "put_waiting", slowly)
    await post(workshop, workshop.callback(SLOT, TOKEN), answered(503))
    (row,) = await workshop.store.waiting(limit=10)
    (retrying,) = workshop.publisher.events
    assert isinstance(retrying, CallbackRetrying)
    assert retrying.data.next_at == row.due_at


async def test_every_attempt_is_the_same_callback(workshop: Workshop) -> None:
    """Same id, same result; fresh time and fresh signature (G3)."""
    work = workshop.callback(SLOT, TOKEN, waited_s=3.5)
    caller, _ = await post(
        workshop, work, answered(503), answered(503), answered(503), answered(204)
    )
    assert {sent.headers["webhook-id"] for sent in caller.posts} == {work.id}
    assert {sent.url for sent in caller.posts} == {TARGET}
    assert len({sent.body for sent in caller.posts}) == 4
    assert {result["token"] for result, _, _ in workshop.signer.signed} == {TOKEN}
    times = [at - NOW for _, _, at in workshop.signer.signed]
    assert [time.total_seconds() for time in times] == [0, 0.25, 0.75, 1.75]
    ids = [event.id for event in workshop.publisher.events]
    assert len(set(ids)) == 4


async def test_a_background_retry_is_a_row(workshop: Workshop) -> None:
    """Nobody waits, so the next attempt is the clock's (DESIGN §4)."""
    work = workshop.callback(SLOT, TOKEN)
    fault = NoAnswer(fault=Fault.TIMEOUT, duration_s=20)
    _, pauses = await post(workshop, work, fault)
    assert pauses.asked_s == []
    (row,) = await workshop.store.waiting(limit=10)
    assert (row.id, row.kind) == (f"{work.id}-retry-1", "retry")
    assert (row.due_at, row.endpoint) == (NOW + timedelta(seconds=5), work.endpoint)
    later = parse_work(row.message.body)
    assert isinstance(later, CallbackWork)
    assert (later.id, later.attempt, later.retries) == (work.id, 2, 1)
    (retrying,) = workshop.publisher.events
    assert isinstance(retrying, CallbackRetrying)
    assert (retrying.data.clock, retrying.data.fault) == ("background", "timeout")
    assert (retrying.data.delay_ms, retrying.data.next_at) == (5000, row.due_at)
    assert workshop.publisher.work == []


async def test_after_the_live_clock_the_app_is_let_go(workshop: Workshop) -> None:
    """The row takes over with the fifth attempt, and the gateway is told `later`."""
    work = workshop.callback(SLOT, TOKEN, waited_s=3.5)
    _, pauses = await post(workshop, work, *[answered(503)] * 4)
    assert pauses.asked_s == [0.25, 0.5, 1.0]
    (row,) = await workshop.store.waiting(limit=10)
    later = parse_work(row.message.body)
    assert isinstance(later, CallbackWork)
    assert (later.attempt, later.retries, later.reply) == (5, 1, None)
    (wake_up,) = workshop.publisher.wake_ups
    assert (wake_up.wake, wake_up.chain_id, wake_up.step) == (Wake.LATER, "C1", 2)


async def test_a_gateway_that_is_gone_is_not_missed(workshop: Workshop) -> None:
    """The row is there already."""
    workshop.publisher.gone.add("gateway.one")
    work = workshop.callback(SLOT, TOKEN, waited_s=0.1)
    await post(workshop, work, answered(503))
    assert len(await workshop.waiting()) == 1


@pytest.mark.parametrize(
    "reply,delay_s",
    [(answered(429), 60), (answered(503, b"", 7.0), 7), (answered(503, b"", 9e9), 3600)],
)
async def test_who_asks_for_a_pause_gets_it(
    workshop: Workshop, reply: Answer, delay_s: int
) -> None:
    """`Retry-After` and 429 leave the live clock at once; an hour is the most."""
    work = workshop.callback(SLOT, TOKEN, waited_s=3.5)
    _, pauses = await post(workshop, work, reply)
    assert pauses.asked_s == []
    (row,) = await workshop.store.waiting(limit=10)
    assert row.due_at == NOW + timedelta(seconds=delay_s)


async def test_after_the_last_background_retry_the_chain_fails(
    workshop: Workshop,
) -> None:
    """The reason says how often it was tried and what came last."""
    work = workshop.callback(SLOT, TOKEN)
    work = work.model_copy(update={"attempt": 7, "retries": 2})
    await post(workshop, work, answered(503))
    assert workshop.publisher.types == ["callback.failed"]
    (ending,) = workshop.publisher.work
    assert isinstance(ending, EndWork)
    assert ending.reason == "given up after 7 attempts: status 503"


async def test_a_requestors_own_clock_goes_before_the_common_one(
    workshop: Workshop,
) -> None:
    """By the key of the requestor whose chain it is."""
    work = workshop.callback(SLOT, TOKEN).model_copy(update={"requestor": "patient"})
    await post(workshop, work, answered(503))
    (row,) = await workshop.store.waiting(limit=10)
    assert row.due_at == NOW + timedelta(minutes=15)


async def test_who_aborts_fails_the_chain_at_once(workshop: Workshop) -> None:
    """`Chain-Delivery: abort` stops retries on either clock, and the reason says so."""
    work = workshop.callback(SLOT, TOKEN, waited_s=3.5)
    aborted = replace(answered(503), abort=True)
    _, pauses = await post(workshop, work, aborted)
    assert pauses.asked_s == []
    assert await workshop.waiting() == []
    (ending,) = workshop.publisher.work
    assert isinstance(ending, EndWork)
    assert ending.reason == "the endpoint has aborted: status 503"


async def test_a_notification_is_retried_as_durably(workshop: Workshop) -> None:
    """By the same engine, as a row."""
    work = workshop.callback(SLOT, TOKEN, purpose=Purpose.NOTIFY)
    await post(workshop, work, answered(503))
    (row,) = await workshop.store.waiting(limit=10)
    later = parse_work(row.message.body)
    assert isinstance(later, CallbackWork)
    assert (later.purpose, later.attempt) == (Purpose.NOTIFY, 2)


async def test_while_the_store_is_away_the_endpoint_is_not_asked_again(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, lose_store: LoseStore
) -> None:
    """It has answered: the retry becomes a row when the store is back."""
    lose_store("put_waiting")
    work = workshop.callback(SLOT, TOKEN)
    pauses = Pauses(workshop.clock, meanwhile={1: monkeypatch.undo})
    await post(workshop, work, answered(503), pauses=pauses)
    assert len(pauses.asked_s) == 2
    assert await workshop.waiting() == [f"{work.id}-retry-1"]
    assert workshop.publisher.types == ["callback.retrying"]


async def test_while_the_broker_is_away_the_answer_is_held(workshop: Workshop) -> None:
    """One POST, however long it takes."""

    def back() -> None:
        workshop.publisher.down = False

    workshop.publisher.down = True
    pauses = Pauses(workshop.clock, meanwhile={6: back})
    work = workshop.callback(SLOT, TOKEN, waited_s=3.5)
    await post(workshop, work, answered(200, NEXT), pauses=pauses)
    assert len(pauses.asked_s) == 7
    assert [type(work) for work in workshop.publisher.work] == [NextWork]


async def test_a_retry_that_a_clock_has_published_is_not_written_again(
    workshop: Workshop,
) -> None:
    """Its row was there before the broker went away; only the event is left to do."""
    workshop.publisher.down = True
    pauses = Published(workshop.clock, workshop=workshop)
    await post(workshop, workshop.callback(SLOT, TOKEN), answered(503), pauses=pauses)
    assert len(pauses.rows) == 1
    assert await workshop.waiting() == []
    assert workshop.publisher.types == ["callback.retrying"]


async def test_a_worker_that_has_to_stop_leaves_it_to_another_one(
    workshop: Workshop,
) -> None:
    """The endpoint is asked again there, and knows the callback by its id."""
    workshop.publisher.down = True
    caller, pauses = FakeCaller([answered(200, NEXT)]), Pauses(workshop.clock)
    held = replace(workshop.callback_worker(caller, pauses), hold=stopping())
    with pytest.raises(HandedBack):
        await held(delivery(workshop.callback(SLOT, TOKEN)))
    assert pauses.asked_s == []
