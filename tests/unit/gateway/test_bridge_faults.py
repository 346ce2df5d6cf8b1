"""Bridge and callback receiver while broker or store are slow or away (DESIGN §3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from orchestrator.domain.chain import Slot, StepState, View
from orchestrator.domain.errors import StoreUnavailable
from orchestrator.gateway import Options
from orchestrator.ports import Changes
from schemas.messages import (
    NoteSecrets,
    NoteWork,
    WakeUp,
)
from tests.support.samples import PUBLIC_URL, issuance, result_of, wire
from tests.support.workshop import Workshop
from tests.unit.conftest import LoseStore
from tests.unit.gateway.bridging import (
    endpoint_says,
    post,
    posted,
    proved,
)

#: The default of `bridge_budget_s`.
BUDGET_S = 3.0


async def test_a_start_that_the_broker_does_not_take_stays_in_the_outbox(
    workshop: Workshop,
) -> None:
    """It is a row of the transaction that detaches."""
    begun = await workshop.begin()
    script = endpoint_says(workshop, issuance())

    async def broker_goes() -> None:
        await script()
        await workshop.settled()
        workshop.publisher.down = True

    workshop.replies.script = broker_goes
    assert (await proved(workshop, begun)).status == 204
    await workshop.settled()
    assert await workshop.waiting() == [f"{begun.id}-2-0-start-0:work"]


async def test_a_mark_that_the_store_cannot_take_becomes_a_note(
    workshop: Workshop, lose_store: LoseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result is in the broker; the session worker marks the row later (H4)."""
    monkeypatch.setattr("orchestrator.gateway.bridge.STORE_AWAY_S", 0.0)
    begun = await workshop.begin()
    lose_store("decide")
    answer = await proved(workshop, begun)
    await workshop.settled()
    assert answer.status == 204
    assert posted(workshop).chain_id == begun.id
    (note,) = [work for work in workshop.publisher.work if isinstance(work, NoteWork)]
    secrets = workshop.sealer.open_model(NoteSecrets, note.sealed, bound_to=note.id)
    assert (note.chain_id, note.step, secrets.token) == (begun.id, 1, begun.token)
    assert secrets.result == result_of(begun.token).to_wire()


async def test_with_the_store_away_the_user_is_let_go_soon(
    workshop: Workshop, lose_store: LoseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """204 long before the budget is over: without the store no wake-up can come."""
    monkeypatch.setattr("orchestrator.gateway.bridge.STORE_AWAY_S", 0.0)
    begun = await workshop.begin()
    lose_store()
    workshop.replies.script = _never
    async with asyncio.timeout(BUDGET_S):
        answer = await proved(workshop, begun)
    assert answer.status == 204
    assert workshop.replies.timeouts_s == [pytest.approx(BUDGET_S, abs=BUDGET_S / 2)]


async def test_a_store_away_for_a_moment_lets_nobody_out_of_the_flow(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark is tried again meanwhile, and the app goes on to the next session."""
    begun = await workshop.begin()
    script = endpoint_says(workshop, issuance())
    with monkeypatch.context() as moment:
        lost, decide = asyncio.Event(), workshop.store.decide

        async def away(*_: object) -> None:
            lost.set()
            raise StoreUnavailable("the database is away")

        moment.setattr(workshop.store, "decide", away)

        async def store_comes() -> WakeUp | None:
            await lost.wait()
            moment.setattr(workshop.store, "decide", decide)
            return await script()

        workshop.replies.script = store_comes
        answer = await proved(workshop, begun)
    assert answer.status == 200
    assert not [work for work in workshop.publisher.work if isinstance(work, NoteWork)]


async def test_a_slow_store_does_not_hold_the_app(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer goes out at the deadline, the mark is made when the store is there."""
    begun = await workshop.begin()
    go, decide = asyncio.Event(), workshop.store.decide

    async def slowly(
        slot: Slot, rule: Callable[[View], tuple[object, Changes]]
    ) -> object:
        if slot == begun.slot:
            await go.wait()
        return await decide(slot, rule)

    monkeypatch.setattr(workshop.store, "decide", slowly)
    app = workshop.app(Options(public_url=PUBLIC_URL, bridge_budget_s=0.02))
    answer = await post(workshop, begun.bridge, wire(result_of(begun.token)), app=app)
    assert answer.status == 204
    assert (await workshop.row(begun.slot)).state is StepState.LIVE
    go.set()
    await workshop.settled()
    assert (await workshop.row(begun.slot)).state is StepState.COMPLETED


async def test_with_the_broker_away_the_user_is_let_go_at_once(
    workshop: Workshop,
) -> None:
    """204 without a wait; event and work are rows, and the row is marked."""
    begun = await workshop.begin()
    workshop.publisher.down = True
    assert (await proved(workshop, begun)).status == 204
    await workshop.settled()
    assert workshop.replies.timeouts_s == []
    rows = await workshop.store.waiting(limit=10)
    assert [row.message.routing_key for row in rows] == ["history", "callbacks"]
    assert (await workshop.row(begun.slot)).state is StepState.COMPLETED


@pytest.mark.parametrize("kind", ["bridge", "callback"])
async def test_with_both_away_nothing_is_accepted(
    workshop: Workshop,
    lose_store: LoseStore,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """503 with a time to come back."""
    monkeypatch.setattr("orchestrator.gateway.bridge.STORE_AWAY_S", 0.0)
    begun = await workshop.begin()
    workshop.publisher.down = True
    lose_store()
    path = begun.bridge if kind == "bridge" else begun.callback
    answer = await post(workshop, path, wire(result_of(begun.token)))
    assert answer.status == 503
    assert "retry-after" in answer.headers


@pytest.mark.parametrize("method", ["decide", "step"])
async def test_a_hand_over_of_unknown_fate_is_none(
    workshop: Workshop, lose_store: LoseStore, method: str
) -> None:
    """204 when the store goes away in between; what was stored decides later (H1, H8)."""
    begun = await workshop.begin()
    script = endpoint_says(workshop, issuance())

    async def store_goes() -> WakeUp | None:
        wake_up = await script()
        await workshop.settled()
        lose_store(method)
        return wake_up

    workshop.replies.script = store_goes
    assert (await proved(workshop, begun)).status == 204


async def test_a_detachment_that_the_store_cannot_take_is_left_to_the_clock(
    workshop: Workshop, lose_store: LoseStore
) -> None:
    """204 all the same; the row's `check_at` is the net (H5)."""
    begun = await workshop.begin()
    script = endpoint_says(workshop, issuance())

    async def store_goes() -> None:
        await script()
        await workshop.settled()
        lose_store("decide")

    workshop.replies.script = store_goes
    assert (await proved(workshop, begun)).status == 204
    row = await workshop.row(begun.slot.following)
    assert row.state is StepState.OFFERED
    assert row.check_at is not None


async def test_a_callback_is_kept_by_the_store_while_the_broker_is_away(
    workshop: Workshop,
) -> None:
    """The backend posts it once and tells nobody else."""
    begun = await workshop.begin()
    workshop.publisher.down = True
    answer = await post(workshop, begun.callback, wire(result_of(begun.token, "DONE")))
    assert answer.status == 204
    (row,) = await workshop.store.waiting(limit=10)
    assert row.message.routing_key == "sessions"


async def test_a_store_that_hangs_does_not_hold_the_answer(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """204 before the app is cut off, although the row was to be forwarded."""
    monkeypatch.setattr("orchestrator.gateway.bridge.CLOSING_S", 0.01)
    begun = await workshop.begin()
    script = endpoint_says(workshop, issuance())
    decide, hangs = workshop.store.decide, asyncio.Event()

    async def hang(slot: Slot, rule: Callable[[View], tuple[object, Changes]]) -> object:
        if hangs.is_set():
            await asyncio.Event().wait()
        return await decide(slot, rule)

    async def store_hangs() -> WakeUp | None:
        wake_up = await script()
        hangs.set()
        return wake_up

    monkeypatch.setattr(workshop.store, "decide", hang)
    workshop.replies.script = store_hangs
    app = workshop.app(Options(public_url=PUBLIC_URL, bridge_budget_s=0.2))
    answer = await post(workshop, begun.bridge, wire(result_of(begun.token)), app=app)
    assert (answer.status, answer.body) == (204, b"")
    assert (await workshop.row(begun.slot.following)).state is StepState.OFFERED


async def test_a_detachment_that_takes_its_time_does_not_hold_the_app(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """204 at the deadline: after it the IRMA server still has to post its callback."""
    begun = await workshop.begin()
    script, answered = endpoint_says(workshop, issuance()), asyncio.Event()
    decide, slow = workshop.store.decide, asyncio.Event()

    async def slowly(
        slot: Slot, rule: Callable[[View], tuple[object, Changes]]
    ) -> object:
        if slow.is_set():
            await answered.wait()
        return await decide(slot, rule)

    monkeypatch.setattr(workshop.store, "decide", slowly)

    async def store_slows() -> None:
        await script()
        await workshop.settled()
        slow.set()

    workshop.replies.script = store_slows
    async with asyncio.timeout(BUDGET_S):
        answer = await proved(workshop, begun)
    assert answer.status == 204
    assert (await workshop.row(begun.slot.following)).state is StepState.OFFERED
    answered.set()
    await workshop.settled()
    assert (await workshop.row(begun.slot.following)).state is StepState.DETACHED


async def _never() -> None:
    await asyncio.Event().wait()
