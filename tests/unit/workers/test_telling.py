"""Events to a requestor's own URL: the lane `events` of the callback workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from orchestrator.domain import breaker
from orchestrator.domain.breaker import Endpoint
from orchestrator.domain.delivery import Fault, NoAnswer, Reply
from orchestrator.domain.errors import Undecodable
from orchestrator.domain.refusals import IN_A_ROW_MAX
from orchestrator.domain.telling import EventUrl, EventUrls, Wanted
from orchestrator.ports import PARKED, RETRY, Queues, Waiting, work_message
from orchestrator.work import ends_with_generation, event_work
from schemas.events import (
    ChainEvent,
    dump_event,
    parse_event,
)
from schemas.messages import EventWork, parse_work
from tests.support.events import started
from tests.support.fakes import FakeCaller
from tests.support.parts import Pauses
from tests.support.samples import NOW, delivery
from tests.support.workshop import Workshop
from tests.unit.conftest import LoseStore
from tests.unit.workers.posting import SLOT, TOKEN, answered
from workers.telling import EventTeller, NotTold

URL = "https://shop.example/told/MARKER?key=MARKER"
ENDPOINT = "events+https://shop.example:443"
URLS: EventUrls = {"acme": EventUrl(url=URL)}


def happened(event_id: str = "C1-1-0-session_started-0") -> ChainEvent:
    """Something that subscribers were told."""
    return started(event_id, sequence=7)


def work(event: ChainEvent | None = None) -> EventWork:
    """The delivery of an event."""
    event = event or happened()
    return event_work(event, dump_event(event), URL)


def teller(
    workshop: Workshop,
    caller: FakeCaller,
    urls: EventUrls = URLS,
    pauses: Pauses | None = None,
) -> EventTeller:
    """A worker of the lane."""
    callbacks = workshop.callback_worker(caller, pauses or Pauses(workshop.clock))
    return EventTeller(
        callbacks=callbacks,
        urls=urls,
        store=callbacks.store,
        make=callbacks.make,
        gate=callbacks.gate,
        parking=callbacks.parking,
        caller=caller,
        signer=callbacks.signer,
        policies=callbacks.policies,
        timeout_s=20.0,
        clock=workshop.clock,
        random=callbacks.random,
        hold=callbacks.hold,
    )


async def tell(
    workshop: Workshop, one: EventWork, *replies: Reply, urls: EventUrls = URLS
) -> FakeCaller:
    """Handle one message, with the receiver giving these replies."""
    caller = FakeCaller(replies)
    await teller(workshop, caller, urls)(delivery(one))
    assert len(caller.posts) == len(replies)
    return caller


async def waiting(workshop: Workshop) -> Sequence[Waiting]:
    """What waits of it."""
    return await workshop.store.waiting(limit=10)


async def test_an_event_is_posted_as_everybody_is_told_it(workshop: Workshop) -> None:
    """Its body is the event, its webhook's id the event's."""
    (post,) = (await tell(workshop, work(), answered(204))).posts
    assert parse_event(post.body) == happened()
    assert (post.url, post.requestor) == (URL, "acme")
    assert post.content_type == "application/cloudevents+json"
    headers = dict(post.headers)
    assert headers.pop("traceparent").startswith("00-")
    assert headers == {
        "User-Agent": "session-chain-orchestrator",
        "Accept-Encoding": "gzip",
        "webhook-id": "C1-1-0-session_started-0",
        "webhook-timestamp": str(int(NOW.timestamp())),
        "Chain-Id": "C1",
        "Chain-Step": "1",
    }


async def test_it_is_signed_with_the_requestors_secrets(workshop: Workshop) -> None:
    """Over the id, the time and the very body."""
    workshop.signer.webhooks.add("acme")
    (post,) = (await tell(workshop, work(), answered(200))).posts
    assert post.headers["webhook-signature"] == "v1,1"
    assert workshop.signer.posted == [(post.headers["webhook-id"], post.body, NOW)]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_success_is_the_end_of_it(workshop: Workshop, status: int) -> None:
    """Nothing waits and nothing is told, not even that it went well."""
    await tell(workshop, work(), answered(status))
    assert await waiting(workshop) == []
    assert workshop.publisher.calls == []


@pytest.mark.parametrize(
    "reply", [answered(500), answered(429), NoAnswer(fault=Fault.TIMEOUT, duration_s=20)]
)
async def test_it_is_tried_again_in_the_background_only(
    workshop: Workshop, reply: Reply
) -> None:
    """As a waiting row of the same lane; of this nothing is told either."""
    await tell(workshop, work(), reply)
    (row,) = await waiting(workshop)
    assert (row.kind, row.endpoint, row.chain_id) == (RETRY, ENDPOINT, "C1")
    assert row.message.routing_key == Queues.CALLBACKS_EVENTS
    assert workshop.publisher.calls == []


async def test_every_attempt_has_the_same_id_and_body(workshop: Workshop) -> None:
    """Only the time is another one."""
    caller = FakeCaller([answered(503), answered(503)])
    at_work = teller(workshop, caller)
    await at_work(delivery(work()))
    (row,) = await waiting(workshop)
    workshop.clock.advance(5)
    await at_work(delivery(row.message))
    first, second = caller.posts
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    rows = await waiting(workshop)
    assert [one.due_at - one.created_at for one in rows] == [
        timedelta(seconds=5),
        timedelta(seconds=30),
    ]


async def test_a_redelivery_waits_once(workshop: Workshop) -> None:
    """The message came twice, as its worker died before it was acknowledged."""
    for _ in range(2):
        await tell(workshop, work(), answered(500))
    assert len(await waiting(workshop)) == 1


@pytest.mark.parametrize(
    "reply, said",
    [
        (answered(404), "unexpected status 404"),
        (answered(301), "redirects are not followed"),
        (NoAnswer(fault=Fault.FORBIDDEN, duration_s=0), "destination is not allowed"),
    ],
)
async def test_what_fails_for_good_is_seen_among_the_dead(
    workshop: Workshop, reply: Reply, said: str
) -> None:
    """With its reason, and no event about it, which would fail for good as well."""
    with pytest.raises(NotTold, match=said):
        await tell(workshop, work(), reply)
    assert await waiting(workshop) == []
    assert workshop.publisher.calls == []


async def test_it_is_given_up_after_all_delays(workshop: Workshop) -> None:
    """It is in `dead` then, and each requeueing is one more attempt."""
    last = work().model_copy(update={"attempt": 3, "retries": 2})
    with pytest.raises(NotTold, match="given up after 3 attempts: status 500"):
        await tell(workshop, last, answered(500))
    await tell(workshop, last, answered(204))


async def test_a_requestor_has_its_own_delays(workshop: Workshop) -> None:
    """Those of its callbacks."""
    patient = happened().model_copy(update={"requestor": "patient"})
    urls = {"patient": EventUrl(url=URL)}
    await tell(workshop, work(patient), answered(500), urls=urls)
    (row,) = await waiting(workshop)
    assert row.due_at - row.created_at == timedelta(seconds=900)


async def test_who_says_gone_is_left_alone(workshop: Workshop) -> None:
    """It does not want this event; nobody has to look after it."""
    await tell(workshop, work(), answered(410))
    assert await waiting(workshop) == []


async def test_what_nobody_wants_any_more_is_dropped(workshop: Workshop) -> None:
    """The URL was taken out of the configuration."""
    await tell(workshop, work(), urls={})
    assert await waiting(workshop) == []


async def test_what_has_waited_goes_to_the_url_of_now(workshop: Workshop) -> None:
    """Also where that of before is at an endpoint that is left alone."""
    moved = {"acme": EventUrl(url="http://new.example/x")}
    (post,) = (await tell(workshop, work(), answered(500), urls=moved)).posts
    (row,) = await waiting(workshop)
    assert (post.url, row.endpoint) == (
        "http://new.example/x",
        "events+http://new.example:80",
    )


async def test_a_url_cannot_be_read_in_messages(workshop: Workshop) -> None:
    """Its path is a secret; nothing here is sealed."""
    await tell(workshop, work(), answered(500))
    (row,) = await waiting(workshop)
    assert b"MARKER" not in row.message.body


async def paused(workshop: Workshop, origin: str) -> None:
    """An operator has paused this endpoint."""
    endpoint = Endpoint(origin=origin, since=NOW, release_at=NOW)
    after = replace(endpoint, paused_at=NOW, version=1)
    assert await workshop.store.change_endpoint(endpoint, after, [])


async def test_an_endpoint_of_events_has_its_own_pauses(workshop: Workshop) -> None:
    """Events are parked; the chains' callbacks to the same server go on."""
    await paused(workshop, ENDPOINT)
    caller = FakeCaller([answered(204)])
    at_work = teller(workshop, caller)
    await at_work.gate.refresh()
    await at_work(delivery(work()))
    (row,) = await waiting(workshop)
    assert (row.kind, row.endpoint) == (PARKED, ENDPOINT)
    assert caller.posts == []
    await at_work(delivery(workshop.callback(SLOT, TOKEN)))
    assert len(caller.posts) == 1


async def test_failing_events_do_not_open_the_chains_breaker(workshop: Workshop) -> None:
    """Their own opens; the server may still answer chains well."""
    attempts = workshop.gate()._policy.attempts_min
    caller = FakeCaller([answered(500)] * attempts)
    at_work = teller(workshop, caller)
    for number in range(attempts):
        await at_work(delivery(work(happened(f"e{number}"))))
    rows = {row.origin: row.state for row in await workshop.store.endpoints()}
    assert rows == {ENDPOINT: breaker.BreakerState.OPEN}


async def refused(workshop: Workshop, at_work: EventTeller, *numbers: int) -> int:
    """Each event is POSTed or kept; how many are dead then."""
    dead = 0
    for number in numbers:
        try:
            await at_work(delivery(work(happened(f"e{number}"))))
        except NotTold:
            dead += 1
    return dead


async def test_a_url_that_refuses_all_is_paused(workshop: Workshop) -> None:
    """Few are dead; the others wait, the one that was too many among them."""
    caller = FakeCaller([answered(404)] * IN_A_ROW_MAX)
    at_work = teller(workshop, caller)
    assert await refused(workshop, at_work, *range(50)) == IN_A_ROW_MAX - 1
    (endpoint,) = await workshop.store.endpoints()
    assert endpoint.origin == "events+acme"
    assert endpoint.note == (
        "10 events in a row failed for good, the last one: unexpected status 404"
    )
    (event,) = workshop.publisher.events
    assert (event.type, event.subject) == ("endpoint.paused", "events+acme")
    rows = await workshop.store.waiting(limit=100)
    assert {(row.kind, row.endpoint) for row in rows} == {(PARKED, "events+acme")}
    assert len(rows) == 50 - (IN_A_ROW_MAX - 1)


async def test_what_waited_is_told_when_it_is_resumed(workshop: Workshop) -> None:
    """At the URL's own endpoint again; and it is counted anew."""
    caller = FakeCaller([answered(404)] * (2 * IN_A_ROW_MAX - 1))
    at_work = teller(workshop, caller)
    await refused(workshop, at_work, *range(IN_A_ROW_MAX))
    (row,) = await waiting(workshop)
    (before,) = await workshop.store.endpoints()
    after = breaker.resumed(before, workshop.clock())
    assert after is not None
    assert await workshop.store.change_endpoint(before, after, [])
    await at_work.gate.refresh()
    with pytest.raises(NotTold):
        await at_work(delivery(row.message))
    assert len(caller.posts) == IN_A_ROW_MAX + 1
    assert await refused(workshop, at_work, *range(20, 28)) == IN_A_ROW_MAX - 2


async def test_another_requestor_at_the_same_server_is_not_in_question(
    workshop: Workshop,
) -> None:
    """It is the URL that takes nothing, not the endpoint."""
    urls = {"acme": EventUrl(url=URL), "other": EventUrl(url=URL)}
    caller = FakeCaller([answered(404)] * IN_A_ROW_MAX + [answered(204)])
    at_work = teller(workshop, caller, urls)
    await refused(workshop, at_work, *range(IN_A_ROW_MAX))
    theirs = happened("x").model_copy(update={"requestor": "other"})
    await at_work(delivery(work(theirs)))
    assert caller.posts[-1].requestor == "other"


async def test_what_is_taken_in_between_shows_that_the_url_works(
    workshop: Workshop,
) -> None:
    """What is tried again shows nothing."""
    nine = [answered(404)] * (IN_A_ROW_MAX - 1)
    replies = [*nine, answered(204), *nine, answered(500), answered(404)]
    at_work = teller(workshop, FakeCaller(replies))
    assert await refused(workshop, at_work, *range(len(replies))) == 2 * len(nine)
    (endpoint,) = await workshop.store.endpoints()
    assert endpoint.paused_at is not None


async def test_a_pause_that_cannot_be_written_is_asked_for_again(
    workshop: Workshop, lose_store: LoseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the next event that fails; until then they are buried."""
    caller = FakeCaller([answered(404)] * (IN_A_ROW_MAX + 1))
    at_work = teller(workshop, caller)
    lose_store("endpoint")
    assert await refused(workshop, at_work, *range(IN_A_ROW_MAX)) == IN_A_ROW_MAX
    monkeypatch.undo()
    assert await refused(workshop, at_work, IN_A_ROW_MAX) == 0
    (endpoint,) = await workshop.store.endpoints()
    assert endpoint.paused_at is not None


async def test_callbacks_of_the_lane_are_made_too(workshop: Workshop) -> None:
    """As by any other lane's worker."""
    caller = FakeCaller([answered(204)])
    await teller(workshop, caller)(delivery(workshop.callback(SLOT, TOKEN)))
    assert workshop.publisher.types == ["callback.answered"]


async def test_other_work_does_not_belong_there(workshop: Workshop) -> None:
    """It is buried with a reason."""
    cancel = workshop.make.cancel(SLOT, "acme", TOKEN, until=NOW)
    with pytest.raises(Undecodable, match="kind: cancel"):
        await teller(workshop, FakeCaller())(delivery(cancel))


async def test_while_the_store_is_away_the_receiver_is_not_asked_again(
    workshop: Workshop, lose_store: LoseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has answered: the retry becomes a row when the store is back."""
    caller = FakeCaller([answered(500)])
    pauses = Pauses(workshop.clock, meanwhile={3: monkeypatch.undo})
    at_work = teller(workshop, caller, pauses=pauses)
    lose_store("put_waiting")
    await at_work(delivery(work()))
    assert len(caller.posts) == 1
    (row,) = await waiting(workshop)
    assert row.kind == RETRY


async def test_while_the_store_is_away_a_refusal_is_counted_once(
    workshop: Workshop, lose_store: LoseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that is too many is kept by the pause it brings, once it can be written."""
    caller = FakeCaller([answered(404)] * IN_A_ROW_MAX)
    counted: list[int] = []

    def back() -> None:
        counted.append(at_work._refusals["acme"].in_a_row)
        monkeypatch.undo()

    pauses = Pauses(workshop.clock, meanwhile={3: back})
    at_work = teller(workshop, caller, pauses=pauses)
    lose_store("park")
    assert await refused(workshop, at_work, *range(IN_A_ROW_MAX)) == IN_A_ROW_MAX - 1
    assert len(caller.posts) == counted[0] == IN_A_ROW_MAX
    (row,) = await waiting(workshop)
    assert (row.kind, row.endpoint) == (PARKED, "events+acme")


def test_deliveries_of_events_outlive_their_generation() -> None:
    """A replay closes it; what has happened has happened."""
    row = Waiting(
        id="r", kind=RETRY, due_at=NOW, message=work_message(work()), created_at=NOW
    )
    assert not ends_with_generation(row)


def test_an_event_and_the_callback_of_the_same_name_are_apart() -> None:
    """A `nextSession` callback has the id of the event that it is about."""
    one = work(happened("C1-1-0-session_completed-x"))
    assert one.id != one.event_id
    assert parse_work(work_message(one).body) == one
    assert work_message(one).routing_key == Queues.CALLBACKS_EVENTS


@pytest.mark.parametrize(
    "patterns, takes",
    [((), True), (("*",), True), (("session.*",), True), (("chain.*",), False)],
)
def test_wanted_types(patterns: tuple[str, ...], takes: bool) -> None:  # noqa: FBT001 - a table
    """Without any pattern all are."""
    assert Wanted(patterns).takes("session.started") is takes
