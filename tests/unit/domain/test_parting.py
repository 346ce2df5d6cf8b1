"""Which part of the history an event belongs to."""

from __future__ import annotations

from collections import Counter

import pytest
from ulid import ULID

from orchestrator.domain.breaker import fresh
from orchestrator.domain.chain import Slot
from orchestrator.domain.happenings import endpoint_id
from orchestrator.domain.parting import PARTS_MAX, part_of
from tests.support.samples import NOW


def test_a_chains_events_are_all_in_one_part() -> None:
    """Whatever step, generation, kind or ordinal; the same for any number of parts."""
    for chain_id in (str(ULID()) for _ in range(20)):
        slots = [
            Slot(chain_id=chain_id, step=step, generation=generation)
            for step in (1, 2, 17)
            for generation in (0, 3)
        ]
        ids = [
            slot.event_id(kind, ordinal)
            for slot in slots
            for kind, ordinal in (("chain.started", 0), ("callback.retrying", "k3-9"))
        ]
        for parts in (2, 3, PARTS_MAX):
            assert len({part_of(event_id, parts) for event_id in ids}) == 1


def test_chains_are_spread_over_the_parts() -> None:
    """Also those that began in the same millisecond, whose ids begin alike."""
    ids = [
        Slot(chain_id=str(ULID.from_datetime(NOW)), step=1).event_id("chain.started")
        for _ in range(4_000)
    ]
    counts = Counter(part_of(event_id, 4) for event_id in ids)
    assert set(counts) == set(range(4))
    assert min(counts.values()) > 800


def test_events_of_endpoints_are_in_one_part() -> None:
    """They are few, and those of one endpoint stay in order."""
    origins = [fresh(f"https://shop{n}.example:443", NOW).origin for n in range(20)]
    ids = [f"{endpoint_id(origin)}-endpoint_opened-1" for origin in origins]
    assert len({part_of(event_id, 7) for event_id in ids}) == 1


@pytest.mark.parametrize(
    "event_id,parts,part",
    [
        ("01KAQ2M7T0V8W3Z4N5E6R9YXCD-1-0-chain_started-0", 1, 0),
        ("01KAQ2M7T0V8W3Z4N5E6R9YXCD-1-0-chain_started-0", 2, 0),
        ("01KAQ2M7T0V8W3Z4N5E6R9YXCD-1-0-chain_started-0", 5, 0),
        ("01KAQ2M7T0V8W3Z4N5E6R9YXCE-1-0-chain_started-0", 5, 1),
        ("", 4, 0),
        ("\ud800", 4, 0),
    ],
)
def test_every_process_comes_to_the_same(event_id: str, parts: int, part: int) -> None:
    """Now and in years, and for ids that are none of ours."""
    assert part_of(event_id, parts) == part
