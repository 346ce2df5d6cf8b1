"""What the bench makes of turns, and that the bare loop says what the worker says."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from orchestrator.proof import bare_loop
from orchestrator.proof.bench import BARE, PRODUCT, UNSIGNED, report
from orchestrator.proof.racing import Turn, alike
from schemas.events import CallbackAnswered, parse_event
from schemas.messages import EndWork, parse_work

LENGTHS = (1_700, 570, 1_650)
WORK: bare_loop.Json = {
    "id": "01J-1-0-session_completed-0",
    "chain_id": "01J",
    "step": 1,
    "generation": 0,
    "requestor": "demo",
    "cause": "01J-1-0-session_completed-0",
    "purpose": "next",
    "endpoint": "http://127.0.0.1:20001",
    "attempt": 1,
    "sealed": "v1.k1.x",
}


def turn(
    hops_per_s: float, cpu_ms: float = 1.0, lengths: tuple[int, int, int] = LENGTHS
) -> Turn:
    """One turn."""
    return Turn(hops_per_s=hops_per_s, cpu_ms=cpu_ms, bytes_each=lengths)


def test_medians_are_compared() -> None:
    """One bad turn of either decides nothing."""
    told = report(
        {
            PRODUCT: [turn(80, 2.0), turn(8), turn(82, 2.0)],
            BARE: [turn(100, 1.5), turn(700), turn(99, 1.5)],
            UNSIGNED: [turn(200), turn(200), turn(200)],
        }
    )
    assert told.held
    assert told.figures["vs_bare_loop"] == 0.8
    assert told.figures["vs_bare_loop_cpu"] == 0.75
    assert [row[:3] for row in told.sheets[0].rows] == [
        (PRODUCT, "80", "80%"),
        (BARE, "100", "100%"),
        (UNSIGNED, "200", "200%"),
    ]


@pytest.mark.parametrize(
    "product,held",
    [(turn(70), True), (turn(69), False), (turn(90, 1.0, (1, 1, 1)), False)],
)
def test_too_few_hops_or_other_bytes_break_the_promise(
    product: Turn,
    held: bool,  # noqa: FBT001 - a parameter of pytest's
) -> None:
    """Seven tenths are promised, of hops that carry as much."""
    turns = {PRODUCT: [product], BARE: [turn(100)], UNSIGNED: [turn(150)]}
    assert report(turns).held is held


def test_lengths_may_differ_by_a_little() -> None:
    """Times are written in more than one way."""
    assert alike((1_000, 570), (1_000, 576), tolerance=0.02)
    assert not alike((1_000, 570), (1_000, 590), tolerance=0.02)


def test_the_bare_loop_publishes_what_the_product_reads() -> None:
    """Its event and its work are those of a callback that ends a chain."""
    event = bare_loop.event_of(WORK, "01J-answered", 204, 12)
    end = bare_loop.end_of(WORK, "01J-end", "01J-answered")
    answered = parse_event(json.dumps(event).encode())
    assert isinstance(answered, CallbackAnswered)
    assert (answered.data.status, answered.data.answer) == (204, "end")
    work = parse_work(json.dumps(end).encode())
    assert isinstance(work, EndWork)
    assert (work.cause, work.sealed) == (answered.id, "v1.k1.x")


def test_the_bare_loop_sends_the_headers_of_a_callback() -> None:
    """As many and as long, so that both POST the same."""
    headers = bare_loop.headers_of(WORK, datetime(2026, 1, 2, tzinfo=UTC))
    assert headers.keys() == {
        "Content-Type",
        "User-Agent",
        "Accept-Encoding",
        "webhook-id",
        "webhook-timestamp",
        "Chain-Id",
        "Chain-Step",
        "Chain-Reply-To",
        "traceparent",
    }
    assert headers["webhook-id"] == WORK["id"]
