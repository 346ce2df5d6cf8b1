"""Replays of real chains: what goes out, what goes on, what has no effect any more."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Final

from structlog.testing import capture_logs

from orchestrator.domain import handover
from orchestrator.domain.chain import ChainState, Slot, StepState
from orchestrator.domain.errors import BackendRefused
from orchestrator.domain.generations import NotReplayed, Opened, next_generation
from orchestrator.ports import Changes, Queues
from schemas.events import Purpose
from schemas.irma import Status, session_result_from
from schemas.messages import (
    CallbackSecrets,
    CallbackWork,
    CancelWork,
    End,
    IntakeWork,
    Lane,
    StartWork,
)
from tests.support.asgi import call
from tests.support.fakes import token_of
from tests.support.samples import (
    CALLBACK,
    FULLNAME,
    SECRET,
    TARGET,
    delivery,
    disclosure,
    issuance,
    result_of,
)
from tests.support.workshop import Begun, Workshop
from tests.unit.gateway.bridging import post as post_bridge
from tests.unit.workers.answering import detached, says
from tests.unit.workers.later import answers, asked, proved_one, work_through
from tests.unit.workers.posting import answered, post

AGAIN: Final = [[{"type": FULLNAME, "value": "MARKER"}]]
ANOTHER_URL: Final = "https://other.example/next/MARKER"


async def failed(workshop: Workshop) -> Begun:
    """A chain whose first callback was given up."""
    begun = await workshop.begin(disclosure(TARGET, callbackUrl=CALLBACK))
    await says(workshop, begun, End.FAILED, waited_s=None)
    await workshop.settled()
    workshop.publisher.calls.clear()
    return begun


async def replay(workshop: Workshop, begun: Begun, url: str | None = None) -> Slot:
    """Replay the chain; the slot that its next generation begins with."""
    generation = (await workshop.chain(begun.id)).generation
    outcome = await workshop.reopener.replay(begun.id, generation, url=url)
    assert isinstance(outcome, Opened), outcome
    await workshop.settled()
    return outcome.slot


async def not_replayed(workshop: Workshop, begun: Begun, generation: int = 0) -> str:
    """Why it is not; and nothing was published."""
    workshop.publisher.calls.clear()
    outcome = await workshop.reopener.replay(begun.id, generation)
    await workshop.settled()
    assert isinstance(outcome, NotReplayed)
    assert workshop.publisher.calls == []
    return outcome.reason


def made_again(workshop: Workshop) -> CallbackWork:
    """The callback of the replay."""
    (work,) = [w for w in workshop.publisher.work if isinstance(w, CallbackWork)]
    return work


async def test_a_failed_callback_goes_out_again_in_its_own_lane(
    workshop: Workshop,
) -> None:
    """The same result as when the user was connected, under a new id, attempt 1."""
    begun = await failed(workshop)
    workshop.backend.results[begun.token] = result_of(begun.token, "DONE")
    await workshop.report(begun.slot, result_of(begun.token, "DONE"), "poll")
    workshop.publisher.calls.clear()
    slot = await replay(workshop, begun)
    work = made_again(workshop)
    assert slot == next_generation(begun.slot)
    assert (work.lane, work.attempt, work.purpose) == (Lane.REPLAY, 1, Purpose.NEXT)
    assert workshop.publisher.to(Queues.CALLBACKS_REPLAY)
    assert work.id == slot.event_id(
        "session.completed", workshop.make.ordinal(begun.token)
    )
    secrets = workshop.sealer.open_model(CallbackSecrets, work.sealed, bound_to=work.id)
    result = session_result_from(secrets.result)
    assert (result.status, result.proved) == (Status.CONNECTED, True)
    assert (secrets.url, secrets.token) == (TARGET, begun.token)
    assert workshop.publisher.types == ["chain.replayed"]
    assert work.cause == workshop.publisher.events[0].id
    assert await workshop.waiting() == []


async def test_another_url_may_be_asked(workshop: Workshop) -> None:
    """The step's own request stays as it was."""
    begun = await failed(workshop)
    slot = await replay(workshop, begun, ANOTHER_URL)
    work = made_again(workshop)
    secrets = workshop.sealer.open_model(CallbackSecrets, work.sealed, bound_to=work.id)
    assert (secrets.url, work.endpoint) == (ANOTHER_URL, "https://other.example:443")
    request = workshop.rows.request(await workshop.row(slot))
    assert request.next_session is not None
    assert request.next_session.url == TARGET


async def test_the_answer_leads_on_with_what_was_disclosed(workshop: Workshop) -> None:
    """The next session is started by us, and requires it again, in the new generation."""
    begun = await failed(workshop)
    slot = await replay(workshop, begun)
    work = made_again(workshop)
    workshop.publisher.calls.clear()
    await workshop.carry_on(work, disclosure(TARGET))
    await workshop.work_off(StartWork)
    row = await workshop.row(slot.following)
    assert (row.state, row.slot.generation) == (StepState.LIVE, 1)
    plain = workshop.backend.requests[-1].to_wire()["request"]
    assert isinstance(plain, dict)
    assert plain["disclose"] == [[[FULLNAME]], AGAIN]
    assert workshop.publisher.types == ["session.requested", "session.started"]


async def test_a_chain_goes_on_over_several_generations(workshop: Workshop) -> None:
    """It fails at step 1, then at step 2; the third session requires the second's."""
    begun = await failed(workshop)
    slot = await replay(workshop, begun)
    await workshop.carry_on(made_again(workshop), disclosure(TARGET))
    await workshop.work_off(StartWork)
    second = workshop.callback(slot.following, token_of(2))
    await workshop.carry_on(second, End.FAILED)
    workshop.publisher.calls.clear()
    third = await replay(workshop, begun)
    assert (third.step, third.generation) == (2, 2)
    work = made_again(workshop)
    workshop.publisher.calls.clear()
    await workshop.carry_on(work, issuance())
    await workshop.work_off(StartWork)
    assert (await workshop.row(third.following)).state is StepState.LIVE
    plain = workshop.backend.requests[-1].to_wire()["request"]
    assert isinstance(plain, dict)
    assert plain["disclose"] == [AGAIN]


async def test_a_session_that_was_refused_is_started_again(workshop: Workshop) -> None:
    """Its URLs name the new generation, or its result would come to the closed one."""
    begun = await detached(workshop, answer=disclosure(TARGET))
    workshop.backend.refusal = BackendRefused(status=400, error="INVALID_REQUEST")
    await workshop.starter().start(begun.slot.following)
    assert (await workshop.chain(begun.id)).state is ChainState.FAILED
    workshop.backend.refusal = None
    workshop.publisher.calls.clear()
    slot = await replay(workshop, begun)
    assert (slot.step, slot.generation) == (2, 1)
    await workshop.work_off(StartWork)
    assert (await workshop.row(slot)).state is StepState.LIVE
    assert workshop.publisher.types == [
        "chain.replayed",
        "session.requested",
        "session.started",
    ]
    bridge = workshop.backend.requests[-1].next_session
    assert bridge is not None
    workshop.publisher.calls.clear()
    path = bridge.url.removeprefix("https://chains.example")
    await post_bridge(
        workshop, path, json.dumps(result_of(token_of(2)).to_wire()).encode()
    )
    await workshop.settled()
    assert (await workshop.row(slot)).state is StepState.COMPLETED
    assert made_again(workshop).generation == 1


async def test_a_session_that_nobody_came_for_is_started_again(
    workshop: Workshop,
) -> None:
    """Also the first one, which has nothing before it to require."""
    begun = await workshop.begin()
    await workshop.report(begun.slot, result_of(begun.token, "TIMEOUT", None), "poll")
    assert (await workshop.chain(begun.id)).state is ChainState.EXPIRED
    slot = await replay(workshop, begun)
    await workshop.work_off(StartWork)
    assert (await workshop.row(slot)).state is StepState.LIVE
    assert len(workshop.backend.requests) == 2


async def test_a_later_answer_that_never_came_is_asked_for_again(
    workshop: Workshop,
) -> None:
    """The chain expired while it waited; the earlier reply address says why it ended."""
    begun, work = await proved_one(workshop)
    earlier = await asked(workshop, work)
    workshop.clock.advance(3600)
    await workshop.beat()
    await work_through(workshop)
    assert (await workshop.chain(begun.id)).state is ChainState.EXPIRED
    workshop.publisher.calls.clear()
    await replay(workshop, begun)
    made = made_again(workshop)
    workshop.publisher.calls.clear()
    newer = await asked(workshop, made)
    answer = await answers(workshop, earlier)
    assert answer.status == 410
    assert (await answers(workshop, newer)).status == 204
    await work_through(workshop)
    assert (await workshop.chain(begun.id)).state is ChainState.COMPLETED


async def test_the_address_of_a_closed_generation_says_so(workshop: Workshop) -> None:
    """Its time is not over, but the chain was replayed meanwhile."""
    begun, work = await proved_one(workshop)
    earlier = await asked(workshop, work)
    await workshop.carry_on(work, End.FAILED)
    await replay(workshop, begun)
    answer = await answers(workshop, earlier)
    assert answer.status == 410
    assert "replayed" in json.loads(answer.body)["detail"]


async def test_what_waits_of_the_closed_generation_goes(workshop: Workshop) -> None:
    """Retries, parked callbacks and deadlines; what is owed to others stays."""
    begun = await failed(workshop)
    work = workshop.callback(begun.slot, begun.token)
    told = workshop.callback(begun.slot, begun.token, purpose=Purpose.NOTIFY)
    secrets = workshop.sealer.open_model(CallbackSecrets, work.sealed, bound_to=work.id)
    now = workshop.clock()
    until = now + timedelta(hours=1)
    kept = workshop.make.again(told, 5.0, now)
    await workshop.store.put_waiting(
        workshop.make.again(work, 5.0, now),
        workshop.make.parked(work, now),
        workshop.make.deadline(work, secrets, until=until, cause="c", now=now),
        kept,
    )
    await replay(workshop, begun)
    assert await workshop.waiting() == [kept.id]


async def test_a_cancellation_that_waits_outlives_its_generation(
    workshop: Workshop,
) -> None:
    """Nothing but its row knows the session that was given up (G2)."""
    begun = await failed(workshop)
    workshop.backend.unreachable = True
    until = workshop.clock() + timedelta(hours=1)
    cancel = workshop.make.cancel(begun.slot, "acme", "TokenGivenUp00000000", until=until)
    await workshop.session_worker()(delivery(cancel))
    workshop.backend.unreachable = False
    await replay(workshop, begun)
    workshop.clock.advance(11)
    await workshop.beat()
    await workshop.work_off(CancelWork)
    assert workshop.backend.cancelled == ["TokenGivenUp00000000"]


async def test_a_late_answer_of_the_closed_generation_is_logged(
    workshop: Workshop,
) -> None:
    """It was with a worker when the replay began; its slot holds the earlier end."""
    begun = await failed(workshop)
    slot = await replay(workshop, begun)
    work = workshop.callback(begun.slot, begun.token)
    with capture_logs() as logs:
        await workshop.carry_on(work, issuance())
    assert [log["event"] for log in logs if log["log_level"] == "warning"] == [
        "session.answer_lost"
    ]
    assert await workshop.store.step(slot.following) is None
    assert (await workshop.chain(begun.id)).state is ChainState.RUNNING


async def test_a_late_retry_of_the_closed_generation_ends_nothing(
    workshop: Workshop,
) -> None:
    """Its worker gives up and says so once more: the very same end, of generation 0."""
    begun = await failed(workshop)
    await replay(workshop, begun)
    work = workshop.callback(begun.slot, begun.token)
    workshop.publisher.calls.clear()
    await post(workshop, work, answered(404))
    await work_through(workshop)
    chain = await workshop.chain(begun.id)
    assert (chain.state, chain.generation) == (ChainState.RUNNING, 1)


async def test_a_row_of_the_closed_generation_only_gets_its_final_state(
    workshop: Workshop,
) -> None:
    """Its requestor is told once, by the row whose session it was."""
    begun = await failed(workshop)
    slot = await replay(workshop, begun)
    workshop.publisher.calls.clear()
    workshop.backend.results[begun.token] = result_of(begun.token, "DONE")
    workshop.clock.advance(60)
    for _ in range(2):
        await workshop.beat()
        await workshop.work_off(IntakeWork)
    assert (await workshop.row(begun.slot)).state is StepState.FINISHED
    assert made_again(workshop).purpose is Purpose.NOTIFY
    assert (await workshop.row(slot)).check_at is None


async def test_a_start_of_the_closed_generation_starts_nothing(
    workshop: Workshop,
) -> None:
    """A worker has the lease when the replay begins; what it started is cancelled."""
    begun = await detached(workshop, answer=disclosure(TARGET))
    old = begun.slot.following
    row = await workshop.row(old)
    workshop.clock.advance(timedelta(days=8).total_seconds())

    async def expires_and_is_replayed() -> None:
        workshop.backend.meanwhile = None
        await workshop.rulings.by_outbox(
            old, lambda v: handover.due_start(v, old, wall_time=timedelta(days=7))
        )
        await replay(workshop, begun)

    workshop.backend.meanwhile = expires_and_is_replayed
    await workshop.starter().start(old)
    assert workshop.backend.cancelled == [token_of(2)]
    assert (await workshop.row(old)).state is StepState.EXPIRED
    assert (await workshop.row(next_generation(row.slot))).state is StepState.DETACHED


async def test_a_chain_is_replayed_once_whoever_asks(workshop: Workshop) -> None:
    """Two at the same time: one begins the generation, the other is told."""
    begun = await failed(workshop)
    outcomes = await asyncio.gather(
        *(workshop.reopener.replay(begun.id, 0) for _ in range(2))
    )
    await workshop.settled()
    (told,) = [o for o in outcomes if isinstance(o, NotReplayed)]
    assert told.reason == "the chain was replayed before"
    assert len(workshop.publisher.to(Queues.CALLBACKS_REPLAY)) == 1


async def test_a_replay_goes_out_though_the_broker_is_away(workshop: Workshop) -> None:
    """Callback and event are rows of the same transaction: the clock relays them."""
    begun = await failed(workshop)
    workshop.publisher.down = True
    await replay(workshop, begun)
    assert len(await workshop.waiting()) == 2
    workshop.publisher.down = False
    workshop.clock.advance(3)
    await workshop.beat()
    assert made_again(workshop).lane is Lane.REPLAY
    assert workshop.publisher.types == ["chain.replayed"]


async def test_what_cannot_be_replayed_is_refused_with_its_reason(
    workshop: Workshop,
) -> None:
    """A running chain, one that ended well, and one that is not there."""
    begun = await workshop.begin()
    assert await not_replayed(workshop, begun) == "the chain is running"
    await says(workshop, begun, End.COMPLETED)
    assert await not_replayed(workshop, begun) == "the chain has completed"
    nobody = replace(begun, id="nobody")
    assert await not_replayed(workshop, nobody) == "there is no such chain"


async def test_results_that_were_deleted_cannot_be_replayed(workshop: Workshop) -> None:
    """The reason says since when."""
    begun = await failed(workshop)
    chain = replace(await workshop.chain(begun.id), purged_at=workshop.clock())
    changes = Changes(chain=chain)
    await workshop.store.decide(begun.slot, lambda _: (None, changes))
    reason = await not_replayed(workshop, begun)
    assert reason == "the chain's results were deleted at 2026-03-29T00:59:58+00:00"


async def test_the_requestor_finds_the_new_session_by_the_earlier_one(
    workshop: Workshop,
) -> None:
    """Polling the step whose callback failed tells of the one that follows it now."""
    begun = await failed(workshop)
    await replay(workshop, begun)
    work = made_again(workshop)
    workshop.publisher.calls.clear()
    await workshop.carry_on(work, issuance())
    await workshop.work_off(StartWork)
    path = f"/session/{begun.token}/result"
    answer = await call(workshop.gateway, "GET", path, b"", {"Authorization": SECRET})
    told = json.loads(answer.body)
    assert (answer.status, told["status"]) == (200, "DONE")
    assert told["nextSession"] == token_of(2)
