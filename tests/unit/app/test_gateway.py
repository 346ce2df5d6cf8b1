"""What a gateway does with wake-ups that nobody waits for any more."""

from __future__ import annotations

import pytest

from orchestrator.app.gateway import _Unclaimed
from orchestrator.domain.chain import StepState
from schemas.messages import Wake, WakeUp
from tests.support.samples import disclosure
from tests.support.workshop import Workshop


async def heard(workshop: Workshop, wake: Wake) -> int:
    """How often the store decides on a wake-up that comes too late."""
    begun = await workshop.begin(disclosure())
    decisions, decide = 0, workshop.store.decide

    async def count(*arguments: object) -> object:
        nonlocal decisions
        decisions += 1
        return await decide(*arguments)  # type: ignore[arg-type]  # handed on as they come

    unclaimed = _Unclaimed()
    unclaimed.desk = workshop.desk()
    workshop.store.decide = count  # type: ignore[assignment,method-assign]  # a spy
    await unclaimed(
        WakeUp(
            wake=wake,
            chain_id=begun.slot.chain_id,
            step=begun.slot.step + 1,
            generation=begun.slot.generation,
            requestor="acme",
            cause="answered",
        )
    )
    assert (await workshop.row(begun.slot)).state is StepState.LIVE
    return decisions


async def test_an_offer_that_comes_too_late_is_decided_upon(workshop: Workshop) -> None:
    """Its row may have to be detached (rule H8)."""
    assert await heard(workshop, Wake.OFFERED) == 1


@pytest.mark.parametrize("wake", sorted(set(Wake) - {Wake.OFFERED}))
async def test_other_news_that_come_too_late_cost_nothing(
    workshop: Workshop, wake: Wake
) -> None:
    """After an outage there are as many as there were users."""
    assert await heard(workshop, wake) == 0
