"""The session worker: what may not follow a step, and what cannot be decided."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from orchestrator.domain.chain import ChainState, Slot
from orchestrator.domain.errors import (
    SealBroken,
    StoreUnavailable,
    Undecodable,
)
from orchestrator.work import start_message
from schemas.events import ChainEnded
from schemas.irma import JsonObject
from schemas.messages import End, Wake
from tests.support.samples import (
    DISCLOSURE,
    delivery,
    issuance,
    result_of,
)
from tests.support.workshop import Workshop
from tests.unit.conftest import LoseStore
from tests.unit.workers.answering import says, wakes


async def test_a_request_that_is_not_permitted_fails_the_chain(
    workshop: Workshop,
) -> None:
    """Every session is authorized as the requestor that started the chain."""
    begun = await workshop.begin()
    await says(workshop, begun, {"@context": DISCLOSURE, "disclose": [[["pbdf.a.b.c"]]]})
    chain = await workshop.chain(begun.id)
    assert chain.state is ChainState.FAILED
    assert chain.reason == "next session not authorized: pbdf.a.b.c"
    assert wakes(workshop) == [Wake.FAILED]


async def test_a_url_that_would_not_fit_into_ours_fails_the_chain(
    workshop: Workshop,
) -> None:
    """With the field as the reason."""
    begun = await workshop.begin()
    await says(workshop, begun, issuance("https://shop.example/" + "x" * 30_000))
    chain = await workshop.chain(begun.id)
    assert chain.state is ChainState.FAILED
    assert (chain.reason or "").startswith("nextSession.url: longer than")


@pytest.mark.trap("T14")
async def test_an_empty_next_session_fails_the_chain(workshop: Workshop) -> None:
    """In the IRMA server's words, although it would not look at it again."""
    begun = await workshop.begin()
    await says(workshop, begun, issuance() | {"nextSession": {}})
    chain = await workshop.chain(begun.id)
    assert chain.state is ChainState.FAILED
    assert chain.reason == "nextSession provided with empty URL"


async def test_a_refusal_of_any_length_fails_the_chain(workshop: Workshop) -> None:
    """An endless attribute id ends the chain, not the worker."""
    begun = await workshop.begin()
    request: JsonObject = {
        "@context": DISCLOSURE,
        "disclose": [[["pbdf.a.b." + "c" * 600]]],
    }
    await says(workshop, begun, request)
    assert (await workshop.chain(begun.id)).state is ChainState.FAILED
    (ended,) = workshop.publisher.events
    assert isinstance(ended, ChainEnded)
    assert len(ended.data.reason or "") == 500


async def test_a_chain_has_a_budget_of_steps(workshop: Workshop) -> None:
    """The step too many fails it (G8)."""
    begun = await workshop.begin()
    work = workshop.callback(begun.slot, begun.token, waited_s=3.5)
    await workshop.carry_on(work, issuance(), steps_max=1)
    chain = await workshop.chain(begun.id)
    assert (chain.state, chain.reason) == (
        ChainState.FAILED,
        "the chain is longer than 1 steps",
    )
    assert wakes(workshop) == [Wake.FAILED]


async def test_a_chain_has_a_budget_of_time(workshop: Workshop) -> None:
    """A step after a week fails it."""
    begun = await workshop.begin()
    workshop.clock.advance(7 * 24 * 3600 + 1)
    await says(workshop, begun, issuance())
    assert (await workshop.chain(begun.id)).state is ChainState.FAILED


@pytest.mark.parametrize("kind", ["next", "end", "intake", "note", "start"])
async def test_work_of_an_unknown_chain_has_no_effect(
    workshop: Workshop, kind: str
) -> None:
    """Its session was started in vain; it is logged, and an app that waits is let go."""
    slot = Slot(chain_id="01NOBODY", step=1)
    token = "T" * 20
    work = workshop.callback(slot, token, waited_s=3.5)
    note = workshop.make.note(slot, "acme", result_of(token))
    start = start_message(slot, "acme")
    acts: dict[str, Callable[[], Awaitable[None]]] = {
        "next": lambda: workshop.carry_on(work, issuance()),
        "end": lambda: workshop.carry_on(work, End.COMPLETED),
        "intake": lambda: workshop.report(slot, result_of(token, "DONE")),
        "note": lambda: workshop.session_worker()(delivery(note)),
        "start": lambda: workshop.session_worker()(delivery(start)),
    }
    with capture_logs() as logs:
        await acts[kind]()
    assert {"event": "session.unknown_chain", "kind": kind} in (
        [{name: log.get(name) for name in ("event", "kind")} for log in logs]
    )
    assert wakes(workshop) == ([Wake.LATER] if kind in {"next", "end"} else [])
    assert workshop.publisher.work == []
    assert workshop.publisher.events == []


async def test_a_store_that_is_away_holds_the_message(
    workshop: Workshop, lose_store: LoseStore
) -> None:
    """Nothing is told that was not decided."""
    begun = await workshop.begin()
    lose_store("decide")
    with pytest.raises(StoreUnavailable):
        await says(workshop, begun, issuance())
    assert workshop.publisher.calls == []


async def test_what_cannot_be_opened_decides_nothing(workshop: Workshop) -> None:
    """A seal for another message, or bytes that are no work."""
    note = workshop.make.note(Slot(chain_id="C1", step=1), "acme", result_of("T"))
    with pytest.raises(SealBroken):
        await workshop.session_worker()(delivery(note.model_copy(update={"id": "x"})))
    with pytest.raises(Undecodable):
        await workshop.session_worker()(delivery(b"{}"))
