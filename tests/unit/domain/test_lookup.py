"""What is stored of a step says what became of the session it was handed (H1, H2)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, TypedDict

import pytest

from orchestrator.domain.chain import Chain, Step, StepState
from orchestrator.domain.handover import Detach
from orchestrator.domain.lookup import (
    HANDLER_MAX,
    PURGE_MIN,
    Forwarded,
    Lookup,
    forgotten,
    found_live,
    found_lost,
    found_pointer,
    judge_forwarded,
    lives_until,
    look_again,
    look_soon,
    over,
    report_due,
    tells_of,
)
from orchestrator.domain.ruling import CHECK_AFTER_CALLBACK, CHECK_LIVE, Ruling
from schemas.messages import (
    CallbackWork,
    CancelWork,
    End,
    EndWork,
    IntakeWork,
    NextWork,
    NoteWork,
    StartWork,
    Work,
)
from tests.unit.domain.samples import (
    CHAIN,
    CLOSED,
    COMPLETED,
    END,
    FINISHED,
    FIRST,
    FORWARDED,
    LIVE,
    MINUTE,
    NOW,
    OFFERED,
    ROWS,
    SECOND,
    SECOND_SLOT,
    a_callback,
    a_view,
)

LIFETIME: Final = 15 * MINUTE
TICK: Final = timedelta(microseconds=1)
UNKNOWN: Final = Lookup(status=None)
RUNNING: Final = ("INITIALIZED", "PAIRING", "CONNECTED")


class _Place(TypedDict):
    id: str
    chain_id: str
    step: int
    generation: int


class _Fields(TypedDict):
    requestor: str
    cause: str
    sealed: str


def replace_slot(work: CallbackWork, *, step: int) -> CallbackWork:
    """The same of another step."""
    return work.model_copy(update={"step": step})


def judged(
    lookup: Lookup,
    *,
    after: timedelta,
    again_after: timedelta = timedelta(0),
    lives_for: timedelta = timedelta(0),
) -> Forwarded:
    """What a look-up says so long after the first bridge POST.

    The request was handed over (again) `again_after` it, and its session lives for at
    most `lives_for` after that.
    """
    asked_at = NOW - after
    forwarded_at = asked_at + again_after
    return judge_forwarded(
        lookup,
        now=NOW,
        asked_at=asked_at,
        forwarded_at=forwarded_at,
        lives_until=forwarded_at + lives_for,
    )


@pytest.mark.parametrize("after", [timedelta(0), HANDLER_MAX, PURGE_MIN, 60 * MINUTE])
@pytest.mark.parametrize(
    "lookup,verdict",
    [
        (Lookup(status="DONE", next_token="t"), Forwarded.LIVE),
        (Lookup(status="DONE"), Forwarded.LOST),
        (Lookup(status="CANCELLED"), Forwarded.LOST),
        *((Lookup(status=status), Forwarded.WAIT) for status in RUNNING),
    ],
)
def test_what_is_stored_is_believed_at_once(
    lookup: Lookup, verdict: Forwarded, after: timedelta
) -> None:
    """Rule H1: DONE and CANCELLED never change; one that runs may become either."""
    assert judged(lookup, after=after) is verdict


@pytest.mark.parametrize(
    "after,again_after,verdict",
    [
        (timedelta(0), timedelta(0), Forwarded.WAIT),
        (HANDLER_MAX, timedelta(0), Forwarded.WAIT),
        (HANDLER_MAX + TICK, timedelta(0), Forwarded.LOST),
        (HANDLER_MAX + TICK, 2 * TICK, Forwarded.WAIT),
        (HANDLER_MAX + 2 * MINUTE, 2 * MINUTE, Forwarded.WAIT),
        (HANDLER_MAX + 2 * MINUTE + TICK, 2 * MINUTE, Forwarded.LOST),
    ],
)
@pytest.mark.parametrize("lookup", [Lookup(status="TIMEOUT"), UNKNOWN])
def test_a_handler_may_be_at_work_on_a_copy(
    lookup: Lookup, after: timedelta, again_after: timedelta, verdict: Forwarded
) -> None:
    """Rule H1: TIMEOUT and "unknown" mean something 60 s after the last bridge POST."""
    assert judged(lookup, after=after, again_after=again_after) is verdict


@pytest.mark.trap("T29")
@pytest.mark.parametrize(
    "after,verdict",
    [
        (PURGE_MIN - TICK, Forwarded.LOST),
        (PURGE_MIN, Forwarded.WAIT),
        (31 * MINUTE, Forwarded.WAIT),
        (31 * MINUTE + TICK, Forwarded.LOST),
    ],
)
def test_unknown_may_be_the_work_of_a_purge(after: timedelta, verdict: Forwarded) -> None:
    """Rule H2: then the user may be in the forwarded session for as long as it lives."""
    assert judged(UNKNOWN, after=after, lives_for=30 * MINUTE) is verdict


@pytest.mark.parametrize(
    "since,until,gone",
    [
        (PURGE_MIN - TICK, -60 * MINUTE, True),
        (PURGE_MIN, timedelta(0), False),
        (60 * MINUTE, HANDLER_MAX, False),
        (60 * MINUTE, HANDLER_MAX + TICK, True),
    ],
)
def test_a_session_is_lost_early_or_when_it_is_over(
    since: timedelta,
    until: timedelta,
    gone: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """Within four minutes nothing is purged; a minute after its life nothing lives."""
    assert forgotten(now=NOW, since=NOW - since, lives_until=NOW - until) is gone


@pytest.mark.trap("T28")
@pytest.mark.parametrize(
    "row,until",
    [
        (FORWARDED, NOW - SECOND + 2 * LIFETIME),
        (replace(FORWARDED, session_timeout_s=60), NOW - SECOND + MINUTE + LIFETIME),
        (replace(FORWARDED, live_at=NOW), NOW + 2 * LIFETIME),
        (replace(OFFERED, created_at=NOW), NOW + 2 * LIFETIME),
    ],
)
def test_a_session_lives_for_its_timeout_and_its_lifetime(
    row: Step, until: datetime
) -> None:
    """Scanned at the last moment, it has all its time from then on."""
    assert lives_until(row, LIFETIME) == until


@pytest.mark.parametrize(
    "late,gone",
    [(timedelta(0), False), (HANDLER_MAX, False), (HANDLER_MAX + TICK, True)],
)
def test_a_minute_after_its_life_a_session_is_over(
    late: timedelta,
    gone: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """Rule H2: whoever had its pointer can do nothing with it any more."""
    ends = lives_until(FORWARDED, LIFETIME)
    assert over(FORWARDED, ends + late, LIFETIME) is gone


SECRET: Final[_Fields] = {"requestor": "acme", "cause": "cause", "sealed": "sealed"}
HERE: Final[_Place] = {"id": "id", "chain_id": CHAIN.id, "step": 2, "generation": 0}


@pytest.mark.parametrize(
    "work",
    [
        replace_slot(a_callback(), step=2),
        NextWork(**HERE, **SECRET, endpoint="https://acme.example:443"),
        EndWork(**HERE, **SECRET, end=End.COMPLETED),
        NoteWork(**HERE, **SECRET),
        IntakeWork(**HERE, **SECRET, source="callback"),
    ],
    ids=lambda work: work.kind,
)
def test_a_message_of_the_very_slot_may_hold_its_token(work: Work) -> None:
    """Rule H2: a completion, what it led to, its note, a state; not of another slot."""
    assert tells_of(work, SECOND_SLOT)
    for slot in (FIRST, SECOND_SLOT.following, replace(SECOND_SLOT, generation=1)):
        assert not tells_of(work, slot)


def test_a_start_holds_no_token() -> None:
    """It says that there is no session yet."""
    start = StartWork(**HERE, requestor="acme", cause="cause")
    assert not tells_of(start, SECOND_SLOT)


def test_a_cancellation_holds_a_token_that_is_not_the_rows() -> None:
    """It tells of a session that was given up, not of the one that is looked for."""
    cancel = CancelWork(**HERE, **SECRET, until=NOW)
    assert not tells_of(cancel, SECOND_SLOT)


# ------------------------------------------------------------------------- what follows


def test_a_found_session_is_live_and_told() -> None:
    """Token and state are written, and `session.started` goes out with them."""
    ruling = found_live(
        a_view(FORWARDED), SECOND_SLOT, token_hash="new", sealed_token="sealed"
    )
    assert ruling.outcome
    assert ruling.steps == (
        replace(
            FORWARDED,
            state=StepState.LIVE,
            announced=True,
            live_at=FORWARDED.forwarded_at,
            check_at=NOW + CHECK_LIVE,
            token_hash="new",
            sealed_token="sealed",
        ),
    )
    (event,) = ruling.events
    assert event.id == SECOND_SLOT.event_id("session.started")


def test_a_found_session_may_come_with_its_package() -> None:
    """Where the pointer could be looked up as well."""
    ruling = found_live(
        a_view(FORWARDED),
        SECOND_SLOT,
        token_hash="new",
        sealed_token="sealed",
        sealed_package="package",
    )
    assert ruling.steps[0].sealed_package == "package"


def pointed(row: Step | None, *, chain: Chain = CHAIN, of: str = "token") -> Ruling[bool]:
    """The pointer of a session was looked up."""
    view = a_view(row, chain=chain)
    return found_pointer(view, SECOND_SLOT, token_hash=of, sealed_package="found")


UNPOINTED: Final = replace(LIVE, sealed_package=None)


def test_a_pointer_may_be_found_later() -> None:
    """Nothing else of the row changes."""
    known = replace(UNPOINTED, sealed_package="found")
    assert pointed(UNPOINTED) == Ruling(outcome=True, steps=(known,))


@pytest.mark.parametrize("row", [None, *ROWS])
def test_no_other_row_is_given_a_pointer(row: Step | None) -> None:
    """It has one, or is no live session."""
    assert pointed(row) == Ruling(outcome=False)


def test_a_pointer_of_another_session_is_not_the_rows() -> None:
    """An orphan of the step was proved meanwhile, or the chain was closed (H9)."""
    assert pointed(UNPOINTED, of="other") == Ruling(outcome=False)
    for chain in CLOSED:
        assert pointed(UNPOINTED, chain=chain) == Ruling(outcome=False)


def test_a_lost_session_is_started_on_its_own() -> None:
    """The row is detached, its start due at once (rule H5)."""
    detached = replace(FORWARDED, state=StepState.DETACHED, check_at=NOW, in_flow=False)
    assert found_lost(a_view(FORWARDED), SECOND_SLOT) == Ruling(
        outcome=Detach.DETACHED, steps=(detached,)
    )


@pytest.mark.parametrize("row", [None, *(row for row in ROWS if row is not FORWARDED)])
def test_a_look_up_says_nothing_of_other_rows(row: Step | None) -> None:
    """A result, or another look-up, was faster."""
    view = a_view(row)
    live = found_live(view, SECOND_SLOT, token_hash="new", sealed_token="sealed")
    assert live == Ruling(outcome=False)
    assert found_lost(view, SECOND_SLOT) == Ruling(outcome=Detach.NOT_DETACHED)


@pytest.mark.parametrize("chain", CLOSED)
def test_a_closed_chain_is_not_carried_on(chain: Chain) -> None:
    """Rule H9: nothing is announced or detached any more."""
    view = a_view(FORWARDED, chain=chain)
    live = found_live(view, SECOND_SLOT, token_hash="new", sealed_token="sealed")
    assert live == Ruling(outcome=False)
    assert found_lost(view, SECOND_SLOT) == Ruling(outcome=Detach.NOT_DETACHED)


# ------------------------------------------------------------------------- the next look


@pytest.mark.parametrize(
    "age_s,pause_s",
    [(0, 10), (9, 10), (10, 10), (20, 20), (40, 40), (60, 60), (80, 60), (3_600, 60)],
)
def test_a_forwarded_row_is_looked_at_less_and_less_often(
    age_s: int, pause_s: int
) -> None:
    """Rule H5: after 10 s, then doubling to 60 s."""
    row = replace(FORWARDED, forwarded_at=NOW - age_s * SECOND)
    again = replace(row, check_at=NOW + pause_s * SECOND)
    assert look_again(a_view(row)) == Ruling(outcome=None, steps=(again,))


@pytest.mark.parametrize("row", [LIVE, COMPLETED, replace(FORWARDED, forwarded_at=None)])
def test_a_session_that_runs_is_polled_steadily(row: Step) -> None:
    """Every 20 s, in case its callback never comes."""
    again = replace(row, check_at=NOW + CHECK_LIVE)
    assert look_again(a_view(row)) == Ruling(outcome=None, steps=(again,))


@pytest.mark.parametrize("row", [None, FINISHED, END])
def test_an_ended_row_is_not_looked_at_again(row: Step | None) -> None:
    """Somebody has ended it since the clock took it."""
    assert look_again(a_view(row)) == Ruling(outcome=None)


@pytest.mark.parametrize(
    "row,pause",
    [
        (replace(LIVE, live_at=NOW - SECOND), CHECK_LIVE),
        (replace(LIVE, live_at=NOW - MINUTE), MINUTE),
        (replace(LIVE, live_at=None, created_at=NOW - 2 * MINUTE), 2 * MINUTE),
        (replace(COMPLETED, completed_at=NOW - 60 * MINUTE), 10 * MINUTE),
    ],
)
def test_a_stored_end_is_reported_in_doubling_pauses(row: Step, pause: timedelta) -> None:
    """The message that was told first may only be waiting to be taken."""
    again = replace(row, check_at=NOW + pause)
    assert report_due(a_view(row)) == Ruling(outcome=True, steps=(again,))


@pytest.mark.parametrize("row", [None, FORWARDED, FINISHED, END])
def test_nothing_is_reported_of_other_rows(row: Step | None) -> None:
    """The end has been stored meanwhile."""
    assert report_due(a_view(row)) == Ruling(outcome=False)


@pytest.mark.trap("T10")
def test_a_callback_brings_the_look_up_forward() -> None:
    """The IRMA server calls a moment before it stores."""
    soon = replace(FORWARDED, check_at=NOW + CHECK_AFTER_CALLBACK)
    assert look_soon(a_view(FORWARDED)) == Ruling(outcome=None, steps=(soon,))


def test_a_look_up_without_a_time_gets_one() -> None:
    """Rule H5 once more: nobody is left without."""
    row = replace(FORWARDED, check_at=None)
    soon = replace(FORWARDED, check_at=NOW + CHECK_AFTER_CALLBACK)
    assert look_soon(a_view(row)) == Ruling(outcome=None, steps=(soon,))


@pytest.mark.parametrize(
    "row", [None, OFFERED, LIVE, replace(FORWARDED, check_at=NOW + CHECK_AFTER_CALLBACK)]
)
def test_nothing_else_is_brought_forward(row: Step | None) -> None:
    """Nor is a look-up put off that is due as soon."""
    assert look_soon(a_view(row)) == Ruling(outcome=None)
