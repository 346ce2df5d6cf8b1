"""Erasing: what may be erased, and what is left of it."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.domain.chain import Chain, ChainState, Slot, Step, StepState
from orchestrator.domain.erasing import REASON, Erasure, erase

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
BEFORE = NOW - timedelta(hours=1)
SECRET = "MARKER"

#: What a row is made of that says nothing about anybody.
CHAIN = Chain(
    id="C1",
    requestor="acme",
    backend="irma",
    state=ChainState.COMPLETED,
    generation=0,
    created_at=BEFORE,
    ended_at=BEFORE,
    idempotency=SECRET,
    body_hash=SECRET,
)
RUNNING = replace(CHAIN, state=ChainState.RUNNING, ended_at=None)


def step(
    number: int = 1,
    state: StepState = StepState.FINISHED,
    *,
    open_: bool = False,
    generation: int = 0,
) -> Step:
    """A row with every secret that one can hold."""
    return Step(
        slot=Slot(chain_id="C1", step=number, generation=generation),
        state=state,
        session_type="disclosing",
        created_at=BEFORE,
        check_at=NOW if open_ else None,
        announced=True,
        live_at=BEFORE,
        token_hash=SECRET,
        answer_hash=SECRET,
        reply_hash=SECRET,
        sealed_request=SECRET,
        sealed_prepared=SECRET,
        sealed_package=SECRET,
        sealed_token=SECRET,
        sealed_result=SECRET,
    )


def erased(chain: Chain, *steps: Step, cancel: bool = False) -> Erasure:
    """The decision about them."""
    return erase(chain, steps, NOW, cancel=cancel)


def secrets_in(erasure: Erasure) -> list[str]:
    """Fields of what is written that still hold one."""
    rows = [row for row in (erasure.chain, *erasure.steps) if row is not None]
    return [
        field.name
        for row in rows
        for field in fields(row)
        if SECRET in str(getattr(row, field.name))
    ]


def test_nothing_secret_is_left() -> None:
    """Neither sealed columns nor keyed hashes; what happened stays as it was."""
    first, end = step(1), replace(step(2, StepState.END), reason="why")
    erasure = erased(CHAIN, first, end)
    assert secrets_in(erasure) == []
    assert (erasure.refusal, erasure.events, erasure.given_up) == (None, (), ())
    assert erasure.chain == replace(
        CHAIN, purged_at=NOW, idempotency=None, body_hash=None
    )
    assert [row.slot for row in erasure.steps] == [first.slot, end.slot]
    assert erasure.steps[1].reason == "why"
    assert erasure.steps[0].live_at == BEFORE


def test_what_was_purged_can_be_erased() -> None:
    """A purge leaves the hashes by which tokens are known; and erasing twice is fine."""
    purged = replace(CHAIN, purged_at=BEFORE)
    once = erased(purged, step())
    assert once.chain is not None
    assert secrets_in(once) == []
    assert erased(once.chain, *once.steps) == once


@pytest.mark.parametrize(
    "chain,row,said",
    [
        (RUNNING, step(1, StepState.LIVE, open_=True), "still running"),
        (RUNNING, step(1, StepState.COMPLETED), "still running"),
        (
            CHAIN,
            step(1, StepState.COMPLETED, open_=True),
            "a session of it has not ended",
        ),
    ],
)
def test_what_is_not_over_is_refused(chain: Chain, row: Step, said: str) -> None:
    """With the remedy; nothing is written."""
    erasure = erased(chain, row)
    assert said in str(erasure.refusal)
    assert "--cancel" in str(erasure.refusal)
    assert erasure == Erasure(refusal=erasure.refusal)


def test_a_running_chain_is_ended_first() -> None:
    """Its end is in the slot after its last; its live session is given up."""
    done, live = step(1), step(2, StepState.LIVE, open_=True)
    erasure = erased(RUNNING, done, live, cancel=True)
    assert secrets_in(erasure) == []
    assert erasure.chain is not None
    assert (erasure.chain.state, erasure.chain.ended_at) == (ChainState.CANCELLED, NOW)
    rows = {row.slot.step: row for row in erasure.steps}
    assert (rows[2].state, rows[2].final_status) == (StepState.CANCELLED, "CANCELLED")
    assert (rows[3].state, rows[3].reason) == (StepState.END, REASON)
    assert {row.check_at for row in erasure.steps} == {None}
    assert erasure.given_up == (live,)
    assert [event.type for event in erasure.events] == [
        "session.cancelled",
        "chain.cancelled",
    ]


def test_the_end_is_that_of_the_last_generation() -> None:
    """Earlier ones are over already, and may have had more steps."""
    replayed = replace(RUNNING, generation=1)
    rows = step(1), step(2), step(1, StepState.COMPLETED, generation=1)
    erasure = erased(replayed, *rows, cancel=True)
    (end,) = (row for row in erasure.steps if row.state is StepState.END)
    assert end.slot == Slot(chain_id="C1", step=2, generation=1)


def test_a_session_that_outlives_its_chain_is_given_up() -> None:
    """One whose result was proved has ended well; the chain's end stays what it was."""
    failed = replace(CHAIN, state=ChainState.FAILED, reason="why")
    proved = step(1, StepState.COMPLETED, open_=True)
    erasure = erased(failed, proved, step(2, StepState.END), cancel=True)
    assert secrets_in(erasure) == []
    assert erasure.chain is not None
    assert (erasure.chain.state, erasure.chain.reason) == (ChainState.FAILED, "why")
    rows = {row.slot.step: row for row in erasure.steps}
    assert (rows[1].state, rows[1].final_status) == (StepState.FINISHED, "DONE")
    assert [event.type for event in erasure.events] == ["session.finished"]
    assert erasure.given_up == ()
