"""The clock worker: due messages go out, live sessions are looked up (H5, H6)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from unittest.mock import AsyncMock

import pytest

from orchestrator.domain.chain import StepState
from orchestrator.domain.errors import (
    BrokerUnavailable,
    SealKeyUnknown,
    StoreUnavailable,
)
from orchestrator.ports import Changes, Message
from orchestrator.sealing import Sealer
from orchestrator.store import SqlStore
from schemas.messages import IntakeWork, StartWork
from tests.support.samples import NOW, disclosure, result_of
from tests.support.workshop import Workshop
from tests.unit.conftest import LoseStore
from tests.unit.workers.due import SHOP, parked, published, waiting
from workers.clock import LEASE


async def test_what_is_due_is_published_and_dropped(workshop: Workshop) -> None:
    """In the order of its time; what is not due stays."""
    rows = [waiting("c", 0), waiting("a", -9), waiting("later", 1), waiting("b", -2)]
    await workshop.store.put_waiting(*rows)
    assert await workshop.beat() == 3
    assert published(workshop) == ["a:work", "b:work", "c:work"]
    assert await workshop.waiting() == ["later"]


async def test_with_nothing_due_there_is_nothing_to_do(workshop: Workshop) -> None:
    """The beat says so, and `run` pauses."""
    await workshop.begin()
    assert await workshop.beat() == 0
    assert workshop.publisher.calls == []


async def test_a_clock_that_finds_nothing_begins_no_transaction(
    workshop: Workshop, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite has one writer, and the clock looks many times a second."""
    await store.park([parked("p")], busy_until={SHOP: NOW + timedelta(seconds=9)})
    writing = AsyncMock()
    monkeypatch.setattr(store._database, "write", writing)
    clock = workshop.clock_worker()
    beats = (clock.publish_due, clock.check_due, clock.release_parked)
    assert [await beat() for beat in beats] == [0, 0, 0]
    writing.assert_not_awaited()


async def test_what_is_not_confirmed_is_kept_and_comes_again(workshop: Workshop) -> None:
    """First confirmed, then dropped: the lease brings it back (G1)."""
    await workshop.store.put_waiting(waiting("a"))
    workshop.publisher.down = True
    with pytest.raises(BrokerUnavailable):
        await workshop.beat()
    assert await workshop.waiting() == ["a"]
    workshop.publisher.down = False
    assert await workshop.beat() == 0
    workshop.clock.advance(LEASE.total_seconds())
    assert await workshop.beat() == 1
    assert await workshop.waiting() == []


async def test_what_cannot_be_dropped_goes_out_again(
    workshop: Workshop, lose_store: LoseStore
) -> None:
    """Under the same id, which makes it harmless."""
    await workshop.store.put_waiting(waiting("a"))
    lose_store("drop_waiting")
    with pytest.raises(StoreUnavailable):
        await workshop.beat()
    assert published(workshop) == ["a:work"]
    assert await workshop.waiting() == ["a"]


async def test_a_message_that_is_too_long_does_not_stop_the_others(
    workshop: Workshop,
) -> None:
    """The broker will never take it: it stays visible as a row, the rest goes out."""
    long = waiting("long", -1, b"x" * 1_001)
    await workshop.store.put_waiting(waiting("a", -2), long, waiting("b"))
    workshop.publisher.bytes_max = 1_000
    assert await workshop.beat() == 3
    assert published(workshop) == ["a:work", "b:work"]
    assert await workshop.waiting() == ["long"]


async def test_a_row_that_cannot_be_opened_does_not_stop_the_others(
    workshop: Workshop,
) -> None:
    """One broken seal is one chain's trouble."""
    broken, sound = await workshop.begin(), await workshop.begin()
    row = replace(await workshop.row(broken.slot), sealed_token="v1.k9.AAAA")
    changes = Changes(steps=(row,))
    await workshop.store.decide(broken.slot, lambda _: (None, changes))
    workshop.backend.results[sound.token] = result_of(sound.token, "DONE")
    workshop.clock.advance(20)
    assert await workshop.beat() == 2
    (work,) = workshop.publisher.work
    assert work.chain_id == sound.id


async def test_a_key_that_is_not_here_does_not_stop_the_others(
    workshop: Workshop, sealer: Sealer
) -> None:
    """The fault is waited out; every row of the round was looked at."""
    broken, sound = await workshop.begin(), await workshop.begin()
    unknown = sealer.seal(b"x", bound_to="x").replace("v1.k1.", "v1.k9.")
    changes = Changes(
        steps=(replace(await workshop.row(broken.slot), sealed_token=unknown),)
    )
    await workshop.store.decide(broken.slot, lambda _: (None, changes))
    workshop.backend.results[sound.token] = result_of(sound.token, "DONE")
    workshop.clock.advance(20)
    with pytest.raises(SealKeyUnknown):
        await workshop.beat()
    await workshop.settled()
    (work,) = workshop.publisher.work
    assert work.chain_id == sound.id


async def test_a_store_that_goes_away_in_a_round_is_a_fault(
    workshop: Workshop, lose_store: LoseStore
) -> None:
    """No look is dropped in silence: the clock waits, the lease brings them back."""
    await workshop.begin()
    workshop.clock.advance(20)
    lose_store("decide")
    with pytest.raises(StoreUnavailable):
        await workshop.beat()


async def test_a_live_session_that_is_final_is_judged(workshop: Workshop) -> None:
    """Its callback never came: the state goes to the session worker, sealed."""
    begun = await workshop.begin(disclosure())
    workshop.backend.results[begun.token] = result_of(begun.token, "DONE")
    workshop.clock.advance(20)
    await workshop.beat()
    (work,) = workshop.publisher.work
    assert isinstance(work, IntakeWork)
    assert (work.source, work.chain_id, work.requestor) == ("poll", begun.id, "acme")
    assert b"MARKER" not in workshop.publisher.messages[0].body
    row = await workshop.row(begun.slot)
    assert row.check_at == workshop.clock.now + timedelta(seconds=20)


@pytest.mark.parametrize("away", [False, True])
async def test_a_live_session_is_looked_at_again(
    workshop: Workshop, *, away: bool
) -> None:
    """While it runs, or its backend does not say."""
    begun = await workshop.begin()
    workshop.backend.results[begun.token] = result_of(begun.token, "CONNECTED", None)
    workshop.backend.unreachable = away
    workshop.clock.advance(20)
    assert await workshop.beat() == 1
    row = await workshop.row(begun.slot)
    assert (row.state, row.check_at) == (
        StepState.LIVE,
        workshop.clock.now + timedelta(seconds=20),
    )
    assert workshop.publisher.messages == []


async def test_a_live_session_that_its_backend_forgot_expires(
    workshop: Workshop,
) -> None:
    """Rule H6: a restart of the IRMA server, not its purge."""
    begun = await workshop.begin()
    workshop.clock.advance(20)
    await workshop.beat()
    await workshop.settled()
    assert (await workshop.row(begun.slot)).state is StepState.EXPIRED
    assert (await workshop.chain(begun.id)).state == "expired"
    assert workshop.publisher.types == ["session.expired", "chain.expired"]


async def test_one_that_may_have_been_purged_is_waited_for(workshop: Workshop) -> None:
    """After four minutes "unknown" says nothing yet (H2)."""
    begun = await workshop.begin()
    workshop.clock.advance(241)
    await workshop.beat()
    assert (await workshop.row(begun.slot)).state is StepState.LIVE
    assert workshop.publisher.messages == []


async def test_a_missing_queue_does_not_stop_the_others(workshop: Workshop) -> None:
    """What it should hold stays visible as rows until somebody declares it again."""
    other = replace(
        waiting("b"), message=Message(id="b", routing_key="callbacks", body=b"{}")
    )
    await workshop.store.put_waiting(waiting("a"), other)
    workshop.publisher.gone.add("sessions")
    assert await workshop.beat() == 2
    assert await workshop.waiting() == ["a"]
    assert set(published(workshop)) == {"b"}


async def test_starts_are_asked_for_until_somebody_starts(workshop: Workshop) -> None:
    """The same message each time the lease of the look is over."""
    begun = await workshop.begin()
    await workshop.carry_on(workshop.callback(begun.slot, begun.token), disclosure())
    workshop.publisher.calls.clear()
    assert await workshop.beat() == 1
    assert await workshop.beat() == 0
    workshop.clock.advance(LEASE.total_seconds())
    assert await workshop.beat() == 1
    first, second = workshop.publisher.work
    assert isinstance(first, StartWork)
    assert first == second
