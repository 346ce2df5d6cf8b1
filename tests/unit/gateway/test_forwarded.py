"""Whoever is told the token of a forwarded session may use it at once (H1)."""

from __future__ import annotations

import pytest

from orchestrator.domain.chain import StepState
from schemas.irma import SessionPointer, SessionType
from tests.support.asgi import Answer, call
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


async def test_a_pointer_that_is_not_to_be_had_is_none(workshop: Workshop) -> None:
    """The session is known all the same."""
    begun = await forwarded(workshop)
    await get(workshop, begun.token)
    row = await workshop.row(begun.slot.following)
    assert (row.state, row.sealed_package) == (StepState.LIVE, None)


async def test_only_what_is_stored_as_done_counts(workshop: Workshop) -> None:
    """A next session beside any other status is none (H1)."""
    begun = await forwarded(workshop, "CONNECTED")
    await get(workshop, begun.token)
    assert (await workshop.row(begun.slot.following)).state is StepState.FORWARDED


async def test_what_cannot_be_written_is_left_to_the_clock(
    workshop: Workshop, lose_store: LoseStore
) -> None:
    """The token is told; its row is found a moment later."""
    begun = await forwarded(workshop)
    lose_store("decide")
    assert (await get(workshop, begun.token)).fields["nextSession"] == NEXT
    assert (await workshop.row(begun.slot.following)).state is StepState.FORWARDED
