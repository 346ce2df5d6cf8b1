"""Both sides of every race of the hand-over, by the real rules and workers."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from orchestrator.domain import handover
from orchestrator.domain.chain import ChainState, StepState
from orchestrator.domain.handover import Detach, Forward
from schemas.irma import JsonObject
from schemas.messages import End, IntakeWork, NotifyWork
from tests.support.fakes import token_of
from tests.support.samples import FULLNAME, delivery, disclosure, issuance, result_of
from tests.support.workshop import Begun, EndpointAnswer, Workshop
from tests.unit.gateway.bridging import endpoint_says, proved
from tests.unit.workers.answering import (
    SECOND,
    forward,
    forwarded,
    looked_up,
    offered,
    says,
    starts,
    telling,
    told,
)
from tests.unit.workers.later import work_through

#: How long the app may wait, and the last moment before that is over.
BUDGET_S = 3.0
IN_TIME_S = 2.999_999

#: What the log says of each answer.
CLAIMS = {"session.claimed", "session.answer_lost"}


async def started_again(workshop: Workshop, begun: Begun) -> None:
    """The second session is started on its own, with what the first has disclosed."""
    slot = begun.slot.following
    assert (await workshop.row(slot)).state is StepState.DETACHED
    await workshop.starter().start(slot)
    await workshop.settled()
    row = await workshop.row(slot)
    assert (row.state, workshop.rows.token(row)) == (StepState.LIVE, token_of(2))
    asked = workshop.backend.requests[-1].request.disclose
    again = [(one.type, one.value) for one in asked[-1][0]]
    assert again == [(FULLNAME, "MARKER")]


# --------------------------------------------------------------- the endpoint's answer


@pytest.mark.parametrize(
    "after_s,state",
    [
        (IN_TIME_S, StepState.OFFERED),
        (BUDGET_S, StepState.DETACHED),
        (60.0, StepState.DETACHED),
    ],
)
async def test_the_endpoint_answers_about_when_the_app_gives_up(
    workshop: Workshop, after_s: float, state: StepState
) -> None:
    """Just before, it is offered; just after, it is started on its own at once."""
    begun = await workshop.begin()
    work = workshop.callback(begun.slot, begun.token, waited_s=BUDGET_S)
    workshop.clock.advance(after_s)
    await workshop.carry_on(work, disclosure())
    assert (await workshop.row(begun.slot.following)).state is state
    assert bool(starts(workshop)) == (state is StepState.DETACHED)


@pytest.mark.parametrize(
    "after_s,outcome",
    [(IN_TIME_S, Forward.FORWARDED), (BUDGET_S, Forward.NOT_FORWARDED)],
)
async def test_the_gateway_claims_about_at_its_deadline(
    workshop: Workshop, after_s: float, outcome: Forward
) -> None:
    """Just before, the request is handed over; just after, the row is somebody else's."""
    begun = await offered(workshop)
    workshop.clock.advance(after_s)
    assert await forward(workshop, begun) is outcome


@pytest.mark.parametrize(
    "answers",
    [(issuance(), disclosure()), (issuance(), End.COMPLETED), (End.FAILED, issuance())],
    ids=["sessions", "session-and-end", "end-and-session"],
)
async def test_of_two_different_answers_at_once_one_counts(
    workshop: Workshop, answers: tuple[EndpointAnswer, EndpointAnswer]
) -> None:
    """Two workers have them: one claims the slot and is followed, the other is logged."""
    begun = await workshop.begin()
    with capture_logs() as logs:
        await asyncio.gather(
            *(says(workshop, begun, answer, waited_s=None) for answer in answers)
        )
    outcomes = sorted(line["event"] for line in logs if line["event"] in CLAIMS)
    assert outcomes == ["session.answer_lost", "session.claimed"]
    while await work_through(workshop):
        pass
    first, second = await workshop.store.steps(begun.id)
    assert (second.slot, first.slot) == (begun.slot.following, begun.slot)
    assert second.state in {StepState.LIVE, StepState.END}
    assert len(workshop.backend.requests) == 1 + (second.state is StepState.LIVE)


# ------------------------------------------------------------- the gateway in between


async def test_a_gateway_dies_between_offer_and_claim(workshop: Workshop) -> None:
    """The clock detaches what nobody claims, and the chain goes on without the app."""
    begun = await offered(workshop)
    workshop.clock.advance(5)
    await workshop.beat()
    await started_again(workshop, begun)


async def test_a_gateway_thaws_after_the_row_was_detached(workshop: Workshop) -> None:
    """Frozen between offer and claim, it now forwards nothing and detaches nothing."""
    begun = await offered(workshop)
    row = begun.slot.following
    workshop.clock.advance(5)
    await workshop.beat()
    await started_again(workshop, begun)
    assert await forward(workshop, begun) is Forward.NOT_FORWARDED
    outcome = await workshop.rulings.by_outbox(
        row, lambda view: handover.detach(view, row)
    )
    assert outcome is Detach.NOT_DETACHED
    assert (await workshop.row(row)).state is StepState.LIVE


async def test_a_gateway_claims_just_before_the_clock_looks(workshop: Workshop) -> None:
    """The row is handed over: neither the clock nor a returned wake-up detaches it."""
    begun = await forwarded(workshop)
    row = begun.slot.following
    workshop.publisher.gone.add("gateway.one")
    workshop.clock.advance(5)
    await workshop.beat()
    await says(workshop, begun, disclosure())
    assert (await workshop.row(row)).state is StepState.FORWARDED
    assert starts(workshop) == []


@pytest.mark.trap("T9")
async def test_the_irma_server_posts_twice(workshop: Workshop) -> None:
    """The same request both times, one row, told once; its handler's time counts anew."""
    begun = await workshop.begin()
    workshop.replies.script = endpoint_says(workshop, disclosure())
    first = await proved(workshop, begun)
    workshop.clock.advance(30)
    second = await proved(workshop, begun)
    await workshop.settled()
    assert (first.status, second.status) == (200, 200)
    assert first.body == second.body
    rows = await workshop.store.steps(begun.id)
    assert [row.slot.step for row in rows] == [1, 2]
    requested = [e.id for e in workshop.publisher.events if e.type == "session.requested"]
    assert len(set(requested)) == 1
    timeout = result_of(begun.token, "TIMEOUT")
    assert await looked_up(workshop, begun, timeout, 59) is StepState.FORWARDED
    assert await looked_up(workshop, begun, timeout, 2) is StepState.FORWARDED
    assert await looked_up(workshop, begun, timeout, 60) is StepState.DETACHED


# ------------------------------------------------------------------ updates that are lost


@pytest.mark.parametrize("status", ["CANCELLED", "TIMEOUT"])
async def test_the_app_is_cut_off_after_our_200(workshop: Workshop, status: str) -> None:
    """The session that it made is an orphan: ours goes on, and its end is noise."""
    begun = await forwarded(workshop, telling(), disclosure())
    cancelled = result_of(begun.token, "CANCELLED", None)
    await workshop.report(begun.slot, cancelled)
    assert told(workshop) == []
    assert await looked_up(workshop, begun, cancelled) is StepState.DETACHED
    await started_again(workshop, begun)
    before = await workshop.row(begun.slot.following)
    await workshop.report(begun.slot.following, result_of(SECOND, status, None))
    assert await workshop.row(begun.slot.following) == before
    assert (await workshop.chain(begun.id)).state is ChainState.RUNNING
    assert workshop.backend.cancelled == []


async def test_cancelled_is_announced_and_done_is_stored(workshop: Workshop) -> None:
    """As recorded of an endpoint that answers after 5 s: the app goes on in flow."""
    begun = await forwarded(workshop, telling(), disclosure())
    done = result_of(begun.token, "DONE", nextSession=SECOND)
    await workshop.report(begun.slot, result_of(begun.token, "CANCELLED", None))
    await workshop.report(begun.slot, done)
    assert await looked_up(workshop, begun, done) is StepState.LIVE
    await workshop.report(begun.slot, result_of(begun.token, "CANCELLED", None))
    assert told(workshop) == []
    await workshop.work_off(NotifyWork)
    assert told(workshop) == [done]
    assert workshop.rows.token(await workshop.row(begun.slot.following)) == SECOND


async def test_done_is_announced_and_cancelled_is_stored(workshop: Workshop) -> None:
    """As recorded of a callbackUrl that answers after 5 s: nobody can reach the next."""
    begun = await forwarded(workshop, telling(), disclosure())
    done = result_of(begun.token, "DONE", nextSession=SECOND)
    await workshop.report(begun.slot, done)
    cancelled = result_of(begun.token, "CANCELLED", None)
    await workshop.report(begun.slot, cancelled)
    assert await looked_up(workshop, begun, cancelled) is StepState.DETACHED
    assert told(workshop) == []
    await started_again(workshop, begun)
    await workshop.work_off(NotifyWork)
    assert told(workshop) == [result_of(begun.token, "DONE", nextSession=token_of(2))]
    assert (await workshop.row(begun.slot)).final_status == "DONE"


# --------------------------------------------------------- a server without its memory


async def test_the_server_forgets_a_session_that_was_handed_to_it(
    workshop: Workshop,
) -> None:
    """Restarted without state: the step is lost after a minute and started by us."""
    begun = await forwarded(workshop, None, disclosure())
    assert await looked_up(workshop, begun, None, 59) is StepState.FORWARDED
    assert await looked_up(workshop, begun, None, 2) is StepState.FORWARDED
    assert await looked_up(workshop, begun, None, 60) is StepState.DETACHED
    await started_again(workshop, begun)


@pytest.mark.parametrize(
    "after_s,state",
    [(239, ChainState.EXPIRED), (241, ChainState.RUNNING), (1_861, ChainState.EXPIRED)],
)
async def test_the_server_forgets_a_live_session(
    workshop: Workshop, after_s: float, state: ChainState
) -> None:
    """Within 4 minutes it was a restart; later, until nothing can live, maybe a purge."""
    begun = await workshop.begin()
    workshop.clock.advance(after_s)
    await workshop.beat()
    assert (await workshop.chain(begun.id)).state is state


async def test_the_server_forgets_while_a_result_is_on_its_way(
    workshop: Workshop,
) -> None:
    """It was taken in: the row is marked, and the chain goes on (H4)."""
    begun = await workshop.begin()
    workshop.replies.script = endpoint_says(workshop, disclosure())
    await proved(workshop, begun)
    workshop.clock.advance(20)
    await workshop.beat()
    assert (await workshop.row(begun.slot)).state is StepState.FINISHED
    assert (await workshop.chain(begun.id)).state is ChainState.RUNNING


# --------------------------------------------------------------- callbacks that are lost


@pytest.mark.parametrize("request_", [disclosure(), telling()], ids=["last", "chained"])
@pytest.mark.parametrize("ends_after_s", [0.0, 7.0, 19.9, 60.1])
async def test_a_session_whose_result_never_arrived_is_found_within_30_s(
    workshop: Workshop, request_: JsonObject, ends_after_s: float
) -> None:
    """Nobody calls: the clock looks at every live session often enough."""
    begun = await workshop.begin(request_)
    await _pass(workshop, ends_after_s)
    workshop.backend.results[begun.token] = result_of(begun.token, "CANCELLED", None)
    await _pass(workshop, 30)
    work = next(w for w in workshop.publisher.work if isinstance(w, IntakeWork))
    assert work.source == "poll"
    workshop.publisher.calls.clear()
    await workshop.session_worker()(delivery(work))
    assert (await workshop.chain(begun.id)).state is ChainState.CANCELLED


async def _pass(workshop: Workshop, seconds: float) -> None:
    """Time passes by the second; the session runs until a result is stored."""
    token = token_of(1)
    for _ in range(int(seconds)):
        workshop.backend.results.setdefault(token, result_of(token, "CONNECTED", None))
        workshop.clock.advance(1)
        await workshop.beat()
    workshop.clock.advance(seconds % 1)
