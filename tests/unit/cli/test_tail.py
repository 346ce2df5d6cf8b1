"""`chainctl tail`: which events are shown, and how."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest

from orchestrator.cli.tail import Chosen, choice, line
from orchestrator.domain.errors import NotConfigured
from orchestrator.ports import utc_now
from schemas.contract import EVENT_TYPES, example
from schemas.events import dump_event

COMPLETED = dump_event(example("session.completed"))
FIELDS = json.loads(COMPLETED)


def chosen(
    *,
    pattern: str | None = None,
    requestor: str | None = None,
    types: Sequence[str] = (),
    chain: str | None = None,
    since: str | None = None,
) -> Chosen:
    """What these options say."""
    return choice(
        pattern=pattern, requestor=requestor, types=types, chain=chain, since=since
    )


def test_without_options_all_events_are_shown() -> None:
    """Those of endpoints as well."""
    assert chosen().routing_keys == "#"
    assert all(chosen().takes(dump_event(example(name))) for name in EVENT_TYPES)


@pytest.mark.parametrize(
    "options,takes",
    [
        ({"requestor": FIELDS["requestor"]}, True),
        ({"requestor": "somebody-else"}, False),
        ({"chain": FIELDS["chainid"]}, True),
        ({"chain": "C404"}, False),
        ({"types": ["session.*"]}, True),
        ({"types": ["chain.*,*.completed"]}, True),
        ({"types": ["chain.*", "endpoint.*"]}, False),
        ({"since": "2000-01-01T00:00:00Z"}, True),
        ({"since": "2999-01-01T00:00:00Z"}, False),
    ],
)
def test_what_is_chosen_is_shown(options: Mapping[str, str], takes: bool) -> None:  # noqa: FBT001 - a table
    """By requestor, chain, type and time."""
    assert chosen(**options).takes(COMPLETED) is takes


@pytest.mark.parametrize("option", ["pattern", "requestor"])
def test_what_no_routing_key_has_room_for_is_refused(option: str) -> None:
    """In words, before the broker's library cannot write it."""
    with pytest.raises(NotConfigured, match=f"--{option}: more than 251 bytes"):
        chosen(**{option: "é" * 126})


def test_the_broker_leaves_out_other_requestors() -> None:
    """What is not wanted is not sent; a pattern says it all itself."""
    assert chosen(requestor="acme").routing_keys == "*.*.acme"
    assert chosen(pattern="session.*.acme").routing_keys == "session.*.acme"


def test_a_span_is_in_the_past() -> None:
    """`--from 10m` is ten minutes ago."""
    since = chosen(since="10m").since
    assert since is not None
    assert timedelta(minutes=9) < utc_now() - since < timedelta(minutes=11)


@pytest.mark.parametrize(
    "options,why",
    [
        ({"pattern": "#", "requestor": "acme"}, "--pattern: it cannot be given with"),
        ({"pattern": "#", "since": "1h"}, "--pattern: it cannot be given with"),
        ({"types": ["session.begun"]}, "--type: there is no event type session.begun"),
        ({"since": "yesterday"}, "--from: it needs a span"),
    ],
)
def test_options_that_say_nothing_are_refused(
    options: Mapping[str, str], why: str
) -> None:
    """Before anything is connected."""
    with pytest.raises(NotConfigured, match=why):
        chosen(**options)


def test_an_event_is_one_line() -> None:
    """When, where, what, and what it says in words."""
    assert line(COMPLETED).startswith(f"{FIELDS['time'].replace('Z', '+00:00')[:19]}")
    assert f" {FIELDS['chainid']} {FIELDS['step']} session.completed " in line(COMPLETED)


def test_an_event_of_a_newer_program_is_shown_by_its_envelope() -> None:
    """A type that is not known here is no fault."""
    newer = json.dumps({**FIELDS, "type": "session.paused\x1b"}).encode()
    assert line(newer) == f"{FIELDS['time']} {FIELDS['chainid']} session.paused?"
