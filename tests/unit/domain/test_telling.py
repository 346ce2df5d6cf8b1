"""Which events somebody wants to be told of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.errors import NotConfigured
from orchestrator.domain.telling import CHAIN_TYPES, Wanted, matches, read_type_pattern
from schemas.contract import EVENT_TYPES


@pytest.mark.parametrize(
    "text,taken",
    [
        (None, set(CHAIN_TYPES)),
        ("*", set(CHAIN_TYPES)),
        ("*.*", set(CHAIN_TYPES)),
        ("chain.failed", {"chain.failed"}),
        ("*.failed", {"chain.failed", "session.failed", "callback.failed"}),
        ("chain.failed, callback.parked", {"chain.failed", "callback.parked"}),
    ],
)
def test_patterns_stand_for_types(text: str | None, taken: set[str]) -> None:
    """Without any, all are wanted."""
    wanted = Wanted.read(text)
    assert {name for name in CHAIN_TYPES if wanted.takes(name)} == taken


@pytest.mark.parametrize(
    "text",
    ["", "session", "session.", "session.#", "#", "Session.*", "a.b", "a.b.c", ","],
)
def test_what_stands_for_nothing_is_refused(text: str) -> None:
    """Who misspells one would wait for ever."""
    with pytest.raises(NotConfigured, match="event type"):
        Wanted.read(text)


def test_types_of_endpoints_are_for_operators() -> None:
    """No requestor is told of them."""
    with pytest.raises(NotConfigured, match="no event type endpoint"):
        read_type_pattern("endpoint.opened")
    assert read_type_pattern("endpoint.opened", EVENT_TYPES) == "endpoint.opened"


@given(st.sampled_from(CHAIN_TYPES), st.sampled_from(CHAIN_TYPES))
def test_a_star_stands_for_one_part(one: str, other: str) -> None:
    """Of the group or of what happened."""
    group, _, name = one.partition(".")
    assert matches(f"{group}.*", other) is other.startswith(f"{group}.")
    assert matches(f"*.{name}", other) is other.endswith(f".{name}")
    assert matches(one, other) is (one == other)
