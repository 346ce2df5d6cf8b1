"""The bridge and the callback receiver, over the real store (handover.md, H4, H5)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestrator.domain.chain import StepState
from orchestrator.gateway.application import create_app
from orchestrator.gateway.bridge import detach
from schemas.messages import (
    CallbackSecrets,
    CallbackWork,
    End,
    IntakeSecrets,
    IntakeWork,
    StartWork,
    Wake,
    WakeUp,
)
from tests.support.samples import TARGET, disclosure, issuance, result_of, wire
from tests.support.workshop import Workshop
from tests.unit.gateway.bridging import (
    endpoint_says,
    post,
    posted,
    proved,
    woken_too_late,
)


async def test_the_next_session_is_handed_over_in_flow(workshop: Workshop) -> None:
    """200 with the prepared request, and by then its row is `forwarded`."""
    begun = await workshop.begin()
    workshop.replies.script = endpoint_says(workshop, issuance(TARGET))
    answer = await proved(workshop, begun)
    row = await workshop.row(begun.slot.following)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    assert answer.json == workshop.rows.prepared(row).to_wire()
    assert row.state is StepState.FORWARDED
    assert row.forwarded_at == workshop.clock.now
    assert (await workshop.row(begun.slot)).state is StepState.COMPLETED
    assert "shop.example" not in answer.body.decode()


async def test_the_result_is_published_event_first_with_a_reply_address(
    workshop: Workshop,
) -> None:
    """One call: the event, then its work, whose id is the event's, sealed."""
    begun, asked_at = await workshop.begin(), workshop.clock.now
    await proved(workshop, begun)
    event, message = workshop.publisher.calls[0]
    assert (event.routing_key, message.routing_key) == ("history", "callbacks")
    work = posted(workshop)
    assert event.id == work.id
    assert work.reply is not None
    assert work.reply.queue == workshop.replies.queue
    assert work.reply.deadline == asked_at + timedelta(seconds=3.0)
    secrets = workshop.sealer.open_model(CallbackSecrets, work.sealed, bound_to=work.id)
    assert (secrets.url, secrets.token) == (TARGET, begun.token)
    assert secrets.result == result_of(begun.token).to_wire()


async def test_nothing_secret_is_published_openly(workshop: Workshop) -> None:
    """No value, no token and no path stands in any message (G6)."""
    begun = await workshop.begin()
    workshop.replies.script = endpoint_says(workshop, issuance(TARGET))
    await proved(workshop, begun)
    await workshop.settled()
    assert len(workshop.publisher.messages) >= 4
    for message in workshop.publisher.messages:
        assert b"MARKER" not in message.body
        assert begun.token.encode() not in message.body


async def test_the_row_says_at_once_that_its_result_was_taken_in(
    workshop: Workshop,
) -> None:
    """Rule H4, whatever the endpoint will say."""
    begun = await workshop.begin()
    await proved(workshop, begun)
    row = await workshop.row(begun.slot)
    assert row.state is StepState.COMPLETED
    assert workshop.rows.token(row) == begun.token


@pytest.mark.parametrize("wake", [Wake.ENDED, Wake.LATER, Wake.ELSEWHERE])
async def test_the_users_session_ends_well_when_nothing_follows_in_flow(
    workshop: Workshop, wake: Wake
) -> None:
    """204 at once for an end, for later and for another backend."""
    begun = await workshop.begin()

    async def woken() -> WakeUp:
        return WakeUp(
            wake=wake,
            chain_id=begun.id,
            step=2,
            generation=0,
            requestor="acme",
            cause="x",
        )

    workshop.replies.script = woken
    answer = await proved(workshop, begun)
    assert (answer.status, answer.body) == (204, b"")


async def test_the_end_of_the_chain_ends_the_session(workshop: Workshop) -> None:
    """The endpoint's 204 becomes ours."""
    begun = await workshop.begin()
    workshop.replies.script = endpoint_says(workshop, End.COMPLETED)
    assert (await proved(workshop, begun)).status == 204
    assert (await workshop.chain(begun.id)).state == "completed"


async def test_a_failure_is_seen_by_the_app(workshop: Workshop) -> None:
    """502 with an empty body becomes IRMA's own NEXT_SESSION error (DESIGN §3)."""
    begun = await workshop.begin()
    workshop.replies.script = endpoint_says(workshop, End.FAILED)
    answer = await proved(workshop, begun)
    assert (answer.status, answer.body) == (502, b"")
    assert (await workshop.chain(begun.id)).state == "failed"


async def test_at_the_deadline_an_offer_is_detached_and_started(
    workshop: Workshop,
) -> None:
    """204, the row is `detached`, and its start is published at once (rule H5)."""
    begun = await workshop.begin()
    script = endpoint_says(workshop, issuance())
    workshop.replies.script = woken_too_late(workshop, script)
    answer = await proved(workshop, begun)
    await workshop.settled()
    assert (answer.status, answer.body) == (204, b"")
    row = await workshop.row(begun.slot.following)
    assert (row.state, row.in_flow) == (StepState.DETACHED, False)
    assert any(isinstance(work, StartWork) for work in workshop.publisher.work)
    assert await workshop.waiting() == []


async def test_at_the_deadline_without_an_answer_there_is_nothing_to_detach(
    workshop: Workshop,
) -> None:
    """204; when the endpoint answers at last, the next session is started by itself."""
    begun = await workshop.begin()
    assert (await proved(workshop, begun)).status == 204
    assert await workshop.store.step(begun.slot.following) is None
    await workshop.carry_on(posted(workshop), issuance())
    assert (await workshop.row(begun.slot.following)).state is StepState.DETACHED


async def test_the_wait_ends_within_the_budget(workshop: Workshop) -> None:
    """What publishing took is not waited for again."""
    begun = await workshop.begin()
    await proved(workshop, begun)
    (timeout_s,) = workshop.replies.timeouts_s
    assert 2.5 < timeout_s <= 3.0
    assert workshop.replies.waiting == 0


@pytest.mark.parametrize(
    "late_s, budget_s",
    [
        pytest.param([0.0, 0.2, 0.0], 3.0 - 4 * 0.2, id="by its turns"),
        pytest.param([9.0], 1.5, id="but half is left"),
    ],
)
async def test_a_gateway_that_is_late_itself_lets_the_app_go_earlier(
    workshop: Workshop, late_s: list[float], budget_s: float
) -> None:
    """The app's time runs while its POST waits for its turn; the worker knows it too."""
    begun = await workshop.begin()
    desk = workshop.desk()
    for one in late_s:
        desk.lateness.note(one, 1.0)
    asked_at = workshop.clock()
    await post(workshop, begun.bridge, wire(result_of(begun.token)), app=create_app(desk))
    (timeout_s,) = workshop.replies.timeouts_s
    assert budget_s - 0.5 < timeout_s <= budget_s
    reply = posted(workshop).reply
    assert reply is not None
    assert reply.deadline == asked_at + timedelta(seconds=budget_s)


async def test_an_offer_that_came_too_late_is_not_handed_over(
    workshop: Workshop,
) -> None:
    """After the deadline the app is gone: it is detached, and started on its own."""
    begun = await workshop.begin()
    script = endpoint_says(workshop, issuance())

    async def slowly() -> WakeUp | None:
        wake_up = await script()
        workshop.clock.advance(3.0)
        return wake_up

    workshop.replies.script = slowly
    assert (await proved(workshop, begun)).status == 204
    await workshop.settled()
    assert (await workshop.row(begun.slot.following)).state is StepState.DETACHED
    assert any(isinstance(work, StartWork) for work in workshop.publisher.work)


async def test_a_repeated_post_gets_the_same_request(workshop: Workshop) -> None:
    """The IRMA server repeats after transport errors; there is still one next session."""
    begun = await workshop.begin()
    workshop.replies.script = endpoint_says(workshop, issuance())
    first = await proved(workshop, begun)
    second = await proved(workshop, begun)
    assert (first.status, second.status) == (200, 200)
    assert first.body == second.body
    assert len(await workshop.store.steps(begun.id)) == 2
    works = [work for work in workshop.publisher.work if isinstance(work, CallbackWork)]
    assert len({work.id for work in works}) == 1


async def test_a_detached_offer_is_not_handed_over_any_more(workshop: Workshop) -> None:
    """Who comes second to a row gets 204."""
    begun = await workshop.begin()
    script = endpoint_says(workshop, issuance())

    async def detached_meanwhile() -> WakeUp | None:
        wake_up = await script()
        await detach(workshop.desk(), begun.slot.following)
        return wake_up

    workshop.replies.script = detached_meanwhile
    assert (await proved(workshop, begun)).status == 204
    assert (await workshop.row(begun.slot.following)).state is StepState.DETACHED


async def test_a_forwarded_session_is_announced_by_its_own_result(
    workshop: Workshop,
) -> None:
    """Its result comes in before anybody looked: it has evidently run."""
    begun = await workshop.begin()
    workshop.replies.script = endpoint_says(workshop, disclosure(TARGET))
    request = (await proved(workshop, begun)).fields
    await workshop.settled()
    workshop.publisher.calls.clear()
    workshop.replies.script = None
    next_session = request["nextSession"]
    assert isinstance(next_session, dict)
    path = str(next_session["url"]).removeprefix("https://chains.example")
    await post(workshop, path, wire(result_of("TokenOfTheSecond0000")))
    await workshop.settled()
    assert sorted(workshop.publisher.types) == ["session.completed", "session.started"]
    row = await workshop.row(begun.slot.following)
    assert (row.state, row.announced) == (StepState.COMPLETED, True)
    assert workshop.rows.token(row) == "TokenOfTheSecond0000"


@pytest.mark.parametrize("slash", ["", "/"])
async def test_both_spellings_of_a_path_are_ours(workshop: Workshop, slash: str) -> None:
    """Some servers add a slash to every URL (trap T7)."""
    begun = await workshop.begin()
    workshop.replies.script = endpoint_says(workshop, issuance())
    body = wire(result_of(begun.token))
    assert (await post(workshop, f"{begun.bridge}{slash}", body)).status == 200
    assert (await post(workshop, f"{begun.callback}{slash}", body)).status == 204


@pytest.mark.parametrize("status", ["CONNECTED", "DONE", "CANCELLED", "TIMEOUT"])
async def test_a_callback_is_handed_to_the_session_worker(
    workshop: Workshop, status: str
) -> None:
    """Sealed to `sessions`, nothing else: the receiver judges nothing."""
    begun = await workshop.begin()
    result = result_of(begun.token, status)
    answer = await post(workshop, begun.callback, wire(result))
    assert (answer.status, answer.body) == (204, b"")
    (work,) = workshop.publisher.work
    assert isinstance(work, IntakeWork)
    assert (work.chain_id, work.step, work.source) == (begun.id, 1, "callback")
    secrets = workshop.sealer.open_model(IntakeSecrets, work.sealed, bound_to=work.id)
    assert secrets.result == result.to_wire()
    assert workshop.publisher.events == []
    assert (await workshop.row(begun.slot)).state is StepState.LIVE


async def test_a_wake_up_that_nobody_waits_for_detaches_its_offer(
    workshop: Workshop,
) -> None:
    """The gateway that asked is gone, another one, or this one later, lets go (H5)."""
    begun = await workshop.begin()
    script = endpoint_says(workshop, issuance())
    workshop.replies.script = woken_too_late(workshop, script)
    desk = workshop.desk()
    row = begun.slot.following
    await detach(desk, row)
    assert await workshop.store.step(row) is None
    await proved(workshop, begun)
    await detach(desk, row)
    await workshop.settled()
    starts = [work for work in workshop.publisher.work if isinstance(work, StartWork)]
    assert len(starts) == 1


@pytest.mark.parametrize("mine", [True, False])
async def test_an_offer_is_handed_to_the_session_it_was_made_for(
    workshop: Workshop, *, mine: bool
) -> None:
    """Two sessions of a step would make two of the next: the other one gets 204 (G2)."""
    begun = await workshop.begin()
    workshop.replies.script = endpoint_says(workshop, issuance())
    first = await proved(workshop, begun)
    token = begun.token if mine else "TokenOfTheOrphan0000"
    before = await workshop.row(begun.slot.following)
    workshop.clock.advance(1)
    again = await post(workshop, begun.bridge, wire(result_of(token)))
    assert (first.status, again.status) == (200, 200 if mine else 204)
    after = await workshop.row(begun.slot.following)
    assert after.state is StepState.FORWARDED
    assert (after == before) is not mine


async def test_an_offer_is_left_to_the_session_it_was_made_for(
    workshop: Workshop,
) -> None:
    """Whoever asks for another one's neither takes nor spoils it."""
    begun = await workshop.begin()
    claimed = workshop.callback(begun.slot, begun.token, waited_s=3.0)
    await workshop.carry_on(claimed, issuance())
    workshop.replies.script = endpoint_says(workshop, issuance())
    orphan = await post(workshop, begun.bridge, wire(result_of("TokenOfTheOrphan0000")))
    assert orphan.status == 204
    assert (await workshop.row(begun.slot.following)).state is StepState.OFFERED
    assert (await proved(workshop, begun)).status == 200
