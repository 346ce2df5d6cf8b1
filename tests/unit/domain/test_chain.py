"""The words of a chain: slots and the ids made of them, states, budget."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from orchestrator.domain.chain import (
    DEFAULT_STEPS_MAX,
    DEFAULT_WALL_TIME,
    ChainState,
    Ending,
    Slot,
    StepState,
    ended,
    over_budget,
    timeout_of,
)
from schemas.events import ChainStarted, Event
from schemas.irma import JsonObject, session_request_from
from schemas.messages import End
from tests.unit.domain.samples import CANCELLED, CHAIN, FIRST, NOW, REPLAYED, SECOND_SLOT

#: Every event type there is.
TYPES: Final = sorted(
    event_type
    for event in get_args(Event)
    for event_type in get_args(event.model_fields["type"].annotation)
)

SLOTS: Final = st.builds(
    Slot,
    chain_id=st.sampled_from(["01A", "01B"]),
    step=st.integers(1, 120),
    generation=st.integers(0, 120),
)
ORDINALS: Final = st.one_of(
    st.integers(0, 12), st.text("abcdef0123456789", min_size=1, max_size=12)
)
HAPPENINGS: Final = st.tuples(SLOTS, st.sampled_from(TYPES), ORDINALS)


def test_the_slot_after_a_step_is_of_the_same_generation() -> None:
    """What follows step 1 of the third generation is its step 2."""
    slot = Slot(chain_id="01A", step=1, generation=2)
    assert slot.following == Slot(chain_id="01A", step=2, generation=2)


def test_slots_sort_by_step() -> None:
    """The newest slot of a generation is its greatest."""
    assert max(SECOND_SLOT, FIRST) is SECOND_SLOT


@pytest.mark.parametrize("event_type", TYPES)
def test_ids_of_events_are_what_happened_without_dots(event_type: str) -> None:
    """Standard Webhooks forbids dots in ids; everything else can be read off."""
    kind = event_type.replace(".", "_")
    assert FIRST.event_id(event_type) == f"01HANDOVER-1-0-{kind}-0"
    assert FIRST.event_id(event_type, "cafe") == f"01HANDOVER-1-0-{kind}-cafe"


@given(HAPPENINGS, HAPPENINGS)
def test_two_happenings_have_one_id_only_if_they_are_the_same(
    one: tuple[Slot, str, str | int], other: tuple[Slot, str, str | int]
) -> None:
    """Chain, step, generation, type and ordinal tell every event from every other."""
    ids = [slot.event_id(kind, ordinal) for slot, kind, ordinal in (one, other)]
    same = (*one[:2], str(one[2])) == (*other[:2], str(other[2]))
    assert (ids[0] == ids[1]) == same


def test_the_contract_takes_every_id() -> None:
    """Even the longest id of an event, that of a callback's attempt, fits the schema."""
    slot = Slot(chain_id="0" * 26, step=10**6, generation=10**6)
    work = slot.event_id("session.completed", "f" * 64)
    taken = TypeAdapter(ChainStarted.model_fields["id"].rebuild_annotation())
    longest = f"{work}-callback_answered-{10**6}"
    assert taken.validate_python(longest) == longest


@given(SLOTS, SLOTS, st.sampled_from(["token", "result"]))
def test_a_seal_is_bound_to_one_column_of_one_row(
    one: Slot, other: Slot, field: str
) -> None:
    """No two columns of any two rows have the same name for the seal."""
    assert (one.sealed_as(field) == other.sealed_as(field)) == (one == other)
    assert one.sealed_as(field) != one.sealed_as("request")


@pytest.mark.parametrize("state", StepState)
def test_nobody_looks_at_rows_that_are_ended(state: StepState) -> None:
    """A session's four ends and the chain's; `completed` still waits for DONE."""
    names = {"finished", "cancelled", "expired", "failed", "end"}
    assert state.ended == (state.value in names)


def test_a_chain_takes_changes_while_it_runs_in_their_generation() -> None:
    """Rule H9: an ended chain and a closed generation take nothing."""
    assert CHAIN.takes(FIRST)
    assert REPLAYED.takes(replace(FIRST, generation=1))
    assert not REPLAYED.takes(FIRST)
    assert not CHAIN.takes(replace(FIRST, generation=1))
    assert not CANCELLED.takes(FIRST)


@pytest.mark.parametrize("end", End)
def test_a_chain_ends_with_its_reason(end: End) -> None:
    """Each end is a state of the chain, with the time and the reason of it."""
    ending = Ending(end=end, cause="cause", reason="why")
    over = replace(CHAIN, state=ChainState(end.value), ended_at=NOW, reason="why")
    assert ended(CHAIN, ending, NOW) == over


@pytest.mark.parametrize(
    "steps,age,refusal",
    [
        (1, timedelta(0), None),
        (DEFAULT_STEPS_MAX, DEFAULT_WALL_TIME, None),
        (DEFAULT_STEPS_MAX + 1, timedelta(0), "the chain is longer than 20 steps"),
        (1, DEFAULT_WALL_TIME + timedelta(microseconds=1), "is older than 604800 s"),
    ],
)
def test_a_chain_has_a_budget(steps: int, age: timedelta, refusal: str | None) -> None:
    """It may have 20 steps and live for 7 days, to the microsecond (G8)."""
    found = over_budget(
        CHAIN,
        steps,
        CHAIN.created_at + age,
        steps_max=DEFAULT_STEPS_MAX,
        wall_time=DEFAULT_WALL_TIME,
    )
    assert found is None if refusal is None else refusal in (found or "")


@pytest.mark.parametrize(
    "asked_s,waits_s",
    [(None, 0), (0, 0), (-1, 0), (60, 60), (604_800, 604_800), (2**63 - 1, 604_800)],
)
def test_no_session_waits_longer_than_a_chain_lives(
    asked_s: int | None, waits_s: int
) -> None:
    """Whatever number an IRMA server would take, time is reckoned with ours."""
    fields: JsonObject = {
        "request": {
            "@context": "https://irma.app/ld/request/disclosure/v2",
            "disclose": [[["irma-demo.RU.studentCard.studentID"]]],
        }
    }
    if asked_s is not None:
        fields["timeout"] = asked_s
    assert timeout_of(session_request_from(fields)) == waits_s
