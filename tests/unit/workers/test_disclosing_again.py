"""Who starts a session itself requires again what was disclosed (irma.md §7.6)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from orchestrator.domain import handover
from orchestrator.domain.chain import ChainState, Slot, StepState
from orchestrator.domain.ruling import START_LEASE
from orchestrator.ports import Changes
from schemas.events import Purpose, SessionEnded
from schemas.irma import JsonObject, session_request_from, session_result_from
from tests.support.fakes import token_of
from tests.support.samples import (
    FULLNAME,
    TARGET,
    disclosure,
    issuance,
    result_of,
)
from tests.support.workshop import Begun, Workshop
from tests.unit.workers.answering import detached, forwarded
from workers.starting import NOT_STORED

MEMBER_ID: Final = "irma-demo.IRMATube.member.id"

#: What the first session has disclosed, as the next one has to disclose it again.
AGAIN: Final = [[{"type": FULLNAME, "value": "MARKER"}]]


def signature() -> JsonObject:
    """A message to be signed with the full name."""
    return {
        "@context": "https://irma.app/ld/request/signature/v2",
        "message": "I agree",
        "disclose": [[[FULLNAME]]],
    }


def asked(workshop: Workshop) -> object:
    """What the session that was started last has to disclose."""
    plain = workshop.backend.requests[-1].to_wire()["request"]
    assert isinstance(plain, dict)
    return plain.get("disclose")


@pytest.mark.trap("T38")
@pytest.mark.parametrize(
    "request_,own",
    [(disclosure(), [[[FULLNAME]]]), (issuance(), []), (signature(), [[[FULLNAME]]])],
    ids=["disclosing", "issuing", "signing"],
)
async def test_a_session_started_by_us_requires_what_was_disclosed(
    workshop: Workshop, request_: JsonObject, own: list[object]
) -> None:
    """By value, at the tail; the IRMA server knows of no step before it."""
    begun = await detached(workshop, answer=request_)
    await workshop.starter().start(begun.slot.following)
    assert asked(workshop) == [*own, AGAIN]


async def test_a_session_that_is_handed_over_requires_nothing_of_us(
    workshop: Workshop,
) -> None:
    """In flow the IRMA server adds it by itself; twice would be once too often."""
    begun = await forwarded(workshop, answer=disclosure())
    row = await workshop.row(begun.slot.following)
    assert workshop.rows.prepared(row).request.disclose == (
        session_request_from(disclosure()).request.disclose
    )


async def test_one_that_was_offered_and_came_to_nothing_requires_it(
    workshop: Workshop,
) -> None:
    """The same row is started by us: now it is ours to require."""
    begun = await forwarded(workshop, answer=disclosure())
    workshop.backend.results[begun.token] = result_of(begun.token, "CANCELLED", None)
    workshop.clock.advance(10)
    await workshop.beat()
    await workshop.starter().start(begun.slot.following)
    assert asked(workshop) == [[[FULLNAME]], AGAIN]


async def test_whoever_takes_the_start_over_requires_it_too(workshop: Workshop) -> None:
    """A worker died with its lease; nothing of what it knew is needed."""
    begun = await detached(workshop)
    slot = begun.slot.following
    await workshop.rulings.by_outbox(
        slot, lambda view: handover.lease_start(view, slot, owner="dead")
    )
    workshop.clock.advance(START_LEASE.total_seconds())
    await workshop.starter("two").start(slot)
    assert (await workshop.row(slot)).state is StepState.LIVE
    assert asked(workshop) == [AGAIN]


async def test_a_start_that_is_tried_again_requires_it_once(workshop: Workshop) -> None:
    """The backend was away; the row's own request stays as the integrator made it."""
    begun = await detached(workshop)
    workshop.backend.unreachable = True
    await workshop.starter().start(begun.slot.following)
    workshop.backend.unreachable = False
    await workshop.starter().start(begun.slot.following)
    assert asked(workshop) == [AGAIN]


@pytest.mark.trap("T23")
async def test_it_accumulates_over_steps_that_we_start(workshop: Workshop) -> None:
    """The second result holds what the first one held, and the third requires both."""
    begun = await detached(workshop, answer=disclosure(TARGET))
    second = begun.slot.following
    await workshop.starter().start(second)
    nothing: JsonObject = {"rawvalue": None, "id": MEMBER_ID, "status": "NULL"}
    first: JsonObject = {"rawvalue": "MARKER", "id": FULLNAME, "status": "PRESENT"}
    wire = result_of(token_of(2)).to_wire()
    both = session_result_from(wire | {"disclosed": [[nothing], [first]]})
    work = workshop.make.callback(
        second, "acme", both, purpose=Purpose.NEXT, url=TARGET, validity_s=120
    )
    await workshop.carry_on(work, issuance())
    await workshop.starter().start(second.following)
    assert asked(workshop) == [[[MEMBER_ID]], AGAIN]


async def in_a_later_generation(workshop: Workshop, begun: Begun) -> Slot:
    """The first step's callback was replayed: what follows is of generation 1."""
    slot = replace(begun.slot.following, generation=1)
    old = await workshop.row(begun.slot.following)
    request = session_request_from(disclosure())
    prepared = workshop.preparer.prepared(request, slot, "acme", workshop.clock())
    row = replace(
        old,
        slot=slot,
        sealed_request=workshop.rows.seal_request(slot, request),
        sealed_prepared=workshop.rows.seal_prepared(slot, prepared),
    )
    chain = replace(await workshop.chain(begun.id), generation=1)
    changes = Changes(steps=(row,), chain=chain)
    await workshop.store.decide(slot, lambda _: (None, changes))
    return slot


async def test_a_later_generation_requires_it_too(workshop: Workshop) -> None:
    """Its first step follows one of an earlier generation, which has the result."""
    begun = await detached(workshop)
    slot = await in_a_later_generation(workshop, begun)
    await workshop.starter().start(slot)
    assert (await workshop.row(slot)).state is StepState.LIVE
    assert asked(workshop) == [[[FULLNAME]], AGAIN]


@pytest.mark.parametrize("proof", [None, "INVALID"])
async def test_without_the_result_before_it_nothing_is_started(
    workshop: Workshop, proof: str | None
) -> None:
    """Anybody could go on with the chain: it fails instead, and says why."""
    begun = await detached(workshop)
    row = await workshop.row(begun.slot)
    bad = workshop.rows.seal_result(begun.slot, result_of(begun.token, "DONE", "INVALID"))
    changes = Changes(steps=(replace(row, sealed_result=bad if proof else None),))
    await workshop.store.decide(begun.slot, lambda _: (None, changes))
    await workshop.starter().start(begun.slot.following)
    await workshop.settled()
    assert len(workshop.backend.requests) == 1
    chain = await workshop.chain(begun.id)
    assert (chain.state, chain.reason) == (ChainState.FAILED, NOT_STORED)
    session, _ = workshop.publisher.events
    assert isinstance(session, SessionEnded)
    assert session.data.reason == NOT_STORED


async def test_without_the_step_before_it_nothing_is_started(workshop: Workshop) -> None:
    """The same where the row itself is gone."""
    begun = await detached(workshop)
    far = replace(begun.slot.following, step=9)
    old = await workshop.row(begun.slot.following)
    sealed = workshop.rows.seal_prepared(far, workshop.rows.prepared(old))
    changes = Changes(steps=(replace(old, slot=far, sealed_prepared=sealed),))
    await workshop.store.decide(far, lambda _: (None, changes))
    await workshop.starter().start(far)
    assert len(workshop.backend.requests) == 1
    assert (await workshop.chain(begun.id)).reason == NOT_STORED


async def test_the_first_step_follows_none(workshop: Workshop) -> None:
    """There is nothing to require."""
    begun = await workshop.begin(disclosure())
    row = replace(await workshop.row(begun.slot), state=StepState.DETACHED)
    changes = Changes(steps=(row,))
    await workshop.store.decide(begun.slot, lambda _: (None, changes))
    await workshop.starter().start(begun.slot)
    assert asked(workshop) == [[[FULLNAME]]]
