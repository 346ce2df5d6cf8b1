"""A chain's story as people read it, whatever is in the texts of others."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import JsonValue
from rich.console import Console

from orchestrator.cli.timeline import details, event_line, timeline
from orchestrator.domain.chain import Chain, ChainState, Slot, Step, StepState
from orchestrator.ports import Message, Waiting
from schemas.events import SOURCE, Event, parse_event
from tests.support.samples import NOW

CALLBACK: dict[str, JsonValue] = {
    "endpoint": "https://shop.example:443",
    "purpose": "next",
    "attempt": 2,
}

SAID: list[tuple[str, dict[str, JsonValue], str]] = [
    ("chain.started", {"backend": "irma"}, "irma"),
    ("chain.completed", {"steps": 2, "durationS": 1.254}, "2 steps in 1.25 s"),
    (
        "chain.failed",
        {"steps": 3, "durationS": 0.5, "reason": "unexpected status 404"},
        "3 steps in 0.50 s, unexpected status 404",
    ),
    (
        "chain.replayed",
        {"again": "session", "ended": "expired", "reason": "timed out"},
        "session again after it expired, timed out",
    ),
    (
        "session.requested",
        {
            "sessionType": "disclosing",
            "backend": "irma",
            "attributes": ["a.b.c.d", "a.b.c.e"],
            "chained": True,
            "inFlow": True,
        },
        "disclosing, in flow, a.b.c.d, a.b.c.e",
    ),
    (
        "session.started",
        {"sessionType": "issuing", "backend": "irma", "inFlow": False},
        "issuing",
    ),
    ("session.connected", {"sessionType": "issuing", "backend": "irma"}, "issuing"),
    (
        "session.completed",
        {"sessionType": "disclosing", "proofStatus": "VALID", "disclosed": ["a.b.c.d"]},
        "disclosing, VALID, a.b.c.d",
    ),
    (
        "session.failed",
        {
            "sessionType": "disclosing",
            "status": "DONE",
            "proofStatus": "INVALID",
            "reason": "why",
        },
        "disclosing, DONE, INVALID, why",
    ),
    (
        "callback.retrying",
        CALLBACK
        | {"clock": "live", "delayMs": 250, "nextAt": NOW.isoformat(), "status": 503},
        "attempt 2, status 503, again in 0.25 s (live), https://shop.example:443",
    ),
    (
        "callback.answered",
        CALLBACK | {"status": 200, "durationMs": 12, "answer": "next"},
        "attempt 2, status 200 after 12 ms, next, https://shop.example:443",
    ),
    (
        "callback.answered",
        CALLBACK | {"answer": "end"},
        "attempt 2, by reply URL, end, https://shop.example:443",
    ),
    (
        "callback.parked",
        CALLBACK | {"kept": "open"},
        "attempt 2, parked: its endpoint fails, https://shop.example:443",
    ),
    (
        "callback.failed",
        CALLBACK | {"reason": "cancelled by an operator"},
        "attempt 2, cancelled by an operator, https://shop.example:443",
    ),
    (
        "callback.failed",
        CALLBACK | {"reason": "given up", "fault": "timeout"},
        "attempt 2, no answer: timeout, given up, https://shop.example:443",
    ),
]


def event(
    event_type: str, data: dict[str, JsonValue], after_ms: int = 0, number: int = 1
) -> Event:
    """An event of the chain, some time after its beginning."""
    fields: dict[str, JsonValue] = {
        "id": f"C1-{number}",
        "source": SOURCE,
        "subject": "C1",
        "time": (NOW + timedelta(milliseconds=after_ms)).isoformat(),
        "chainid": "C1",
        "step": 1,
        "generation": 0,
        "requestor": "acme",
        "sequence": number,
        "type": event_type,
        "data": data,
    }
    return parse_event(json.dumps(fields).encode())


def chain(reason: str | None = None) -> Chain:
    """A chain that failed, if there is a reason."""
    return Chain(
        id="C1",
        requestor="acme",
        backend="irma",
        state=ChainState.FAILED if reason else ChainState.RUNNING,
        generation=0,
        created_at=NOW,
        reason=reason,
    )


def shown(
    *events: Event, reason: str | None = None, waiting: tuple[Waiting, ...] = ()
) -> str:
    """What stands on a wide terminal."""
    step = Step(
        slot=Slot(chain_id="C1", step=1),
        state=StepState.LIVE,
        created_at=NOW,
        check_at=None,
    )
    out = io.StringIO()
    console = Console(file=out, width=200, color_system=None)
    console.print(timeline(chain(reason), [step], events, waiting))
    return out.getvalue()


@pytest.mark.parametrize("event_type,data,said", SAID)
def test_every_event_is_told_in_words(
    event_type: str, data: dict[str, JsonValue], said: str
) -> None:
    """What the open part says, and nothing of how it is written down."""
    told = event(event_type, data)
    assert details(told) == said
    assert said in shown(told)


def test_the_times_say_when_and_how_long() -> None:
    """Since the chain began, and since the event before."""
    text = shown(
        event("chain.started", {"backend": "irma"}, 0, 1),
        event("chain.completed", {"steps": 2, "durationS": 1.5}, 1_500, 2),
    )
    _, _, first, second, rows = text.splitlines()
    assert first.split()[:5] == ["1", "0", "ms", "+0", "ms"]
    assert second.split()[:5] == ["2", "1500", "ms", "+1500", "ms"]
    assert rows == "rows: 1 live"


def a_day_of_a_chain() -> list[Event]:
    """A retry, a parked callback, a later answer, a failure, a replay, an end."""
    happened: list[tuple[int, str, dict[str, JsonValue]]] = [
        (0, "chain.started", {"backend": "irma"}),
        (10, "session.started", STARTED),
        (12_310, "session.completed", COMPLETED),
        (12_400, "callback.retrying", CALLBACK | RETRYING),
        (17_500, "callback.parked", CALLBACK | {"kept": "paused"}),
        (107_600, "callback.answered", CALLBACK | LATER),
        (110_000, "session.finished", {"sessionType": "disclosing", "status": "DONE"}),
        (3_707_600, "chain.expired", {"steps": 1, "durationS": 3_707.6}),
        (90_107_600, "chain.replayed", {"again": "callback", "ended": "expired"}),
    ]
    return [event(kind, data, ms, n) for n, (ms, kind, data) in enumerate(happened, 1)]


STARTED: dict[str, JsonValue] = {
    "sessionType": "disclosing",
    "backend": "irma",
    "inFlow": False,
}
COMPLETED: dict[str, JsonValue] = {
    "sessionType": "disclosing",
    "proofStatus": "VALID",
    "disclosed": [],
}
RETRYING: dict[str, JsonValue] = {
    "clock": "background",
    "delayMs": 5000,
    "nextAt": NOW.isoformat(),
    "status": 503,
}
LATER: dict[str, JsonValue] = {"status": 202, "durationMs": 100, "answer": "later"}


def test_waits_are_told_where_they_end() -> None:
    """How long and what for: the user, an attempt, an endpoint, an answer, a replay."""
    lines = shown(*a_day_of_a_chain()).splitlines()
    told = {line.split()[0]: line.partition("; ")[2].strip() for line in lines[2:11]}
    assert told == {
        "1": "",
        "2": "",
        "3": "waited 12.3 s for the user",
        "4": "",
        "5": "waited 5100 ms for the next attempt",
        "6": "waited 1 min 30 s parked, while its endpoint was paused",
        "7": "",
        "8": "waited 1 h 00 min for the later answer",
        "9": "waited 1 d 00 h for the replay",
    }
    assert lines[-1] == (
        "waited: 12.3 s for the user; 5100 ms for the next attempt;"
        " 1 min 30 s parked, while its endpoint was paused;"
        " 1 h 00 min for the later answer; 1 d 00 h for the replay"
    )


def test_a_notification_goes_on_after_the_end() -> None:
    """What its attempts wait is not over with the chain."""
    notify: dict[str, JsonValue] = CALLBACK | {"purpose": "notify"}
    text = shown(
        event("callback.retrying", notify | RETRYING, 0, 1),
        event("chain.completed", {"steps": 1, "durationS": 1}, 1_000, 2),
        event(
            "callback.answered",
            notify | {"status": 200, "durationMs": 100, "answer": "noted"},
            5_100,
            3,
        ),
    )
    assert text.count("; waited") == 1
    assert "noted, https://shop.example:443; waited 5000 ms for the next" in text


def test_long_times_are_told_in_long_units() -> None:
    """A chain may take days."""
    lines = shown(*a_day_of_a_chain()).splitlines()
    times = [line.partition("  1  ")[0].split(maxsplit=1)[1] for line in lines[3:11]]
    assert [" ".join(time.split()) for time in times] == [
        "10 ms +10 ms",
        "12.3 s +12.3 s",
        "12.4 s +90 ms",
        "17.5 s +5100 ms",
        "1 min 48 s +1 min 30 s",
        "1 min 50 s +2400 ms",
        "1 h 01 min +59 min 58 s",
        "1 d 01 h +1 d 00 h",
    ]


def test_what_follows_a_replay_names_its_generation() -> None:
    """The same steps come again."""
    again = event("session.started", STARTED, 10, 2).model_copy(update={"generation": 1})
    assert "1 g1  session.started" in shown(again)


def test_the_title_says_how_it_stands() -> None:
    """Whose chain it is, its state and why."""
    assert shown().splitlines()[0] == "chain C1 of acme: running"
    assert shown(reason="given up").splitlines()[0] == (
        "chain C1 of acme: failed (given up)"
    )


def test_what_waits_is_shown_with_its_time() -> None:
    """Kind, endpoint and when it is due."""
    row = Waiting(
        id="w1",
        kind="retry",
        due_at=NOW,
        message=Message(id="m1", routing_key="callbacks", body=b"MARKER"),
        endpoint="https://shop.example:443",
        created_at=NOW,
    )
    text = shown(waiting=(row,))
    due = NOW.isoformat(timespec="seconds")
    assert f"waiting: retry at https://shop.example:443, due {due}" in text
    assert "MARKER" not in text
    text = shown(waiting=(replace(row, kind="parked"),))
    assert f"waiting: parked at https://shop.example:443, since {due}" in text


@pytest.mark.parametrize("text", ["[/red]", "[bold]x[/bold]", "a[0][1]", ":smile:"])
def test_markup_of_others_is_plain_text(text: str) -> None:
    """An endpoint's name of an attribute changes neither the page nor ends it."""
    failed = event("chain.failed", {"steps": 1, "durationS": 1, "reason": text})
    assert shown(failed, reason=text).count(text) == 2


@pytest.mark.parametrize("sign", ["\x1b", "\x07", "\r", "\n", "\x9b", "\u202e"])
def test_nothing_steers_the_terminal(sign: str) -> None:
    """Reasons repeat what endpoints wrote; control characters do not come through."""
    failed = event("chain.failed", {"steps": 1, "durationS": 1, "reason": f"a{sign}b"})
    assert details(failed).endswith("a?b")
    assert len(event_line(failed).splitlines()) == 1
    text = shown(failed, reason=f"a{sign}b")
    assert text.count("a?b") == 2
    assert sign == "\n" or sign not in text


def test_an_endpoints_event_is_told_in_words() -> None:
    """It belongs to no chain: who it is, what failed, and when it is tried again."""
    opened = parse_event(
        json.dumps(
            {
                "id": "endpoint-1-endpoint_opened-1",
                "subject": "https://shop.example:443",
                "time": NOW.isoformat(),
                "type": "endpoint.opened",
                "data": {
                    "state": "open",
                    "paused": False,
                    "trips": 1,
                    "attempts": 20,
                    "failures": 16,
                    "probeAt": NOW.isoformat(),
                },
            }
        ).encode()
    )
    at = NOW.isoformat(timespec="milliseconds")
    assert event_line(opened) == (
        f"{at} https://shop.example:443 endpoint.opened 16 of 20 failed,"
        f" tried again at {NOW:%H:%M:%S}"
    )


def test_an_event_is_one_line() -> None:
    """For `tail`: time, chain, step, type and what it says."""
    line = event_line(event("chain.started", {"backend": "irma"}, 250))
    at = (NOW + timedelta(milliseconds=250)).isoformat(timespec="milliseconds")
    assert line == f"{at} C1 1 chain.started irma"
