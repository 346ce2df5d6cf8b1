"""202: the chain waits for the endpoint's own POST, and exactly one thing follows."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from orchestrator.domain.chain import ChainState, StepState
from orchestrator.domain.delivery import Answer
from orchestrator.ports import Waiting
from schemas.events import CallbackAnswered, ChainEnded, Purpose
from schemas.irma import session_request_from
from schemas.messages import CallbackWork, Wake
from tests.support.fakes import FakeCaller
from tests.support.parts import Pauses
from tests.support.samples import NOW, PUBLIC_URL, delivery, disclosure, issuance
from tests.support.workshop import Workshop
from tests.unit.conftest import LoseStore
from tests.unit.gateway.bridging import proved
from tests.unit.workers.later import answers, asked, proved_one, work_through
from tests.unit.workers.posting import SLOT, TOKEN, answered, post

REPLY = json.dumps(issuance()).encode()
INLINE = json.dumps(disclosure()).encode()
HOUR = timedelta(hours=1)


async def test_every_attempt_says_where_a_later_answer_is_taken(
    workshop: Workshop,
) -> None:
    """Valid for an hour from its own start; nothing openly tells of the chain."""
    work = workshop.callback(SLOT, TOKEN, waited_s=3.5)
    caller, _ = await post(workshop, work, answered(503), answered(204))
    urls = [sent.headers["Chain-Reply-To"] for sent in caller.posts]
    for url, asked_at, attempt in zip(
        urls, (NOW, NOW + timedelta(seconds=0.25)), (1, 2), strict=True
    ):
        assert url.startswith(f"{PUBLIC_URL}/reply/")
        token = urlsplit(url).path.removeprefix("/reply/")
        capability = workshop.sealer.open_capability(token, now=NOW)
        assert (capability.kind, capability.attempt) == ("reply", attempt)
        left = capability.expires_at - (asked_at + HOUR).timestamp()
        assert 0 <= left < 1
        assert TOKEN not in url


async def test_a_notification_asks_for_no_answer(workshop: Workshop) -> None:
    """A requestor's `callbackUrl` has nothing to say about the chain."""
    work = workshop.callback(SLOT, TOKEN, purpose=Purpose.NOTIFY)
    caller, _ = await post(workshop, work, answered(202))
    assert "Chain-Reply-To" not in caller.posts[0].headers
    assert await workshop.waiting() == []


async def test_202_lets_the_app_go_and_waits_as_a_row(workshop: Workshop) -> None:
    """No retry: the deadline is visible, an hour after the start of the attempt."""
    work = workshop.callback(SLOT, TOKEN, waited_s=3.5)
    _, pauses = await post(workshop, work, answered(202))
    assert pauses.asked_s == []
    (wake_up,) = workshop.publisher.wake_ups
    assert (wake_up.wake, wake_up.step) == (Wake.LATER, 2)
    (event,) = workshop.publisher.events
    assert isinstance(event, CallbackAnswered)
    assert (event.data.answer, event.data.status) == ("later", 202)
    assert workshop.publisher.work == []
    (row,) = await workshop.store.waiting(limit=10)
    assert (row.kind, row.chain_id, row.due_at) == ("deadline", "C1", NOW + HOUR)
    assert b"MARKER" not in row.message.body


async def test_the_last_202_sets_the_deadline(workshop: Workshop) -> None:
    """A redelivered callback keeps its id, and its new address holds an hour too."""
    work = workshop.callback(SLOT, TOKEN)
    first, _ = await post(workshop, work, answered(202))
    workshop.clock.advance(40)
    second, _ = await post(workshop, work, answered(202))
    ids = {sent.headers["webhook-id"] for sent in (*first.posts, *second.posts)}
    assert ids == {work.id}
    (row,) = await workshop.store.waiting(limit=10)
    assert row.due_at == NOW + timedelta(seconds=40) + HOUR


async def test_a_deadline_is_there_while_it_is_moved(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that dies before its write was taken leaves the deadline as it was."""
    work = workshop.callback(SLOT, TOKEN)
    await post(workshop, work, answered(202))
    (before,) = await workshop.store.waiting(limit=10)

    async def die(_: Waiting) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(workshop.store, "replace_waiting", die)
    workshop.clock.advance(40)
    with pytest.raises(asyncio.CancelledError):
        await post(workshop, work, answered(202))
    assert await workshop.store.waiting(limit=10) == [before]


async def test_while_the_store_is_away_the_202_is_held(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, lose_store: LoseStore
) -> None:
    """It has answered: nobody is told before the deadline is there, nor asked again."""
    lose_store("replace_waiting")
    work = workshop.callback(SLOT, TOKEN, waited_s=3.5)

    def back() -> None:
        assert workshop.publisher.calls == []
        monkeypatch.undo()

    pauses = Pauses(workshop.clock, meanwhile={1: back})
    await post(workshop, work, answered(202), pauses=pauses)
    assert await workshop.waiting() == [f"{work.id}-deadline"]
    assert workshop.publisher.types == ["callback.answered"]


async def test_the_reply_starts_the_next_session_on_its_own(workshop: Workshop) -> None:
    """As the answer of a slow endpoint would."""
    begun, work = await proved_one(workshop)
    path = await asked(workshop, work)
    await answers(workshop, path, REPLY)
    await work_through(workshop)
    await work_through(workshop)
    row = await workshop.row(begun.slot.following)
    assert (row.state, row.in_flow) == (StepState.LIVE, False)
    assert len(workshop.backend.requests) == 2


async def test_at_the_deadline_the_chain_expires(workshop: Workshop) -> None:
    """The clock publishes the row; cause and reason of the end are the 202."""
    begun, work = await proved_one(workshop)
    path = await asked(workshop, work)
    (later,) = workshop.publisher.events
    workshop.publisher.calls.clear()
    workshop.clock.advance(3_600)
    await workshop.beat()
    await work_through(workshop)
    chain = await workshop.chain(begun.id)
    assert chain.state is ChainState.EXPIRED
    assert "202" in (chain.reason or "")
    (ended,) = [e for e in workshop.publisher.events if isinstance(e, ChainEnded)]
    assert (ended.type, ended.causationid) == ("chain.expired", later.id)
    assert (await answers(workshop, path, REPLY)).status == 410


async def test_a_reply_that_was_taken_beats_the_deadline(workshop: Workshop) -> None:
    """Though it is the deadline's message that comes first to the session worker."""
    begun, work = await proved_one(workshop)
    path = await asked(workshop, work)
    (row,) = await workshop.store.waiting(limit=10)
    workshop.publisher.calls.clear()
    await answers(workshop, path, REPLY)
    await workshop.session_worker()(delivery(row.message))
    assert (await workshop.chain(begun.id)).state is ChainState.RUNNING
    await work_through(workshop)
    assert (await workshop.row(begun.slot.following)).state is StepState.DETACHED


async def test_a_deadline_after_the_claim_has_no_effect(workshop: Workshop) -> None:
    """The chain goes on."""
    begun, work = await proved_one(workshop)
    path = await asked(workshop, work)
    (row,) = await workshop.store.waiting(limit=10)
    await answers(workshop, path, REPLY)
    await work_through(workshop)
    await workshop.session_worker()(delivery(row.message))
    assert (await workshop.chain(begun.id)).state is ChainState.RUNNING


@pytest.mark.parametrize("inline", [answered(200, INLINE), answered(204), answered(410)])
@pytest.mark.parametrize("first", ["reply", "inline"])
async def test_of_two_answers_one_counts(
    workshop: Workshop, inline: Answer, first: str
) -> None:
    """A reply to the attempt that failed, and the answer to its retry, in any order."""
    begun, work = await proved_one(workshop)
    path = await asked(workshop, work, answered(503))
    (row,) = await workshop.store.waiting(limit=10)
    workshop.publisher.calls.clear()
    retry = delivery(row.message)
    if first == "reply":
        assert (await answers(workshop, path, REPLY)).status == 204
    worker = workshop.callback_worker(FakeCaller([inline]), Pauses(workshop.clock))
    await worker(retry)
    if first == "inline":
        await work_through(workshop)
        assert (await answers(workshop, path, REPLY)).status in {409, 410}
    with capture_logs() as logs:
        while await work_through(workshop):
            pass
    lost = [line for line in logs if line["event"] == "session.answer_lost"]
    assert len(lost) == (first == "reply")
    rows = await workshop.store.steps(begun.id)
    assert len(rows) == 2
    assert len(workshop.backend.requests) <= 2
    asked_for = workshop.rows.answer_hash(session_request_from(issuance()).to_wire())
    assert (rows[1].answer_hash == asked_for) == (first == "reply")


async def test_a_reply_before_the_202_counts_as_well(workshop: Workshop) -> None:
    """The address is open from the start of the attempt; the deadline does nothing."""
    begun, work = await proved_one(workshop)
    path = await asked(workshop, work, answered(503))
    await answers(workshop, path, REPLY)
    await asked(workshop, work)
    workshop.clock.advance(3_600)
    await workshop.beat()
    while await work_through(workshop):
        pass
    assert (await workshop.chain(begun.id)).state is ChainState.RUNNING
    assert len(await workshop.store.steps(begun.id)) == 2


async def test_two_replies_at_once_make_one_next(workshop: Workshop) -> None:
    """By two addresses of the same callback: one is taken, the other told so."""
    begun, work = await proved_one(workshop)
    first = await asked(workshop, work)
    second = await asked(workshop, work)
    workshop.publisher.calls.clear()
    taken = await answers(workshop, first, REPLY)
    refused = await answers(workshop, second, INLINE)
    repeated = await answers(workshop, second, REPLY)
    assert (taken.status, refused.status, repeated.status) == (204, 409, 204)
    while await work_through(workshop):
        pass
    assert len(await workshop.store.steps(begun.id)) == 2
    assert len(workshop.backend.requests) == 2


async def test_a_reply_is_handled_once_however_often_it_comes(workshop: Workshop) -> None:
    """The outbox and the relay may both have published it."""
    begun, work = await proved_one(workshop)
    path = await asked(workshop, work)
    workshop.publisher.calls.clear()
    await answers(workshop, path, REPLY)
    (following,) = workshop.publisher.work
    for _ in range(3):
        await workshop.session_worker()(delivery(following))
    while await work_through(workshop):
        pass
    assert len(await workshop.store.steps(begun.id)) == 2
    assert len(workshop.backend.requests) == 2


async def test_a_note_brings_the_result_that_a_reply_needs(
    workshop: Workshop, lose_store: LoseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store was away when the result was taken in, not when the answer comes."""
    begun = await workshop.begin()
    with monkeypatch.context():
        lose_store("decide")
        await proved(workshop, begun)
    monkeypatch.undo()
    callback, note = workshop.publisher.work
    assert isinstance(callback, CallbackWork)
    await workshop.session_worker()(delivery(note))
    path = await asked(workshop, callback, answered(404))
    assert (await answers(workshop, path, REPLY)).status == 204


@pytest.mark.parametrize("times", [3, 4])
async def test_the_same_request_again_and_again_fails_the_chain(
    workshop: Workshop, times: int
) -> None:
    """Three in a row are borne, the first one of the requestor included."""
    same = disclosure("https://shop.example/next/MARKER?x=1")
    begun = await workshop.begin(same)
    slot, token = begun.slot, begun.token
    for _ in range(times - 1):
        await workshop.carry_on(workshop.callback(slot, token), same)
        while await work_through(workshop):
            pass
        slot = slot.following
        row = await workshop.store.step(slot)
        token = (workshop.rows.token(row) if row else None) or token
    chain = await workshop.chain(begun.id)
    expected = ChainState.RUNNING if times == 3 else ChainState.FAILED
    assert chain.state is expected
    assert ("same request 3 times" in (chain.reason or "")) == (times == 4)
