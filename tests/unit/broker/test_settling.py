"""What a dead message is told, and what a fresh copy carries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from orchestrator.broker.settling import (
    REASON_CHARS_MAX,
    dead_message,
    delivery_of,
    own_headers,
)
from orchestrator.ports import Delivery, Message
from tests.unit.broker.delivered import delivered

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_a_delivery_is_bytes_and_what_the_sender_said() -> None:
    """No decoding by content type; a missing id is empty, not made up."""
    message = delivered(
        b'{"a": 1}', message_id=None, content_type="application/json", headers={"a": 1}
    )

    assert delivery_of(message) == Delivery(
        body=b'{"a": 1}', message_id="", headers={"a": 1}, redelivered=False
    )


def test_a_dead_message_is_the_same_message_with_its_story() -> None:
    """Body, id and content type stay; reason, queue and times are added."""
    message = delivered(
        b"\x00", correlation_id="c1", content_type="text/plain", headers={"hop": 1}
    )

    assert dead_message(message, queue="sessions", reason="no JSON", now=NOON) == Message(
        id="m1",
        routing_key="dead",
        body=b"\x00",
        content_type="text/plain",
        correlation_id="c1",
        headers={
            "hop": 1,
            "reason": "no JSON",
            "queue": "sessions",
            "first-died-at": "2026-05-01T12:00:00.000+00:00",
            "died-at": "2026-05-01T12:00:00.000+00:00",
            "deliveries": 1,
        },
    )


def test_who_dies_again_keeps_the_time_of_the_first_death() -> None:
    """Requeued and dead once more: the first time, the last reason."""
    first = dead_message(delivered(b""), queue="sessions", reason="a", now=NOON)
    later = (NOON + timedelta(hours=1)).astimezone(timezone(timedelta(hours=2)))

    again = dead_message(
        delivered(b"", headers=dict(first.headers)),
        queue="callbacks",
        reason="b",
        now=later,
    )

    assert again.headers == {
        "first-died-at": "2026-05-01T12:00:00.000+00:00",
        "died-at": "2026-05-01T13:00:00.000+00:00",
        "reason": "b",
        "queue": "callbacks",
        "deliveries": 1,
    }


def test_the_brokers_count_of_deliveries_is_kept() -> None:
    """It counts those that came back; this one is one more."""
    message = delivered(b"", headers={"x-delivery-count": 3})
    dead = dead_message(message, queue="sessions", reason="a", now=NOON)

    assert dead.headers["deliveries"] == 4


def test_a_reason_is_bounded() -> None:
    """A long explanation of a long body does not travel whole."""
    dead = dead_message(delivered(b""), queue="sessions", reason="x" * 9999, now=NOON)

    assert dead.headers["reason"] == "x" * REASON_CHARS_MAX


def test_the_brokers_headers_and_what_is_no_plain_value_stay_behind() -> None:
    """An old `x-death` would make the broker drop the copy as a cycle."""
    headers = {
        "traceparent": "00-1",
        "attempt": 2,
        "x-death": [{"count": 1}],
        "x-delivery-count": 3,
        "X-First-Death-Queue": "sessions",
        "table": {"a": 1},
        "nothing": None,
    }

    assert own_headers(headers) == {"traceparent": "00-1", "attempt": 2}
