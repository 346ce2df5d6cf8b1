"""The callback worker: what is posted and what the answer does (DESIGN §4)."""

from __future__ import annotations

import pytest

from orchestrator.domain.delivery import Answer
from orchestrator.domain.errors import (
    SealBroken,
    Undecodable,
)
from orchestrator.ports import Queues
from orchestrator.work import start_message
from schemas.events import CallbackFailed, Purpose
from schemas.messages import (
    End,
    EndWork,
    NextSecrets,
    NextWork,
    parse_work,
)
from tests.support.fakes import FakeCaller
from tests.support.parts import Pauses
from tests.support.samples import NOW, TARGET, delivery, issuance, result_of
from tests.support.workshop import Workshop
from tests.unit.workers.posting import NEXT, SLOT, TOKEN, answered, post


async def test_the_result_is_posted_as_an_irma_server_does(workshop: Workshop) -> None:
    """Signed for the request's validity, with headers that nobody has to read."""
    work = workshop.callback(SLOT, TOKEN)
    caller, _ = await post(workshop, work, answered(204))
    (sent,) = caller.posts
    assert (sent.url, sent.timeout_s) == (TARGET, 20.0)
    assert (sent.body, sent.content_type) == (
        b"header.claims.1",
        "text/plain; charset=UTF-8",
    )
    assert workshop.signer.signed == [(result_of(TOKEN).to_wire(), 77, NOW)]
    headers = {
        "webhook-id": work.id,
        "webhook-timestamp": str(int(NOW.timestamp())),
        "Chain-Id": "C1",
        "Chain-Step": "1",
    }
    assert headers.items() <= dict(sent.headers).items()


async def test_without_a_key_the_result_is_json(workshop: Workshop) -> None:
    """As the IRMA server posts it then."""
    workshop.signer.public_key_pem = None
    caller, _ = await post(workshop, workshop.callback(SLOT, TOKEN), answered(204))
    (sent,) = caller.posts
    assert sent.content_type == "application/json; charset=UTF-8"
    assert b'"token":"TokenMARKER000000001"' in sent.body


async def test_an_answer_with_a_request_goes_to_the_session_worker(
    workshop: Workshop,
) -> None:
    """Event first, then work that carries on all that is sealed and who waits."""
    work = workshop.callback(SLOT, TOKEN, waited_s=3.5)
    await post(workshop, work, answered(200, NEXT))
    ((event, message),) = workshop.publisher.calls
    assert (event.routing_key, message.routing_key) == (Queues.HISTORY, Queues.SESSIONS)
    following = parse_work(message.body)
    assert isinstance(following, NextWork)
    assert (following.reply, following.cause) == (work.reply, event.id)
    secrets = workshop.sealer.open_model(
        NextSecrets, following.sealed, bound_to=following.id
    )
    assert secrets.token == TOKEN
    assert secrets.result == result_of(TOKEN).to_wire()
    (told,) = workshop.publisher.events
    data = told.data.model_dump()
    assert (told.type, told.causationid) == ("callback.answered", work.cause)
    assert (data["answer"], data["status"], data["duration_ms"]) == ("next", 200, 12)


async def test_204_ends_the_chain(workshop: Workshop) -> None:
    """The endpoint wants nothing more."""
    work = workshop.callback(SLOT, TOKEN, waited_s=3.5)
    await post(workshop, work, answered(204))
    assert workshop.publisher.types == ["callback.answered"]
    (ending,) = workshop.publisher.work
    assert isinstance(ending, EndWork)
    assert (ending.end, ending.reason, ending.reply) == (End.COMPLETED, None, work.reply)


@pytest.mark.parametrize(
    "body,said",
    [
        (b"", "not JSON"),
        (b"MARKER", "not JSON"),
        (b"{}", "Failed to JSON unmarshal"),
        (NEXT.replace(b"a.b.c.d", b"MARKER"), "disclose[0][0][0]"),
        (NEXT.replace(b'"disclose"', b'"x"'), "Disclosure request had no attributes"),
    ],
)
async def test_a_200_that_is_no_request_fails_the_chain(
    workshop: Workshop, body: bytes, said: str
) -> None:
    """The reason names the field and is kept; nothing is retried."""
    _, pauses = await post(
        workshop, workshop.callback(SLOT, TOKEN, waited_s=3.5), answered(200, body)
    )
    (failed,) = workshop.publisher.events
    assert isinstance(failed, CallbackFailed)
    (ending,) = workshop.publisher.work
    assert isinstance(ending, EndWork)
    assert (ending.end, ending.reason) == (End.FAILED, failed.data.reason)
    assert said in failed.data.reason
    assert "MARKER" not in failed.data.reason
    assert pauses.asked_s == []
    assert await workshop.waiting() == []


@pytest.mark.parametrize("status", [201, 302, 400, 404, 410])
async def test_a_refusal_fails_the_chain(workshop: Workshop, status: int) -> None:
    """One attempt, and the reason says the status."""
    await post(workshop, workshop.callback(SLOT, TOKEN), answered(status))
    assert workshop.publisher.types == ["callback.failed"]
    (ending,) = workshop.publisher.work
    assert isinstance(ending, EndWork)
    assert str(status) in (ending.reason or "")


async def test_a_reason_of_any_length_is_cut(workshop: Workshop) -> None:
    """A redirect to a host with an endless name fails the chain, not the worker."""
    redirect = Answer(
        status=302,
        body=b"",
        duration_s=0.1,
        location_origin=f"https://{'x' * 600}.example:443",
    )
    await post(workshop, workshop.callback(SLOT, TOKEN), redirect)
    (failed,) = workshop.publisher.events
    assert isinstance(failed, CallbackFailed)
    assert len(failed.data.reason) == 500
    (ending,) = workshop.publisher.work
    assert isinstance(ending, EndWork)
    assert ending.end is End.FAILED


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_the_answer_to_a_notification_is_noted(
    workshop: Workshop, status: int
) -> None:
    """A requestor's `callbackUrl` says nothing about the chain."""
    work = workshop.callback(SLOT, TOKEN, purpose=Purpose.NOTIFY)
    await post(workshop, work, answered(status, b"MARKER"))
    (told,) = workshop.publisher.events
    assert told.type == "callback.answered"
    assert told.data.model_dump()["answer"] == "noted"
    assert workshop.publisher.work == []


async def test_a_notification_that_fails_ends_no_chain(workshop: Workshop) -> None:
    """It is told, and that is all."""
    work = workshop.callback(SLOT, TOKEN, purpose=Purpose.NOTIFY)
    await post(workshop, work, answered(404))
    assert workshop.publisher.types == ["callback.failed"]
    assert workshop.publisher.work == []


async def test_the_same_answer_again_makes_the_same_messages(workshop: Workshop) -> None:
    """A redelivered message is harmless: ids follow from what happened."""
    work = workshop.callback(SLOT, TOKEN)
    await post(workshop, work, answered(200, NEXT))
    await post(workshop, work, answered(200, NEXT))
    first, second = workshop.publisher.calls
    assert [m.id for m in first] == [m.id for m in second]


async def test_what_is_no_callback_is_not_posted(workshop: Workshop) -> None:
    """A misplaced message, or one whose seal does not fit, makes no request."""
    caller, pauses = FakeCaller(), Pauses(workshop.clock)
    worker = workshop.callback_worker(caller, pauses)
    with pytest.raises(Undecodable):
        await worker(delivery(start_message(SLOT, "acme")))
    work = workshop.callback(SLOT, TOKEN)
    with pytest.raises(SealBroken):
        await worker(delivery(work.model_copy(update={"id": "other"})))
    assert caller.posts == []


async def test_nothing_secret_leaves_the_worker(workshop: Workshop) -> None:
    """Neither values nor tokens nor paths, in events, work and rows alike (G6)."""
    work = workshop.callback(SLOT, TOKEN, waited_s=3.5)
    answer = str(issuance()).replace("'", '"').encode()
    await post(workshop, work, answered(503), answered(200, answer))
    await post(workshop, workshop.callback(SLOT, TOKEN), answered(503))
    rows = await workshop.store.waiting(limit=10)
    sent = [message.body for message in workshop.publisher.messages]
    assert len(sent) == 4
    for body in [*sent, *(row.message.body for row in rows)]:
        assert b"MARKER" not in body
