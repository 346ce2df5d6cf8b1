"""That a user's app has connected: seen with a look at the session, and told once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.domain.chain import ChainState
from orchestrator.gateway.connecting import Connections, noticed
from orchestrator.gateway.desk import Desk
from schemas.events import Event, SessionConnected
from schemas.irma import Status
from tests.support.asgi import call
from tests.support.samples import issuance, result_of
from tests.support.workshop import Begun, Workshop


async def connected(workshop: Workshop) -> Begun:
    """A chain whose first session was scanned; nothing is published yet."""
    begun = await workshop.begin()
    await workshop.settled()
    workshop.publisher.calls.clear()
    workshop.backend.results[begun.token] = result_of(begun.token, "CONNECTED", None)
    return begun


async def told(workshop: Workshop) -> list[Event]:
    """What was told of apps that have connected."""
    await workshop.settled()
    return [one for one in workshop.publisher.events if isinstance(one, SessionConnected)]


async def look(workshop: Workshop, desk: Desk, begun: Begun, status: Status) -> None:
    """Somebody has asked how the first session is."""
    noticed(desk, await workshop.chain(begun.id), await workshop.row(begun.slot), status)


@pytest.mark.parametrize("what", ["status", "result"])
async def test_who_asks_for_a_session_sees_it(workshop: Workshop, what: str) -> None:
    """Its event says whose session it is, and that it came of its start."""
    begun = await connected(workshop)
    await call(workshop.gateway, "GET", f"/session/{begun.token}/{what}")
    (event,) = await told(workshop)
    assert event.id == begun.slot.event_id("session.connected")
    assert event.causationid == begun.slot.event_id("session.started")


async def test_the_chain_page_sees_it(workshop: Workshop) -> None:
    """It is looked at for its user."""
    begun = await connected(workshop)
    page = workshop.sealer.page_token(begun.id)
    await call(workshop.gateway, "GET", f"/page/{page}/status")
    assert len(await told(workshop)) == 1


async def test_it_is_told_once(workshop: Workshop) -> None:
    """However often it is seen; another process says the same again."""
    begun = await connected(workshop)
    desk = workshop.desk()
    for _ in range(3):
        await look(workshop, desk, begun, Status.CONNECTED)
    (event,) = await told(workshop)
    await look(workshop, workshop.desk(), begun, Status.CONNECTED)
    assert [one.id for one in await told(workshop)] == [event.id] * 2


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.CONNECTED])
async def test_no_other_status_says_so(workshop: Workshop, status: Status) -> None:
    """One that is final may never have been connected."""
    begun = await connected(workshop)
    await look(workshop, workshop.desk(), begun, status)
    assert await told(workshop) == []


async def test_nothing_is_told_of_what_is_over(workshop: Workshop) -> None:
    """A session is connected too while its result is taken in, and a chain may end."""
    begun = await connected(workshop)
    desk = workshop.desk()
    chain, row = await workshop.chain(begun.id), await workshop.row(begun.slot)
    ended = replace(chain, state=ChainState.CANCELLED)
    noticed(desk, ended, row, Status.CONNECTED)
    noticed(desk, chain, replace(row, announced=False), Status.CONNECTED)
    await workshop.carry_on(workshop.callback(begun.slot, begun.token), issuance())
    await look(workshop, desk, begun, Status.CONNECTED)
    assert await told(workshop) == []


async def test_what_could_not_be_told_is_told_with_the_next_look(
    workshop: Workshop,
) -> None:
    """Whoever asked has had the answer all the same."""
    begun = await connected(workshop)
    desk = workshop.desk()
    workshop.publisher.down = True
    await look(workshop, desk, begun, Status.CONNECTED)
    assert await told(workshop) == []
    workshop.publisher.down = False
    await look(workshop, desk, begun, Status.CONNECTED)
    assert len(await told(workshop)) == 1


def test_only_so_many_are_kept_in_mind() -> None:
    """A gateway's memory does not grow with the sessions that it has seen."""
    connections = Connections(told_max=2)
    assert [connections.add(one) for one in "aab"] == [True, False, True]
    assert connections.add("c")
    assert [connections.add(one) for one in "bca"] == [False, False, True]
