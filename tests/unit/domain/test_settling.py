"""A session is final: what is stored, what ends with it, what has no effect."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import pytest

from orchestrator.domain.chain import Chain, ChainState, Step, StepState
from orchestrator.domain.lookup import HANDLER_MAX, PURGE_MIN
from orchestrator.domain.ruling import CHECK_AFTER_CALLBACK, CHECK_LIVE, Ruling
from orchestrator.domain.settling import (
    Missing,
    Report,
    Settled,
    settle,
    settle_missing,
)
from schemas.events import SessionEnded
from tests.unit.domain.samples import (
    CHAIN,
    CLOSED,
    COMPLETED,
    DETACHED,
    END,
    FINISHED,
    FORWARDED,
    LIVE,
    MINUTE,
    NOW,
    OFFERED,
    ROWS,
    SECOND,
    SECOND_SLOT,
    STARTING,
    a_report,
    a_view,
)

LIFETIME: Final = 15 * MINUTE
TICK: Final = timedelta(microseconds=1)

#: When no handler can be at work any more.
LATE: Final = HANDLER_MAX + TICK

#: The slot after the second step's holds the chain's end.
ENDED: Final = replace(END, slot=SECOND_SLOT.following)

#: The last session of a chain.
LAST: Final = replace(LIVE, chained=False)

VALID: Final = a_report("DONE", "VALID")
INVALID: Final = a_report("DONE", "INVALID")
CANCELLED: Final = a_report("CANCELLED")
TIMEOUT: Final = a_report("TIMEOUT")
BAD: Final = (INVALID, CANCELLED, TIMEOUT)

NO_EFFECT: Final = Ruling(outcome=Settled.NO_EFFECT)


def of_another(report: Report) -> Report:
    """The same of another session of the step."""
    return replace(report, token_hash="other", sealed_token="sealed other")


def settled(
    row: Step | None,
    report: Report,
    *,
    following: Step | None = None,
    chain: Chain = CHAIN,
    after: timedelta | None = None,
) -> Ruling[Settled]:
    """The state came in, by default at once."""
    now = NOW + (after or timedelta(0))
    view = a_view(row, following, chain=chain, now=now)
    return settle(view, SECOND_SLOT, report)


def missed(row: Step | None, *, chain: Chain = CHAIN) -> Ruling[Missing]:
    """The backend does not know the session."""
    view = a_view(row, chain=chain)
    return settle_missing(view, SECOND_SLOT, session_lifetime=LIFETIME)


def told(ruling: Ruling[Settled] | Ruling[Missing]) -> list[str]:
    """The types of the ruling's events, in order."""
    return [event.type for event in ruling.events]


def by_state(row: Step | None) -> str:
    """How a row is named in a list of tests."""
    return row.state if row else "none"


# ----------------------------------------------------------------------- live sessions


@pytest.mark.trap("T2")
@pytest.mark.parametrize(
    "report,state,end,reason",
    [
        (VALID, StepState.FINISHED, ChainState.COMPLETED, None),
        (CANCELLED, StepState.CANCELLED, ChainState.CANCELLED, "was cancelled"),
        (TIMEOUT, StepState.EXPIRED, ChainState.EXPIRED, "timed out"),
        (INVALID, StepState.FAILED, ChainState.FAILED, "proof status INVALID"),
        (a_report("DONE"), StepState.FAILED, ChainState.FAILED, "proof status None"),
        (
            a_report("DONE", "EXPIRED"),
            StepState.FAILED,
            ChainState.FAILED,
            "proof status EXPIRED",
        ),
    ],
)
def test_the_last_session_ends_the_chain(
    report: Report, state: StepState, end: ChainState, reason: str | None
) -> None:
    """Only DONE and VALID is a success (trap T2)."""
    ruling = settled(LAST, report)
    row, slot = ruling.steps
    assert ruling.outcome is Settled.STORED
    assert (row.state, row.final_status, row.check_at) == (state, report.status, None)
    assert (row.sealed_result, row.announced) == (report.sealed_result, True)
    assert (slot.slot, slot.state) == (SECOND_SLOT.following, StepState.END)
    assert ruling.chain is not None
    assert (ruling.chain.state, ruling.chain.ended_at) == (end, NOW)
    assert told(ruling) == [f"session.{state.value}", f"chain.{end.value}"]
    for held in (row.reason, slot.reason, ruling.chain.reason):
        assert held is None if reason is None else reason in (held or "")


def test_events_of_an_end_are_caused_by_each_other() -> None:
    """The chain's end by the session's, that by its start."""
    session, chain = settled(LAST, VALID).events
    assert session.causationid == SECOND_SLOT.event_id("session.started")
    assert chain.causationid == session.id == SECOND_SLOT.event_id("session.finished")


@pytest.mark.parametrize(
    "report,proof_status",
    [(VALID, "VALID"), (INVALID, None), (CANCELLED, None), (TIMEOUT, None)],
)
def test_a_sessions_end_says_what_its_backend_said(
    report: Report, proof_status: str | None
) -> None:
    """Its status as it is, and that it was proved if it was."""
    ruling = settled(LAST, report)
    ended = ruling.events[0]
    assert isinstance(ended, SessionEnded)
    assert (ended.data.status, ended.data.proof_status) == (report.status, proof_status)
    assert ended.data.reason == ruling.steps[0].reason


def test_a_proved_session_with_a_next_one_ends_nothing() -> None:
    """Its result is with the endpoint, whose answer has the slot."""
    ruling = settled(LIVE, VALID)
    assert (ruling.outcome, ruling.chain) == (Settled.STORED, None)
    assert [row.slot for row in ruling.steps] == [SECOND_SLOT]
    assert told(ruling) == ["session.finished"]


@pytest.mark.parametrize("report", BAD, ids=lambda report: report.status)
def test_a_bad_end_of_a_chained_session_ends_the_chain(report: Report) -> None:
    """With `nextSession` it does the same as without, as nothing was taken in."""
    chained, last = settled(LIVE, report), settled(LAST, report)
    row, end = last.steps
    assert chained == replace(last, steps=(replace(row, chained=True), end))


def test_the_time_of_a_proof_is_kept() -> None:
    """A result counts as taken in when it first came, a bad end never."""
    assert settled(LAST, VALID).steps[0].completed_at == NOW
    assert settled(LAST, CANCELLED).steps[0].completed_at is None


# ------------------------------------------------------------------- whose state counts


@pytest.mark.parametrize("row", [FORWARDED, DETACHED, STARTING, LIVE], ids=by_state)
def test_what_is_proved_counts_from_any_session(row: Step) -> None:
    """Rule H3: the row then points to that session, and nobody starts another."""
    report = of_another(VALID)
    ruling = settled(replace(row, chained=False), report)
    final = ruling.steps[0]
    assert ruling.outcome is Settled.STORED
    assert final.announced
    assert (final.token_hash, final.sealed_token) == ("other", "sealed other")
    assert (final.lease_owner, final.lease_until) == (None, None)
    assert ruling.chain is not None
    assert ruling.chain.state is ChainState.COMPLETED


@pytest.mark.parametrize(
    "row,first",
    [(FORWARDED, ["session.started"]), (STARTING, ["session.started"]), (LIVE, [])],
    ids=lambda given: by_state(given) if isinstance(given, Step) else "",
)
def test_a_session_is_announced_before_it_ends(row: Step, first: list[str]) -> None:
    """Nobody had found it yet; its end is the first that is heard of it."""
    assert told(settled(row, VALID)) == [*first, "session.finished"]


@pytest.mark.parametrize("report", BAD, ids=lambda report: report.status)
@pytest.mark.parametrize(
    "row", [OFFERED, DETACHED, STARTING, LIVE, COMPLETED], ids=by_state
)
def test_a_bad_end_of_another_session_has_no_effect(row: Step, report: Report) -> None:
    """Rule H3: a session that we cancelled ourselves, or an orphan, ends no chain."""
    assert settled(row, of_another(report)) == NO_EFFECT


@pytest.mark.parametrize("report", BAD, ids=lambda report: report.status)
def test_a_bad_end_waits_until_the_forwarded_session_is_known(report: Report) -> None:
    """Rule H1: only a look-up says whose it is, however late it is made."""
    row = replace(FORWARDED, chained=False)
    for after in (timedelta(0), 2 * LIFETIME + HANDLER_MAX, 1_000 * LIFETIME):
        assert settled(row, report, after=after) == Ruling(outcome=Settled.UNRESOLVED)


def test_nothing_can_be_proved_in_an_offer() -> None:
    """No session of the step exists yet."""
    assert settled(OFFERED, VALID) == NO_EFFECT


@pytest.mark.parametrize("report", [VALID, *BAD], ids=lambda report: report.status)
@pytest.mark.parametrize(
    "row",
    [
        None,
        END,
        FINISHED,
        replace(FINISHED, state=StepState.CANCELLED, final_status="CANCELLED"),
        replace(FINISHED, state=StepState.EXPIRED, final_status="TIMEOUT"),
        replace(FINISHED, state=StepState.FAILED, final_status="DONE"),
    ],
    ids=by_state,
)
def test_a_final_state_never_changes(row: Step | None, report: Report) -> None:
    """What comes later has no effect, and nobody is told twice."""
    assert settled(row, report) == NO_EFFECT
    assert settled(row, replace(report, stored=True)) == NO_EFFECT


@pytest.mark.parametrize("chain", CLOSED)
@pytest.mark.parametrize("report", [VALID, *BAD], ids=lambda report: report.status)
@pytest.mark.parametrize("row", [FORWARDED, DETACHED, STARTING, LIVE], ids=by_state)
def test_nothing_is_settled_in_a_closed_chain(
    row: Step, report: Report, chain: Chain
) -> None:
    """Rule H9: it has no effect and does not wait."""
    assert settled(row, report, chain=chain) == NO_EFFECT


# ------------------------------------------------------------------- completed sessions


@pytest.mark.parametrize("chain", [CHAIN, *CLOSED])
@pytest.mark.parametrize("stored", [False, True])
def test_a_completed_session_finishes(chain: Chain, *, stored: bool) -> None:
    """DONE is its last word, also when the chain has ended by then (rule H9)."""
    report = replace(VALID, stored=stored)
    ruling = settled(COMPLETED, report, chain=chain)
    final = replace(FINISHED, sealed_result=VALID.sealed_result)
    assert (ruling.outcome, ruling.steps, ruling.chain) == (
        Settled.STORED,
        (final,),
        None,
    )
    assert told(ruling) == ["session.finished"]


@pytest.mark.parametrize("report", BAD, ids=lambda report: report.status)
def test_a_completed_session_is_not_cancelled_by_an_announcement(report: Report) -> None:
    """Rule H3: its result was taken in; what is announced may not be stored.

    But it may be any moment, so that it is looked up soon (a TIMEOUT not before H1).
    """
    ruling = settled(COMPLETED, report)
    assert (ruling.outcome, ruling.chain, ruling.events) == (Settled.NO_EFFECT, None, ())
    soon = () if report.status == "TIMEOUT" else (NOW + CHECK_AFTER_CALLBACK,)
    assert tuple(row.check_at for row in ruling.steps) == soon
    again = replace(COMPLETED, check_at=NOW)
    assert settled(again, report) == NO_EFFECT


@pytest.mark.parametrize(
    "report", [replace(report, stored=True) for report in BAD], ids=lambda r: r.status
)
@pytest.mark.parametrize("chain", [CHAIN, *CLOSED])
def test_what_was_taken_in_stays_although_its_update_was_lost(
    chain: Chain, report: Report
) -> None:
    """DONE for everybody: the row, its event and what the requestor is told."""
    ruling = settled(COMPLETED, report, chain=chain, after=LATE)
    (row,) = ruling.steps
    reason = f"the backend has lost its result and stored {report.status}"
    assert ruling.outcome is Settled.KEPT
    assert row == replace(FINISHED, reason=reason)
    assert row.sealed_result == COMPLETED.sealed_result
    assert ruling.chain is None
    (event,) = ruling.events
    assert isinstance(event, SessionEnded)
    assert (event.type, event.data.status) == ("session.finished", "DONE")
    assert (event.data.proof_status, event.data.reason) == ("VALID", reason)


@pytest.mark.trap("T30", "T31")
@pytest.mark.parametrize(
    "report,state",
    [
        (CANCELLED, StepState.CANCELLED),
        (TIMEOUT, StepState.EXPIRED),
        (INVALID, StepState.FAILED),
    ],
)
def test_a_step_the_chain_has_failed_on_ends_as_it_is_stored(
    report: Report, state: StepState
) -> None:
    """The app was refused too (irma.md §7.7); what was proved is kept for a replay."""
    chain = replace(CHAIN, state=ChainState.FAILED, ended_at=NOW)
    stored = replace(report, stored=True)
    ruling = settled(COMPLETED, stored, following=ENDED, chain=chain, after=LATE)
    (row,) = ruling.steps
    assert ruling.outcome is Settled.STORED
    assert (row.state, row.final_status, row.check_at) == (state, report.status, None)
    assert row.sealed_result == COMPLETED.sealed_result
    assert row.reason == settled(LAST, report).steps[0].reason
    assert ruling.chain is None
    assert told(ruling) == [f"session.{state.value}"]


def test_a_step_before_the_one_the_chain_has_failed_on_stays_done() -> None:
    """Only what followed it directly can have been refused to its app."""
    chain = replace(CHAIN, state=ChainState.FAILED, ended_at=NOW)
    stored = replace(CANCELLED, stored=True)
    following = replace(LIVE, slot=SECOND_SLOT.following)
    ruling = settled(COMPLETED, stored, following=following, chain=chain)
    assert ruling.outcome is Settled.KEPT


def test_a_lost_update_waits_for_the_result_that_is_on_its_way() -> None:
    """The answer that claims the slot brings it; where none will, it ends as stored."""
    row = replace(COMPLETED, sealed_result=None)
    stored = replace(CANCELLED, stored=True)
    assert settled(row, stored) == NO_EFFECT
    ruling = settled(row, stored, chain=CLOSED[0])
    assert (ruling.outcome, ruling.steps[0].state) == (
        Settled.STORED,
        StepState.CANCELLED,
    )


@pytest.mark.parametrize(
    "forwarded_at,after,outcome",
    [
        (None, HANDLER_MAX - SECOND, Settled.NO_EFFECT),
        (None, HANDLER_MAX - SECOND + TICK, Settled.KEPT),
        (NOW, HANDLER_MAX, Settled.NO_EFFECT),
        (NOW, HANDLER_MAX + TICK, Settled.KEPT),
    ],
)
def test_a_stored_timeout_is_not_final_while_a_handler_may_be_at_work(
    forwarded_at: datetime | None, after: timedelta, outcome: Settled
) -> None:
    """Rule H1: DONE may be stored for a minute after the last bridge POST."""
    following = replace(FORWARDED, forwarded_at=forwarded_at)
    report = replace(TIMEOUT, stored=True)
    ruling = settled(COMPLETED, report, following=following, after=after)
    assert ruling.outcome is outcome
    assert bool(ruling.steps) == (outcome is Settled.KEPT)


def test_another_proof_of_a_completed_step_has_no_effect() -> None:
    """First come, by the slot's claim; the row points to one session only."""
    assert settled(COMPLETED, of_another(VALID)) == NO_EFFECT


# ------------------------------------------------------------------ forgotten sessions


@pytest.mark.parametrize(
    "age,outcome",
    [
        (PURGE_MIN - TICK, Missing.EXPIRED),
        (PURGE_MIN, Missing.WAIT),
        (2 * LIFETIME + HANDLER_MAX, Missing.WAIT),
        (2 * LIFETIME + HANDLER_MAX + TICK, Missing.EXPIRED),
    ],
)
@pytest.mark.parametrize("announced", [True, False])
def test_a_forgotten_session_expires_the_chain(
    age: timedelta, outcome: Missing, *, announced: bool
) -> None:
    """Rule H6: by the times of H2, counted from when it went live."""
    since = {"live_at": NOW - age} if announced else {"live_at": None}
    row = replace(LIVE, created_at=NOW - age, **since)
    assert missed(row).outcome is outcome


def test_who_expires_says_so() -> None:
    """The row, the slot after it and the chain end together."""
    ruling = missed(LIVE)
    row, slot = ruling.steps
    reason = "the session is unknown to its backend"
    assert row == replace(
        LIVE,
        state=StepState.EXPIRED,
        check_at=None,
        final_status="TIMEOUT",
        reason=reason,
    )
    assert (slot.slot, slot.state) == (SECOND_SLOT.following, StepState.END)
    assert ruling.chain == replace(
        CHAIN, state=ChainState.EXPIRED, ended_at=NOW, reason=reason
    )
    assert told(ruling) == ["session.expired", "chain.expired"]


def test_who_waits_looks_again() -> None:
    """A result may be on its way (rule H5)."""
    row = replace(LIVE, live_at=NOW - 10 * MINUTE)
    again = replace(row, check_at=NOW + CHECK_LIVE)
    assert missed(row) == Ruling(outcome=Missing.WAIT, steps=(again,))


@pytest.mark.parametrize("chain", CLOSED)
def test_a_forgotten_session_of_a_closed_chain_expires_nothing(chain: Chain) -> None:
    """Rule H9: only its row is looked at again."""
    again = replace(LIVE, check_at=NOW + CHECK_LIVE)
    assert missed(LIVE, chain=chain) == Ruling(outcome=Missing.WAIT, steps=(again,))


@pytest.mark.parametrize("chain", [CHAIN, *CLOSED])
def test_a_forgotten_session_that_has_given_its_result_is_done(chain: Chain) -> None:
    """DONE was proved, and the requestor is told so."""
    ruling = missed(COMPLETED, chain=chain)
    reason = "the backend has forgotten the session"
    assert (ruling.outcome, ruling.chain) == (Missing.KEPT, None)
    assert ruling.steps == (replace(FINISHED, reason=reason),)
    assert told(ruling) == ["session.finished"]


def test_a_forgotten_session_the_chain_has_failed_on_is_cancelled() -> None:
    """The app was refused too: nothing of it was VALID in the end (irma.md §7.7)."""
    failed = replace(CHAIN, state=ChainState.FAILED, ended_at=NOW)
    view = a_view(COMPLETED, ENDED, chain=failed)
    ruling = settle_missing(view, SECOND_SLOT, session_lifetime=LIFETIME)
    (row,) = ruling.steps
    assert (ruling.outcome, ruling.chain) == (Missing.CANCELLED, None)
    assert (row.state, row.final_status) == (StepState.CANCELLED, "CANCELLED")
    assert row.check_at is None
    assert told(ruling) == ["session.cancelled"]


@pytest.mark.parametrize("report", [VALID, *BAD], ids=lambda report: report.status)
def test_nothing_is_stored_in_a_chain_whose_secrets_were_deleted(report: Report) -> None:
    """What comes so late is not told to anybody either."""
    purged = replace(CHAIN, state=ChainState.FAILED, ended_at=NOW - MINUTE, purged_at=NOW)
    late = replace(report, stored=True)
    assert settled(COMPLETED, late, chain=purged, after=LATE) == NO_EFFECT


def test_a_forgotten_session_waits_for_the_result_that_is_on_its_way() -> None:
    """The answer brings it to the row; it is looked for less and less often."""
    row = replace(COMPLETED, sealed_result=None, completed_at=NOW - 2 * MINUTE)
    again = replace(row, check_at=NOW + 2 * MINUTE)
    assert missed(row) == Ruling(outcome=Missing.WAIT, steps=(again,))


@pytest.mark.parametrize("chain", CLOSED)
def test_a_forgotten_session_whose_result_will_not_come_is_left_alone(
    chain: Chain,
) -> None:
    """Nothing is taken in for a closed generation: there is nothing to tell (H9)."""
    ruling = missed(replace(COMPLETED, sealed_result=None), chain=chain)
    assert ruling.outcome is Missing.CLOSED
    assert ruling.steps[0].state is StepState.FINISHED


@pytest.mark.parametrize(
    "row", [None, *(row for row in ROWS if row not in (LIVE, COMPLETED))], ids=by_state
)
def test_no_other_row_is_forgotten(row: Step | None) -> None:
    """It was settled since it was looked up."""
    assert missed(row) == Ruling(outcome=Missing.CLOSED)
