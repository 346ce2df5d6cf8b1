"""What waits may tell of a session that its backend forgot (H1, H2)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from orchestrator.domain import happenings
from orchestrator.domain.chain import Slot, StepState
from orchestrator.ports import Waiting, event_message, work_message
from schemas.irma import session_request_from
from schemas.messages import CallbackSecrets, End, Work
from tests.support.samples import issuance, result_of
from tests.support.workshop import Workshop
from tests.unit.workers.answering import (
    SECOND,
    forwarded,
    looked_up,
)


@pytest.mark.parametrize("kind", ["callback", "next", "end", "note"])
@pytest.mark.parametrize("row_kind", ["retry", "outbox"])
async def test_a_session_whose_completion_waits_is_not_lost(
    workshop: Workshop, kind: str, row_kind: str
) -> None:
    """Its user has finished: it is not started a second time, however long (H2, H4)."""
    begun = await forwarded(workshop)
    slot = begun.slot.following
    await workshop.store.put_waiting(
        _waiting(workshop, row_kind, _completion(workshop, slot, kind))
    )
    for after_s in (61, 1_801):
        assert await looked_up(workshop, begun, None, after_s) is StepState.FORWARDED
        row = await workshop.row(slot)
        assert row.check_at == workshop.clock.now + timedelta(seconds=60)


@pytest.mark.parametrize("kind", ["callback", "next", "end", "note"])
async def test_another_steps_completion_tells_nothing(
    workshop: Workshop, kind: str
) -> None:
    """Nor does an event that waits for the broker."""
    begun = await forwarded(workshop)
    other = _completion(workshop, begun.slot, kind)
    event = event_message(
        happenings.session_started(
            await workshop.chain(begun.id),
            await workshop.row(begun.slot.following),
            workshop.clock.now,
        )
    )
    await workshop.store.put_waiting(
        _waiting(workshop, "retry", other),
        replace(_waiting(workshop, "outbox", other), id="event", message=event),
    )
    assert await looked_up(workshop, begun, None, 61) is StepState.DETACHED


def _completion(workshop: Workshop, slot: Slot, kind: str) -> Work:
    """What a step's completion is on its way as."""
    work = workshop.callback(slot, SECOND)
    secrets = workshop.sealer.open_model(CallbackSecrets, work.sealed, bound_to=work.id)
    match kind:
        case "next":
            request = session_request_from(issuance())
            return workshop.make.following(work, secrets, request, work.id)
        case "end":
            return workshop.make.ending(work, secrets, end=End.COMPLETED, cause=work.id)
        case "note":
            return workshop.make.note(slot, "acme", result_of(SECOND))
        case _:
            return work


def _waiting(workshop: Workshop, kind: str, work: Work) -> Waiting:
    """It waits for longer than anybody looks."""
    return Waiting(
        id=f"{kind}-{work.id}",
        kind=kind,
        due_at=workshop.clock.now + timedelta(days=1),
        message=work_message(work),
        chain_id=work.chain_id,
        created_at=workshop.clock.now,
    )


async def test_a_completion_that_waits_is_better_than_a_state(
    workshop: Workshop,
) -> None:
    """It marks the row by itself, so nobody has to speak for the session."""
    begun = await forwarded(workshop)
    slot = begun.slot.following
    state = workshop.make.intake(
        slot, "acme", result_of(SECOND, "CANCELLED", None), "callback"
    )
    await workshop.store.put_waiting(
        _waiting(workshop, "intake", state),
        _waiting(workshop, "retry", _completion(workshop, slot, "callback")),
    )
    assert await looked_up(workshop, begun, None, 1_861) is StepState.FORWARDED


async def test_a_state_that_waits_speaks_once_nobody_can_live(
    workshop: Workshop,
) -> None:
    """Nothing that is stored will ever tell whose it is: it is looked up first (H1)."""
    begun = await forwarded(workshop)
    slot = begun.slot.following
    workshop.clock.advance(1_801)
    await workshop.report(slot, result_of(SECOND, "CANCELLED", None))
    assert (await workshop.row(slot)).state is StepState.FORWARDED
    workshop.clock.advance(61)
    await workshop.clock_worker().looker._check(await workshop.row(slot))
    row = await workshop.row(slot)
    assert (row.state, workshop.rows.token(row)) == (StepState.LIVE, SECOND)
    await workshop.report(slot, result_of(SECOND, "CANCELLED", None))
    assert (await workshop.row(slot)).state is StepState.CANCELLED


async def test_a_state_that_waits_is_not_believed_before_the_look_up(
    workshop: Workshop,
) -> None:
    """Nobody could look for hours: DONE without a next one is stored, so it detaches."""
    begun = await forwarded(workshop)
    slot = begun.slot.following
    workshop.backend.unreachable = True
    workshop.clock.advance(36_000)
    await workshop.report(slot, result_of(SECOND, "TIMEOUT", None))
    assert (await workshop.chain(begun.id)).state == "running"
    workshop.backend.unreachable = False
    done = result_of(begun.token, "DONE")
    assert await looked_up(workshop, begun, done, 61) is StepState.DETACHED
