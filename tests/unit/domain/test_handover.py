"""The hand-over of a claimed slot: who may move its row, and when."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import pytest

from orchestrator.domain.chain import Chain, ChainState, Step, StepState, View
from orchestrator.domain.handover import (
    Detach,
    Due,
    Forward,
    Lease,
    WentLive,
    detach,
    due_start,
    forward,
    lease_start,
    start_later,
    start_refused,
    went_live,
)
from orchestrator.domain.ruling import CHECK_FORWARDED, CHECK_LIVE, START_LEASE, Ruling
from tests.unit.domain.samples import (
    CHAIN,
    CLOSED,
    COMPLETED,
    DETACHED,
    FIRST,
    FORWARDED,
    LIVE,
    MINUTE,
    NOW,
    OFFERED,
    ROWS,
    SECOND,
    SECOND_SLOT,
    STARTING,
    a_view,
)

DAY: Final = timedelta(days=1)
STARTED: Final = SECOND_SLOT.event_id("session.started")


def all_but(*rows: Step) -> pytest.MarkDecorator:
    """Every other row there can be, and none at all."""
    others = [row for row in ROWS if row not in rows]
    return pytest.mark.parametrize(
        "row", [None, *others], ids=lambda row: row.state if row else "none"
    )


def asked(
    row: Step | None,
    *,
    chain: Chain = CHAIN,
    claimed_by: str | None = "t1",
    by: str = "t1",
) -> Ruling[Forward]:
    """The gateway of a session of the first step wants to hand this row over."""
    first = replace(COMPLETED, slot=FIRST, token_hash=claimed_by)
    view = View(chain=chain, step=first, following=row, now=NOW)
    return forward(view, FIRST, token_hash=by)


def lived(
    row: Step | None, *, chain: Chain = CHAIN, owner: str = "w1"
) -> Ruling[WentLive]:
    """A worker has started the session `new`."""
    return went_live(
        a_view(row, chain=chain),
        SECOND_SLOT,
        owner=owner,
        token_hash="new",
        sealed_token="sealed",
        sealed_package="package",
    )


# ------------------------------------------------------------------------- in flow or not


def test_an_offer_is_forwarded_before_its_deadline() -> None:
    """Then, and only then, the gateway answers 200."""
    forwarded = replace(
        OFFERED,
        state=StepState.FORWARDED,
        forwarded_at=NOW,
        check_at=NOW + CHECK_FORWARDED,
    )
    assert asked(OFFERED) == Ruling(outcome=Forward.FORWARDED, steps=(forwarded,))


def test_what_was_forwarded_is_forwarded_again() -> None:
    """A repeated POST gets the same answer; the session may begin only now (H1, H2)."""
    assert asked(FORWARDED) == Ruling(
        outcome=Forward.FORWARDED, steps=(replace(FORWARDED, forwarded_at=NOW),)
    )


@pytest.mark.parametrize("row", [OFFERED, FORWARDED])
@pytest.mark.parametrize("claimed_by", ["t2", None])
def test_an_offer_is_one_sessions_only(row: Step, claimed_by: str | None) -> None:
    """Of two sessions of a step the one that claimed it: else both would go on (G2)."""
    assert asked(row, claimed_by=claimed_by) == Ruling(outcome=Forward.ANOTHERS)


def test_a_step_that_never_was_is_handed_nothing() -> None:
    """Without its row nobody knows whose offer it is."""
    view = View(chain=CHAIN, step=None, following=OFFERED, now=NOW)
    assert forward(view, FIRST, token_hash="t1") == Ruling(outcome=Forward.NOT_FORWARDED)


@pytest.mark.parametrize("deadline", [None, NOW, NOW - SECOND])
def test_a_late_gateway_forwards_nothing(deadline: datetime | None) -> None:
    """A gateway that was frozen answers 204: the row may have been detached."""
    late = replace(OFFERED, deadline=deadline)
    assert asked(late) == Ruling(outcome=Forward.NOT_FORWARDED)


@all_but(OFFERED, FORWARDED)
def test_nothing_else_is_forwarded(row: Step | None) -> None:
    """Whoever came first has decided."""
    assert asked(row) == Ruling(outcome=Forward.NOT_FORWARDED)


def test_an_offer_nobody_waits_for_is_detached() -> None:
    """Its start is due at once (rule H5)."""
    detached = replace(OFFERED, state=StepState.DETACHED, check_at=NOW, in_flow=False)
    assert detach(a_view(OFFERED), SECOND_SLOT) == Ruling(
        outcome=Detach.DETACHED, steps=(detached,)
    )


@all_but(OFFERED)
def test_nothing_else_is_detached(row: Step | None) -> None:
    """A forwarded session may be running: only a look-up says that it is not."""
    assert detach(a_view(row), SECOND_SLOT) == Ruling(outcome=Detach.NOT_DETACHED)


# ------------------------------------------------------------------------------ starting


@pytest.mark.parametrize(
    "age,pause",
    [
        (timedelta(0), 5 * SECOND),
        (5 * SECOND, 5 * SECOND),
        (MINUTE, MINUTE),
        (DAY, 10 * MINUTE),
    ],
)
@pytest.mark.parametrize("state", [StepState.DETACHED, StepState.STARTING])
def test_a_start_is_due_in_doubling_pauses(
    age: timedelta, pause: timedelta, state: StepState
) -> None:
    """From five seconds to ten minutes, for as long as the chain may live."""
    row = replace(STARTING, state=state, created_at=NOW - age)
    ruling = due_start(a_view(row), SECOND_SLOT, wall_time=7 * DAY)
    again = replace(row, check_at=NOW + pause)
    assert ruling == Ruling(outcome=Due.START, steps=(again,))


def test_a_chain_that_cannot_be_carried_on_expires() -> None:
    """Not before its time is over, and not later."""
    age = NOW - CHAIN.created_at
    in_time = due_start(a_view(DETACHED), SECOND_SLOT, wall_time=age)
    assert in_time.outcome is Due.START

    ruling = due_start(a_view(DETACHED), SECOND_SLOT, wall_time=age - SECOND)
    row, end = ruling.steps
    assert ruling.outcome is Due.EXPIRED
    assert (row.state, row.check_at) == (StepState.EXPIRED, None)
    assert (end.slot, end.state) == (SECOND_SLOT.following, StepState.END)
    assert ruling.chain is not None
    assert ruling.chain.state is ChainState.EXPIRED
    assert [event.type for event in ruling.events] == ["session.expired", "chain.expired"]
    reason = "the session could not be started within the life of the chain"
    assert (row.reason, end.reason, ruling.chain.reason) == (reason, reason, reason)


@all_but(DETACHED, STARTING)
def test_no_other_start_is_due(row: Step | None) -> None:
    """Somebody has moved the row since the clock took it."""
    ruling = due_start(a_view(row), SECOND_SLOT, wall_time=DAY)
    assert ruling == Ruling(outcome=Due.NOTHING)


@pytest.mark.parametrize(
    "row",
    [
        DETACHED,
        replace(STARTING, lease_until=NOW),
        replace(STARTING, lease_owner="w2", lease_until=NOW),
    ],
)
def test_a_start_is_leased(row: Step) -> None:
    """When nobody starts it, or whoever did has lost its lease."""
    until = NOW + START_LEASE
    leased = replace(
        row,
        state=StepState.STARTING,
        lease_owner="w1",
        lease_until=until,
        check_at=until,
    )
    assert lease_start(a_view(row), SECOND_SLOT, owner="w1") == Ruling(
        outcome=Lease.MINE, steps=(leased,)
    )


@pytest.mark.parametrize("owner", ["w1", "w2"])
def test_a_lease_keeps_everybody_else_away(owner: str) -> None:
    """Also the owner itself, to whom the message may have come twice."""
    ruling = lease_start(a_view(STARTING), SECOND_SLOT, owner=owner)
    assert ruling == Ruling(outcome=Lease.NOT_MINE)


def test_a_live_session_is_announced_again() -> None:
    """Rule H7: under the same event id, and nothing is started."""
    ruling = lease_start(a_view(LIVE), SECOND_SLOT, owner="w1")
    assert (ruling.outcome, ruling.steps) == (Lease.LIVE, ())
    assert [event.id for event in ruling.events] == [STARTED]


@all_but(DETACHED, STARTING, LIVE)
def test_nothing_else_is_started(row: Step | None) -> None:
    """A start message may come late, or twice."""
    ruling = lease_start(a_view(row), SECOND_SLOT, owner="w1")
    assert ruling == Ruling(outcome=Lease.NOT_MINE)


def test_a_started_session_goes_live() -> None:
    """The pointer is written and `session.started` goes out with that."""
    ruling = lived(STARTING)
    assert ruling.outcome is WentLive.LIVE
    assert ruling.steps == (
        replace(
            STARTING,
            state=StepState.LIVE,
            announced=True,
            live_at=NOW,
            check_at=NOW + CHECK_LIVE,
            lease_owner=None,
            lease_until=None,
            token_hash="new",
            sealed_token="sealed",
            sealed_package="package",
        ),
    )
    assert [event.id for event in ruling.events] == [STARTED]


def test_a_lease_that_is_over_still_counts_until_somebody_else_has_it() -> None:
    """Nothing has happened to the row meanwhile."""
    over = replace(STARTING, lease_until=NOW - MINUTE)
    assert lived(over).outcome is WentLive.LIVE


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.state)
def test_a_worker_that_is_unsure_finds_its_own_session(row: Step) -> None:
    """Rule H8: what the row points to is never cancelled, whatever became of it."""
    ruling = lived(replace(row, token_hash="new"), owner="w2")
    assert (ruling.outcome, ruling.steps) == (WentLive.LIVE, ())
    assert [event.id for event in ruling.events] == [STARTED]


@all_but(STARTING)
def test_a_session_that_nobody_needs_is_superseded(row: Step | None) -> None:
    """The step has a session already, or none is wanted: the new one is cancelled."""
    assert lived(row) == Ruling(outcome=WentLive.SUPERSEDED)


def test_a_lost_lease_loses_its_session() -> None:
    """Somebody else is starting one: at most one is announced (G2)."""
    assert lived(STARTING, owner="w2") == Ruling(outcome=WentLive.SUPERSEDED)


# --------------------------------------------------------------------- failing to start


@pytest.mark.parametrize("age,pause", [(SECOND, 5 * SECOND), (MINUTE, MINUTE)])
def test_a_start_is_put_off_while_the_backend_is_away(
    age: timedelta, pause: timedelta
) -> None:
    """The lease is given back; the clock tries again, less and less often."""
    row = replace(STARTING, created_at=NOW - age)
    waiting = replace(
        row,
        state=StepState.DETACHED,
        check_at=NOW + pause,
        lease_owner=None,
        lease_until=None,
    )
    assert start_later(a_view(row), owner="w1") == Ruling(outcome=None, steps=(waiting,))


def test_a_refused_start_fails_the_chain() -> None:
    """A backend that refuses a request refuses it the next time too."""
    ruling = start_refused(a_view(STARTING), SECOND_SLOT, owner="w1", reason="refused")
    row, end = ruling.steps
    assert ruling.outcome
    assert row == replace(
        STARTING, state=StepState.FAILED, check_at=None, reason="refused"
    )
    assert (end.slot, end.state) == (SECOND_SLOT.following, StepState.END)
    assert ruling.chain == replace(
        CHAIN, state=ChainState.FAILED, ended_at=NOW, reason="refused"
    )
    failed, over = ruling.events
    assert (failed.type, over.type) == ("session.failed", "chain.failed")
    assert failed.causationid == SECOND_SLOT.event_id("session.requested")
    assert over.causationid == failed.id


@all_but(STARTING)
def test_only_a_start_is_put_off_or_fails(row: Step | None) -> None:
    """Somebody else has the row by now."""
    view = a_view(row)
    assert start_later(view, owner="w1") == Ruling(outcome=None)
    refused = start_refused(view, SECOND_SLOT, owner="w1", reason="refused")
    assert refused == Ruling(outcome=False)


def test_only_the_owner_of_the_lease_puts_off_or_fails() -> None:
    """Whoever was slow has no say."""
    view = a_view(STARTING)
    assert start_later(view, owner="w2") == Ruling(outcome=None)
    refused = start_refused(view, SECOND_SLOT, owner="w2", reason="refused")
    assert refused == Ruling(outcome=False)


@pytest.mark.parametrize("chain", CLOSED)
def test_nothing_moves_in_a_closed_chain(chain: Chain) -> None:
    """Rule H9: the chain has ended, or a replay has closed the generation."""
    slot = SECOND_SLOT
    starting = a_view(STARTING, chain=chain)
    detached = a_view(DETACHED, chain=chain)
    offered = a_view(OFFERED, chain=chain)
    for row in (OFFERED, FORWARDED):
        assert asked(row, chain=chain) == Ruling(outcome=Forward.NOT_FORWARDED)
    assert detach(offered, slot) == Ruling(outcome=Detach.NOT_DETACHED)
    assert due_start(detached, slot, wall_time=DAY) == Ruling(outcome=Due.NOTHING)
    assert lease_start(detached, slot, owner="w1") == Ruling(outcome=Lease.NOT_MINE)
    assert lived(STARTING, chain=chain) == Ruling(outcome=WentLive.SUPERSEDED)
    assert start_later(starting, owner="w1") == Ruling(outcome=None)
    refused = start_refused(starting, slot, owner="w1", reason="refused")
    assert refused == Ruling(outcome=False)
