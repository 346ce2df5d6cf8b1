"""The rules of delivery and hand-over, each switched off in the real code.

What the machine of the rules alone finds stands in `faults`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import pytest

from orchestrator import rulings
from orchestrator.domain import claiming, generations, handover, settling
from orchestrator.domain.chain import Slot, View
from orchestrator.domain.claiming import TakeIn
from orchestrator.domain.handover import Lease
from orchestrator.domain.ruling import Ruling
from orchestrator.domain.settling import Missing
from orchestrator.ports import Changes, Message, Waiting
from orchestrator.rulings import Rulings
from orchestrator.work import WorkMaker
from schemas.messages import CallbackWork
from workers.callback import CallbackWorker
from workers.clock import ClockWorker
from workers.isolation import Gate
from workers.parking import Parking

Fault = Callable[[pytest.MonkeyPatch], None]


async def _nothing(*_: object, **__: object) -> int:
    return 0


def nobody_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """H5: `check_at` is written, but no clock goes by it."""
    monkeypatch.setattr(ClockWorker, "check_due", _nothing)


def a_forgotten_session_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """H6: a live session that its backend does not know any more changes nothing."""
    real = settling.settle_missing

    def settle_missing(view: View, slot: Slot, **given: object) -> Ruling[Missing]:
        ruling = real(view, slot, **given)  # type: ignore[arg-type] # as it came
        expired = ruling.outcome is Missing.EXPIRED
        return Ruling(outcome=Missing.WAIT) if expired else ruling

    monkeypatch.setattr(settling, "settle_missing", settle_missing)


def what_was_not_announced_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """H7: who finds a live row of which nobody was told does not tell either."""
    real, real_lease = claiming.take_in, handover.lease_start

    def take_in(view: View, slot: Slot, **given: str) -> Ruling[TakeIn]:
        return replace(real(view, slot, **given), events=())

    def lease_start(view: View, slot: Slot, *, owner: str) -> Ruling[Lease]:
        return replace(real_lease(view, slot, owner=owner), events=())

    monkeypatch.setattr(claiming, "take_in", take_in)
    monkeypatch.setattr(claiming, "_found_running", lambda *_: ())
    monkeypatch.setattr(handover, "lease_start", lease_start)


def what_waits_outlives_its_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    """H9: a generation is closed, and its waiting rows stay."""
    monkeypatch.setattr(rulings, "ends_with_generation", lambda _: False)


def nothing_outlives_its_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    """G2: cancellations go with their generation."""
    monkeypatch.setattr(rulings, "ends_with_generation", lambda _: True)


def whatever_ended_is_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    """H9: a generation is closed and followed while it is open, or has ended well."""
    monkeypatch.setattr(generations, "not_replayable", lambda *_: None)


def events_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """H10: what goes out with a transition is published, but is no row of it."""
    monkeypatch.setattr(rulings, "Changes", _without_outbox(Changes))


def _without_outbox(real: Callable[..., object]) -> Callable[..., object]:
    def changes(**given: object) -> object:
        return real(**given | {"outbox": ()})

    return changes


def repeats_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """H10: a message that comes again publishes no event of what it did before."""
    real = Rulings.by_message

    async def by_message(
        self: Rulings, slot: Slot, rule: rulings.Rule[object], *work: object
    ) -> tuple[object, list[Message]]:
        outcome, events = await real(self, slot, rule, *work)  # type: ignore[arg-type] # as it came
        said = outcome[0] if isinstance(outcome, tuple) else outcome
        mine = str(getattr(said, "name", "")).startswith("MINE")
        return outcome, [] if mine else events

    monkeypatch.setattr(Rulings, "by_message", by_message)


def a_slot_is_claimed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """G2: whoever has an answer writes it, whoever was there before."""
    monkeypatch.setattr(claiming, "_held", lambda *_: None)


def a_taken_answer_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """DESIGN §4: an answer that the reply URL took is overtaken by another one."""
    real = claiming._held

    def held(view: View, slot: Slot, answer_hash: str) -> object:
        step = view.step and replace(view.step, reply_hash=None)
        return real(replace(view, step=step), slot, answer_hash)

    monkeypatch.setattr(claiming, "_held", held)


def parked_is_not_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    """DESIGN §4: a parked callback is acknowledged before its row is written."""
    monkeypatch.setattr(Parking, "park", _nothing)


def retries_are_not_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    """DESIGN §4: a retry is acknowledged before its row is written."""
    real = CallbackWorker._act

    async def act(self: CallbackWorker, *given: object) -> None:
        store = _Forgetful(self.store)
        await real(replace(self, store=store), *given)  # type: ignore[arg-type] # as it came

    monkeypatch.setattr(CallbackWorker, "_act", act)


class _Forgetful:
    """A store that writes no waiting rows."""

    def __init__(self, real: object) -> None:
        self._real = real

    def __getattr__(self, name: str) -> object:
        return _nothing if name == "put_waiting" else getattr(self._real, name)


def every_attempt_is_a_callback(monkeypatch: pytest.MonkeyPatch) -> None:
    """G3: a retry has an id of its own, so its receiver cannot tell it from another."""
    real = WorkMaker.again

    def again(
        self: WorkMaker, work: CallbackWork, delay_s: float, now: datetime
    ) -> Waiting:
        secrets = self.sealer.open(work.sealed, bound_to=work.id)
        name = f"{work.id}x"
        sealed = self.sealer.seal(secrets, bound_to=name)
        other = work.model_copy(update={"id": name, "sealed": sealed})
        return real(self, other, delay_s, now)

    monkeypatch.setattr(WorkMaker, "again", again)


def parking_spends_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    """DESIGN §4: a callback that is kept back counts as tried."""
    real = WorkMaker.parked

    def parked(self: WorkMaker, work: CallbackWork, now: datetime) -> Waiting:
        tried = work.model_copy(update={"attempt": work.attempt + 1})
        return real(self, tried, now)

    monkeypatch.setattr(WorkMaker, "parked", parked)


def endpoints_are_never_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """G5: neither an open breaker nor an operator's pause keeps a callback back."""
    monkeypatch.setattr(Gate, "_kept", lambda *_: None)


def parked_callbacks_are_never_released(monkeypatch: pytest.MonkeyPatch) -> None:
    """DESIGN §4: what is parked stays so."""
    monkeypatch.setattr(ClockWorker, "release_parked", _nothing)


def nobody_waits_for_a_later_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """DESIGN §4: the deadline of a 202 is not written down."""
    monkeypatch.setattr(CallbackWorker, "_await_reply", _nothing)
