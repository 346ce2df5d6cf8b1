"""A subscriber's journal: each event once, and by its number where that is needed."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from orchestrator.proof.events_faults import cut_moments, cut_off, cuts_of, kill_moments
from orchestrator.proof.events_pace import Progress
from orchestrator.proof.events_subscribers import (
    Event,
    Following,
    InOrder,
    Subscriber,
    Way,
)


def event(sequence: int, chain_id: str = "A") -> Event:
    """An event of acme's."""
    return {
        "id": f"{chain_id}-{sequence}",
        "subject": chain_id,
        "type": "chain.started",
        "requestor": "acme",
        "step": 1,
        "sequence": sequence,
    }


def subscriber() -> Subscriber:
    """One of acme's."""
    return Subscriber(way=Way.QUEUE, requestor="acme")


def test_an_event_that_comes_again_is_passed_over_and_counted() -> None:
    """By its id."""
    ours = subscriber()
    for sequence in (1, 2, 1):
        ours.take(json.dumps(event(sequence)))
    assert [one.sequence for one in ours.seen] == [1, 2]
    assert ours.again == 1


def test_an_event_of_an_endpoint_belongs_to_nobody() -> None:
    """It is noted all the same, to be judged as foreign."""
    ours = subscriber()
    ours.note({"id": "e", "subject": "http://x", "type": "endpoint.opened"})
    assert [(one.requestor, one.chain_id) for one in ours.seen] == [("", "http://x")]


def test_what_comes_in_any_order_is_handed_out_by_number() -> None:
    """Chain by chain; what comes again changes nothing."""
    ours = subscriber()
    order = InOrder("acme", ours.note)
    for sequence, chain_id in (
        (2, "A"),
        (1, "B"),
        (3, "A"),
        (2, "A"),
        (1, "A"),
        (1, "A"),
    ):
        order.came(event(sequence, chain_id))
    assert [one.id for one in ours.seen] == ["B-1", "A-1", "A-2", "A-3"]
    assert ours.again == 1


def test_what_waits_for_one_that_never_comes_is_never_seen() -> None:
    """So it is missing, as the one before it."""
    ours = subscriber()
    InOrder("acme", ours.note).came(event(2))
    assert ours.seen == []


def test_an_event_of_somebody_else_is_not_kept_back() -> None:
    """One that came out of its turn would never be judged as foreign."""
    ours = subscriber()
    InOrder("acme", ours.note).came({**event(7), "requestor": "globex"})
    assert [one.requestor for one in ours.seen] == ["globex"]


def test_moments_are_amid_the_load() -> None:
    """In their order, and as many as were said."""
    chance = random.Random(1)
    for chains in (100, 10_000):
        cuts = cut_moments(chance, chains)
        assert len(cuts) == cuts_of(chains)
        assert cuts == sorted(cuts)
        first, second = kill_moments(chance, chains)
        assert 0 < cuts[0] <= cuts[-1] < chains
        assert 0 < first < second < chains


@dataclass
class Cut:
    """A line that is cut at once."""

    progress: Progress

    async def away(self, until: Callable[[], Awaitable[None]]) -> bool:
        """Until then."""
        await until()
        return True


@pytest.mark.parametrize(
    "way, chains_away", [(Way.SSE, 50), (Way.STREAM, 50), (Way.QUEUE, 0)]
)
async def test_who_has_a_place_to_go_on_from_is_away_for_long(
    way: Way, chains_away: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While half of all chains are played, once; all others for some seconds."""
    monkeypatch.setattr("orchestrator.proof.events_faults._AWAY_S", (0.0, 0.0))
    progress, one = Progress(), Subscriber(way=way, requestor="acme")

    async def idle() -> None:
        """Follows nothing."""

    following = Following(subscriber=one, line=Cut(progress), at_work=idle)
    cutting = asyncio.create_task(
        cut_off(following, [10, 40, 90], progress, random.Random(1), 100)
    )
    for _ in range(100):
        await progress.one_more()
        for _ in range(5):  # whoever waits for this moment goes on
            await asyncio.sleep(0)
    await asyncio.wait_for(cutting, 5)
    assert one.cuts == 3
    assert one.chains_away == chains_away
