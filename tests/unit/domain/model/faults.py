"""The rules of the hand-over, each switched off: what the machine has to find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from orchestrator.domain import claiming, handover, lookup, settling
from orchestrator.domain.chain import Chain, Slot, StepState, View
from orchestrator.domain.claiming import Claim, NextSession, TakeIn
from orchestrator.domain.handover import Forward, WentLive
from orchestrator.domain.lookup import Forwarded, Lookup
from orchestrator.domain.ruling import Ruling
from orchestrator.domain.settling import Report, Settled
from tests.unit.domain.model.gateways import Gateways
from tests.unit.domain.model.irma import LIFETIME
from tests.unit.domain.model.workers import Workers

Fault = Callable[[pytest.MonkeyPatch], None]


def timeouts_count_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """H1: TIMEOUT is believed while a handler is at work on a copy."""
    monkeypatch.setattr(lookup, "HANDLER_MAX", timedelta(0))


def only_the_first_post_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """H1: a repeated bridge POST does not start the handler's time anew."""
    real = lookup.judge_forwarded

    def judge(
        found: Lookup,
        *,
        now: datetime,
        asked_at: datetime,
        forwarded_at: datetime,
        lives_until: datetime,
    ) -> Forwarded:
        del forwarded_at
        return real(
            found,
            now=now,
            asked_at=asked_at,
            forwarded_at=asked_at,
            lives_until=lives_until,
        )

    monkeypatch.setattr(lookup, "judge_forwarded", judge)


def repeats_are_not_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """H1: nobody writes down when the request was handed over once more."""
    real = handover.forward

    def forward(view: View, slot: Slot, *, token_hash: str) -> Ruling[Forward]:
        row = view.following
        again = row is not None and row.state is StepState.FORWARDED
        ruling = real(view, slot, token_hash=token_hash)
        return replace(ruling, steps=()) if again else ruling

    monkeypatch.setattr(handover, "forward", forward)


def what_is_announced_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """H1: who asks for a result makes live what a callback has named."""
    real = Gateways.looked_up

    def looked_up(world: Gateways, token: str) -> Lookup:
        return world.announced.get(token) or real(world, token)

    monkeypatch.setattr(Gateways, "looked_up", looked_up)


def whoever_asks_may_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    """G2: the offer of one session of a step is handed to any other."""
    real = handover.forward

    def forward(view: View, slot: Slot, *, token_hash: str) -> Ruling[Forward]:
        own = (view.step and view.step.token_hash) or token_hash
        return real(view, slot, token_hash=own)

    monkeypatch.setattr(handover, "forward", forward)


def who_is_given_up_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """G2: a worker dies after it gave a session up, and nobody else knows that."""
    monkeypatch.setattr(Workers, "_give_up", lambda *_: None)


def unknown_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """H2: a session is taken for lost also after a purge may have been the reason."""
    monkeypatch.setattr(lookup, "forgotten", lambda **_: True)


def any_session_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """H3: a bad end counts from any session of the step."""
    real = settling.settle

    def settle(view: View, slot: Slot, report: Report) -> Ruling[Settled]:
        token = (view.step and view.step.token_hash) or report.token_hash
        mine = replace(report, token_hash=token)
        return real(view, slot, mine)

    monkeypatch.setattr(settling, "settle", settle)


def time_is_enough_for_a_bad_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """H3: a bad end counts once no session can live, whatever is stored (H1)."""
    real = settling.settle

    def settle(view: View, slot: Slot, report: Report) -> Ruling[Settled]:
        ruling, row = real(view, slot, report), view.step
        if ruling.outcome is not Settled.UNRESOLVED or row is None:
            return ruling
        if not lookup.over(row, view.now, LIFETIME):
            return ruling
        return settling._settle_running(view, slot, row, report)

    monkeypatch.setattr(settling, "settle", settle)


def results_are_not_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """H4: the gateway takes in a result and leaves the row as it was."""
    real = claiming.take_in

    def take_in(view: View, slot: Slot, **given: str) -> Ruling[TakeIn]:
        return replace(real(view, slot, **given), steps=())

    monkeypatch.setattr(claiming, "take_in", take_in)


def the_row_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """H8: who does not learn that its session is live does not find it in the row."""
    real = handover.went_live

    def went_live(view: View, slot: Slot, **given: str) -> Ruling[WentLive]:
        unread = view.step and replace(view.step, token_hash=None)
        return real(replace(view, step=unread), slot, **given)

    monkeypatch.setattr(handover, "went_live", went_live)


def the_lease_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease: whoever has started a session writes it into the row."""
    real = handover.went_live

    def went_live(
        view: View, slot: Slot, *, owner: str, **given: str
    ) -> Ruling[WentLive]:
        mine = view.step and replace(
            view.step, state=StepState.STARTING, lease_owner=owner, token_hash=None
        )
        return real(replace(view, step=mine), slot, owner=owner, **given)

    monkeypatch.setattr(handover, "went_live", went_live)


def a_closed_generation_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """H9: nobody asks whether the chain still takes anything."""
    monkeypatch.setattr(Chain, "takes", lambda *_: True)


def starts_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """H9: a start that failed is tried again, whatever has become of the chain."""
    real = handover.start_later

    def start_later(view: View, *, owner: str) -> Ruling[None]:
        return real(replace(view, chain=replace(view.chain, generation=0)), owner=owner)

    monkeypatch.setattr(handover, "start_later", start_later)


def repeats_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """H10: a message that comes again publishes nothing."""
    real = claiming._claimed_before

    def claimed_before(view: View, held: Claim, following: NextSession) -> Ruling[Claim]:
        return replace(real(view, held, following), events=())

    monkeypatch.setattr(claiming, "_claimed_before", claimed_before)


def a_slot_is_claimed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The slot: whoever has an answer writes it, whoever was there before."""
    monkeypatch.setattr(claiming, "_held", lambda *_: None)
