"""What was taken in or decided stays, whatever comes later (H3), and is told once."""

from __future__ import annotations

from typing import Literal

import pytest
from structlog.testing import capture_logs

from orchestrator.domain.chain import ChainState, Slot, StepState
from orchestrator.domain.ruling import CHECK_AFTER_CALLBACK, CHECK_LIVE
from schemas.messages import End, NoteSecrets, NotifyWork
from tests.support.asgi import call
from tests.support.fakes import token_of
from tests.support.samples import CALLBACK, delivery, disclosure, result_of
from tests.support.workshop import Workshop
from tests.unit.workers.answering import detached, forwarded, says, telling, told
from workers.notifying import FOLLOWING_WITHIN


async def test_a_contradiction_that_is_stored_leaves_what_was_taken_in(
    workshop: Workshop,
) -> None:
    """The update was lost: everybody is told DONE, as GET result says too, and once."""
    begun = await detached(workshop, telling())
    await workshop.starter().start(begun.slot.following)
    await workshop.settled()
    workshop.publisher.calls.clear()
    for _ in range(2):
        cancelled = result_of(begun.token, "CANCELLED", None)
        await workshop.report(begun.slot, cancelled, "poll")
    row = await workshop.row(begun.slot)
    assert (row.state, row.final_status) == (StepState.FINISHED, "DONE")
    assert workshop.publisher.types == ["session.finished"]
    (result,) = told(workshop)
    assert result == result_of(begun.token, "DONE", nextSession=token_of(2))
    assert (await workshop.chain(begun.id)).state is ChainState.RUNNING
    served = await call(workshop.gateway, "GET", f"/session/{begun.token}/result")
    assert served.json == result.to_wire()


@pytest.mark.trap("T30", "T31")
async def test_a_step_the_chain_has_failed_on_is_told_as_it_ended(
    workshop: Workshop,
) -> None:
    """The app saw NEXT_SESSION and deleted the session: CANCELLED, and nothing else."""
    begun = await workshop.begin(telling())
    await says(workshop, begun, End.FAILED)
    workshop.publisher.calls.clear()
    cancelled = result_of(begun.token, "CANCELLED", None)
    await workshop.report(begun.slot, cancelled, "poll")
    assert told(workshop) == [cancelled]
    assert workshop.publisher.types == ["session.cancelled"]
    served = await call(workshop.gateway, "GET", f"/session/{begun.token}/result")
    assert served.json == cancelled.to_wire()


async def test_what_is_announced_of_a_failed_chain_is_looked_up_at_once(
    workshop: Workshop,
) -> None:
    """The app's DELETE is announced before it is stored; the requestor waits for it."""
    begun = await workshop.begin(telling())
    await says(workshop, begun, End.FAILED)
    workshop.publisher.calls.clear()
    cancelled = result_of(begun.token, "CANCELLED", None)
    workshop.backend.results[begun.token] = cancelled
    await workshop.report(begun.slot, cancelled)
    assert told(workshop) == []
    workshop.clock.advance(CHECK_AFTER_CALLBACK.total_seconds())
    assert await workshop.beat() == 1
    (looked_up,) = workshop.publisher.work
    await workshop.session_worker()(delivery(looked_up))
    await workshop.settled()
    assert told(workshop) == [cancelled]


@pytest.mark.trap("T9")
@pytest.mark.parametrize(
    "first,later",
    [
        (("DONE", "VALID"), ("DONE", "VALID")),
        (("DONE", "VALID"), ("CANCELLED", None)),
        (("DONE", "VALID"), ("TIMEOUT", None)),
        (("DONE", "VALID"), ("DONE", "INVALID")),
        (("CANCELLED", None), ("DONE", "VALID")),
        (("CANCELLED", None), ("CANCELLED", None)),
        (("TIMEOUT", None), ("TIMEOUT", None)),
        (("TIMEOUT", None), ("DONE", "VALID")),
    ],
)
@pytest.mark.parametrize("source", ["callback", "poll"])
async def test_what_is_decided_stays(
    workshop: Workshop,
    first: tuple[str, str | None],
    later: tuple[str, str | None],
    source: Literal["callback", "poll"],
) -> None:
    """What comes twice, late or otherwise changes nothing, and is logged."""
    begun = await workshop.begin(disclosure(callbackUrl=CALLBACK))
    await workshop.report(begun.slot, result_of(begun.token, *first))
    before = await workshop.store.steps(begun.id), await workshop.chain(begun.id)
    sent = list(workshop.publisher.messages)
    workshop.clock.advance(3_600)
    with capture_logs() as logs:
        await workshop.report(begun.slot, result_of(begun.token, *later), source)
    after = await workshop.store.steps(begun.id), await workshop.chain(begun.id)
    assert after == before
    assert workshop.publisher.messages == sent
    assert {"event": "intake.settled", "status": later[0], "outcome": "NO_EFFECT"} in (
        [{name: log[name] for name in ("event", "status", "outcome")} for log in logs]
    )


async def test_a_state_of_a_chain_that_never_was_has_no_effect(
    workshop: Workshop,
) -> None:
    """The loser of two requests with one idempotency key reports too."""
    slot = Slot(chain_id="01NOBODY", step=1)
    with capture_logs() as logs:
        await workshop.report(slot, result_of("TokenOfNobody0000000", "DONE"))
    assert [log["event"] for log in logs] == ["session.unknown_chain"]
    assert await workshop.store.chains(limit=1) == []
    assert workshop.publisher.messages == []


async def test_a_state_of_a_step_that_never_was_has_no_effect(workshop: Workshop) -> None:
    """The chain goes on as it was."""
    begun = await workshop.begin()
    before = await workshop.store.steps(begun.id)
    await workshop.report(begun.slot.following, result_of(begun.token, "CANCELLED", None))
    assert await workshop.store.steps(begun.id) == before
    assert workshop.publisher.messages == []


@pytest.mark.parametrize("more", [False, True])
async def test_the_requestor_is_told_of_a_session_that_its_backend_forgot(
    workshop: Workshop, *, more: bool
) -> None:
    """DONE by the result that was taken in, once, with the next token once known."""
    begun = await detached(workshop, telling())
    if more:
        await workshop.starter().start(begun.slot.following)
        await workshop.settled()
        workshop.publisher.calls.clear()
    for _ in range(3):
        workshop.clock.advance(CHECK_LIVE.total_seconds())
        await workshop.clock_worker().looker._check(await workshop.row(begun.slot))
        await workshop.settled()
    if not more:
        assert told(workshop) == []
        await workshop.starter().start(begun.slot.following)
        await workshop.settled()
        await workshop.work_off(NotifyWork)
    assert told(workshop) == [result_of(begun.token, "DONE", nextSession=token_of(2))]
    assert workshop.publisher.types.count("session.finished") == 1


async def test_a_forgotten_session_is_told_of_when_its_result_is_there(
    workshop: Workshop,
) -> None:
    """The endpoint is slow: the result comes into the row with its answer."""
    begun = await workshop.begin(telling())
    note = workshop.make.note(begun.slot, "acme", result_of(begun.token))
    secrets = NoteSecrets(token=begun.token)  # as gateways wrote it before
    sealed = workshop.sealer.seal_model(secrets, bound_to=note.id)
    note = note.model_copy(update={"sealed": sealed})
    await workshop.session_worker()(delivery(note))
    workshop.clock.advance(CHECK_LIVE.total_seconds())
    await workshop.beat()
    row = await workshop.row(begun.slot)
    assert (row.state, told(workshop)) == (StepState.COMPLETED, [])
    assert row.check_at is not None
    await says(workshop, begun, End.COMPLETED, waited_s=None)
    workshop.clock.advance(600)
    await workshop.beat()
    assert told(workshop) == [result_of(begun.token, "DONE")]


@pytest.mark.parametrize(
    "after_s,state", [(59, StepState.COMPLETED), (61, StepState.FINISHED)]
)
async def test_a_completed_sessions_timeout_is_final_after_a_minute(
    workshop: Workshop, after_s: float, state: StepState
) -> None:
    """The IRMA server may be about to store DONE; then what was taken in counts (H1)."""
    begun = await forwarded(workshop, telling())
    workshop.clock.advance(after_s)
    timeout = result_of(begun.token, "TIMEOUT")
    await workshop.report(begun.slot, timeout, "poll")
    row = await workshop.row(begun.slot)
    assert row.state is state
    workshop.clock.advance(FOLLOWING_WITHIN.total_seconds())
    await workshop.work_off(NotifyWork)
    assert [one.status for one in told(workshop)] == (
        [] if state is StepState.COMPLETED else ["DONE"]
    )
    assert (row.check_at is None) == row.state.ended
