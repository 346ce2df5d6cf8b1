"""The requestor's own `callbackUrl`: where it is, what it is told, and when."""

from __future__ import annotations

import pytest

from orchestrator.domain.chain import ChainState, View
from orchestrator.ports import Message
from schemas.messages import (
    CallbackSecrets,
    CallbackWork,
    End,
    NotifyWork,
    parse_work,
)
from tests.support.asgi import call
from tests.support.fakes import token_of
from tests.support.samples import NOW, delivery, disclosure, result_of
from tests.support.workshop import Begun, Workshop
from tests.unit.workers.answering import (
    SECOND,
    detached,
    forwarded,
    says,
    telling,
    told,
)
from workers.notifying import FOLLOWING_WITHIN, Notifier


def url_of(workshop: Workshop, message: Message) -> str:
    """Where a delivery goes."""
    work = parse_work(message.body)
    assert isinstance(work, CallbackWork)
    opened = workshop.sealer.open_model(CallbackSecrets, work.sealed, bound_to=work.id)
    return opened.url


@pytest.mark.trap("T7")
@pytest.mark.parametrize(
    "given, slashed",
    [
        ("https://a.example/cb", "https://a.example/cb/"),
        ("https://a.example/cb/", "https://a.example/cb/"),
        ("https://a.example/cb?x=1", "https://a.example/cb?x=1/"),
    ],
)
async def test_a_slash_is_only_appended_where_that_is_configured(
    workshop: Workshop, given: str, slashed: str
) -> None:
    """Textually, as the IRMA server does it, even after a query."""
    begun = await workshop.begin(disclosure(callbackUrl=given))
    view = View(
        chain=await workshop.chain(begun.id),
        step=await workshop.row(begun.slot),
        following=None,
        now=NOW,
    )
    told = result_of(begun.token)

    for slash, expected in ((False, given), (True, slashed)):
        notifier = Notifier(rows=workshop.rows, make=workshop.make, slash=slash)
        (message,) = notifier.as_reported(begun.slot, view, told)
        assert url_of(workshop, message) == expected


async def finished(workshop: Workshop) -> Begun:
    """The first session is DONE; the second was handed over, and is not found yet."""
    begun = await forwarded(workshop, telling())
    done = result_of(begun.token, "DONE", nextSession=SECOND)
    await workshop.report(begun.slot, done)
    assert told(workshop) == []
    return begun


async def passed_on(workshop: Workshop, seconds: float) -> None:
    """Time passes, and what waits is looked at again."""
    workshop.clock.advance(seconds)
    works = [work for work in workshop.publisher.work if isinstance(work, NotifyWork)]
    await workshop.session_worker()(delivery(works[-1]))
    await workshop.beat()


@pytest.mark.trap("T5")
async def test_a_next_session_is_told_when_it_is_stored(workshop: Workshop) -> None:
    """What the backend has announced may never come to be (H1)."""
    begun = await finished(workshop)
    await passed_on(workshop, 0)
    (row,) = await workshop.store.waiting(limit=9)
    assert (row.kind, row.chain_id) == ("notify", begun.id)
    done = result_of(begun.token, "DONE", nextSession=SECOND)
    workshop.backend.results[begun.token] = done
    await passed_on(workshop, 10)
    await passed_on(workshop, 1)
    assert told(workshop) == [done]
    assert await workshop.waiting() == []


async def test_an_orphan_is_told_to_nobody(workshop: Workshop) -> None:
    """The update was lost: the session that we start instead is told, once."""
    begun = await finished(workshop)
    lost = result_of(begun.token, "CANCELLED", None)
    workshop.backend.results[begun.token] = lost
    await passed_on(workshop, 10)
    await passed_on(workshop, 1)
    assert told(workshop) == []
    await workshop.starter().start(begun.slot.following)
    await passed_on(workshop, 1)
    assert told(workshop) == [result_of(begun.token, "DONE", nextSession=token_of(2))]


async def test_what_follows_is_not_waited_for_for_ever(workshop: Workshop) -> None:
    """The backend is away; the requestor is told what is known."""
    begun = await finished(workshop)
    workshop.backend.unreachable = True
    await passed_on(workshop, FOLLOWING_WITHIN.total_seconds() - 1)
    assert told(workshop) == []
    await passed_on(workshop, 1)
    assert told(workshop) == [result_of(begun.token, "DONE")]


async def test_a_detached_session_is_told_once_it_is_live(workshop: Workshop) -> None:
    """The backend does not know that anything follows."""
    begun = await detached(workshop, telling())
    await workshop.report(begun.slot, result_of(begun.token, "DONE"))
    assert told(workshop) == []
    await workshop.starter().start(begun.slot.following)
    await passed_on(workshop, 1)
    assert told(workshop) == [result_of(begun.token, "DONE", nextSession=token_of(2))]


async def test_a_session_that_is_live_is_told_at_once(workshop: Workshop) -> None:
    """Its row has the token; whatever the backend names."""
    begun = await detached(workshop, telling())
    await workshop.starter().start(begun.slot.following)
    await workshop.report(begun.slot, result_of(begun.token, "DONE", nextSession=SECOND))
    assert told(workshop) == [result_of(begun.token, "DONE", nextSession=token_of(2))]


async def test_nothing_is_waited_for_where_nothing_follows(workshop: Workshop) -> None:
    """Neither where the endpoint has not answered yet."""
    begun = await workshop.begin(telling())
    await workshop.report(begun.slot, result_of(begun.token, "DONE"))
    assert told(workshop) == [result_of(begun.token, "DONE")]


@pytest.mark.parametrize("more", [1, 3])
async def test_who_is_forgotten_is_told_as_timed_out(
    workshop: Workshop, more: int
) -> None:
    """As the IRMA server would have told it, had it lived on; once (H6)."""
    begun = await workshop.begin(telling())
    for _ in range(more):
        workshop.clock.advance(20)
        await workshop.beat()
    assert (await workshop.chain(begun.id)).state is ChainState.EXPIRED
    assert told(workshop) == [result_of(begun.token, "TIMEOUT", None)]


@pytest.mark.trap("T30", "T31")
async def test_who_was_refused_and_is_forgotten_is_told_as_cancelled(
    workshop: Workshop,
) -> None:
    """The chain failed while the app waited: no VALID result is left of it (§7.7)."""
    begun = await workshop.begin(telling())
    await says(workshop, begun, End.FAILED)
    workshop.publisher.calls.clear()
    workshop.clock.advance(20)
    for _ in range(2):
        await workshop.beat()
    cancelled = result_of(begun.token, "CANCELLED", None)
    assert told(workshop) == [cancelled]
    assert workshop.publisher.types == ["session.cancelled"]
    served = await call(workshop.gateway, "GET", f"/session/{begun.token}/result")
    assert served.json == cancelled.to_wire()
