"""Whoever is told the token of a forwarded session may use it at once (H1)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.domain.chain import ChainState, StepState
from orchestrator.domain.ruling import CHECK_LIVE
from schemas.irma import SessionPointer, SessionType
from tests.support.asgi import Answer, call
from tests.support.fakes import token_of
from tests.support.samples import issuance, result_of
from tests.support.workshop import Begun, Workshop
from tests.unit.conftest import LoseStore
from tests.unit.gateway.bridging import endpoint_says, proved

NEXT = "NextSession000000001"
POINTER = SessionPointer(
    u="http://irma.example/irma/session/X", irmaqr=SessionType.ISSUING
)


async def get(workshop: Workshop, token: str, what: str = "result") -> Answer:
    """What is answered about a session."""
    return await call(workshop.gateway, "GET", f"/session/{token}/{what}")


async def forwarded(workshop: Workshop, status: str = "DONE") -> Begun:
    """A chain whose second session the backend has started; only it knows so."""
    begun = await workshop.begin()
    workshop.replies.script = endpoint_says(workshop, issuance())
    assert (await proved(workshop, begun)).status == 200
    await workshop.settled()
    assert (await workshop.row(begun.slot.following)).state is StepState.FORWARDED
    found = result_of(begun.token, status, nextSession=NEXT)
    workshop.backend.results[begun.token] = found
    workshop.backend.results[NEXT] = result_of(NEXT, "INITIALIZED", None)
    return begun


async def test_its_token_can_be_used_as_soon_as_it_was_told(workshop: Workshop) -> None:
    """The look-up of the clock is not waited for; the start is told like any other."""
    begun = await forwarded(workshop)
    workshop.backend.followers[begun.token] = POINTER
    assert (await get(workshop, begun.token)).fields["nextSession"] == NEXT
    assert (await get(workshop, NEXT, "status")).body == b'"INITIALIZED"'
    await workshop.settled()
    assert "session.started" in workshop.publisher.types
    row = await workshop.row(begun.slot.following)
    assert (row.state, workshop.rows.token(row)) == (StepState.LIVE, NEXT)


@pytest.mark.trap("T21")
async def test_its_package_has_the_same_frontend_token(workshop: Workshop) -> None:
    """With the pointer that the backend tells; nobody is told whether to pair."""
    begun = await forwarded(workshop)
    workshop.backend.followers[begun.token] = POINTER
    await get(workshop, begun.token)
    first = workshop.rows.package(await workshop.row(begun.slot))
    package = workshop.rows.package(await workshop.row(begun.slot.following))
    assert first is not None
    assert package is not None
    assert (package.token, package.session_ptr) == (NEXT, POINTER)
    frontend = package.frontend_request
    assert frontend.authorization == first.frontend_request.authorization
    assert frontend.pairing_hint is None


async def test_a_pointer_that_is_not_to_be_had_comes_later(workshop: Workshop) -> None:
    """The session is known all the same, and the clock asks again."""
    begun = await forwarded(workshop)
    await get(workshop, begun.token)
    row = await workshop.row(begun.slot.following)
    assert (row.state, row.sealed_package) == (StepState.LIVE, None)
    workshop.backend.followers[begun.token] = POINTER
    workshop.clock.advance(CHECK_LIVE.total_seconds())
    await workshop.beat()
    again = await workshop.row(begun.slot.following)
    package = workshop.rows.package(again)
    assert package is not None
    assert (package.token, package.session_ptr) == (NEXT, POINTER)
    assert again == replace(
        row, sealed_package=again.sealed_package, check_at=workshop.clock() + CHECK_LIVE
    )


async def test_only_what_is_stored_as_done_counts(workshop: Workshop) -> None:
    """A next session beside any other status is none (H1)."""
    begun = await forwarded(workshop, "CONNECTED")
    await get(workshop, begun.token)
    assert (await workshop.row(begun.slot.following)).state is StepState.FORWARDED


async def test_what_cannot_be_written_is_left_to_the_clock(
    workshop: Workshop, lose_store: LoseStore
) -> None:
    """A token that nobody here knows yet is not told: it could not be used."""
    begun = await forwarded(workshop)
    lose_store("decide")
    assert "nextSession" not in (await get(workshop, begun.token)).fields
    assert (await workshop.row(begun.slot.following)).state is StepState.FORWARDED


async def announced(workshop: Workshop) -> Begun:
    """DONE with a next session was announced, but is not stored (irma.md §8)."""
    begun = await forwarded(workshop, "CONNECTED")
    done = result_of(begun.token, "DONE", nextSession=NEXT)
    await workshop.report(begun.slot, done)
    assert (await workshop.row(begun.slot)).final_status == "DONE"
    return begun


async def test_what_was_only_announced_makes_nothing_live(workshop: Workshop) -> None:
    """The update was lost: the orphan is told to nobody, and the step is ours (H1)."""
    begun = await announced(workshop)
    cancelled = result_of(begun.token, "CANCELLED", None)
    workshop.backend.results[begun.token] = cancelled
    fields = (await get(workshop, begun.token)).fields
    assert (fields["status"], "nextSession" in fields) == ("DONE", False)
    slot = begun.slot.following
    assert (await workshop.row(slot)).state is StepState.FORWARDED
    workshop.clock.advance(10)
    await workshop.beat()
    await workshop.starter().start(slot)
    assert (await get(workshop, begun.token)).fields["nextSession"] == token_of(2)
    assert (await workshop.chain(begun.id)).state is ChainState.RUNNING


async def test_between_the_callback_and_its_storing_nothing_is_known(
    workshop: Workshop,
) -> None:
    """Whoever asks again is told; with the pointer, which was not to be had before."""
    begun = await announced(workshop)
    assert "nextSession" not in (await get(workshop, begun.token)).fields
    done = result_of(begun.token, "DONE", nextSession=NEXT)
    workshop.backend.results[begun.token] = done
    workshop.backend.followers[begun.token] = POINTER
    assert (await get(workshop, begun.token)).fields["nextSession"] == NEXT
    row = await workshop.row(begun.slot.following)
    assert row.state is StepState.LIVE
    assert row.sealed_package is not None


async def test_who_cannot_ask_the_backend_tells_what_is_known(workshop: Workshop) -> None:
    """The end of the first session is ours to tell."""
    begun = await announced(workshop)
    workshop.backend.unreachable = True
    fields = (await get(workshop, begun.token)).fields
    assert (fields["status"], "nextSession" in fields) == ("DONE", False)
