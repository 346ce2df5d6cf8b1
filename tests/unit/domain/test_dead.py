"""What is known of a message in `dead`, and what it remembers when it is requeued."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.domain.dead import (
    DeadFilter,
    DeadLetter,
    Death,
    Owner,
    dead_letter,
    is_letter_id,
    remembered,
)

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def buried(message_id: str = "m1", body: bytes = b"{}", **more: str | int) -> DeadLetter:
    """A letter that we have buried at noon."""
    headers: dict[str, str | int] = {
        "first-died-at": (NOON - HOUR).isoformat(),
        "reason": "step: wrong",
        "queue": "sessions",
        "died-at": NOON.isoformat(),
        "deliveries": 3,
        "hop": 1,
    }
    return dead_letter(message_id, body, headers | more, [])


def test_our_burial_says_it_in_headers() -> None:
    """Where from, why, when first and last, how often delivered."""
    letter = buried(requeued=2)
    assert (letter.queue, letter.reason) == ("sessions", "step: wrong")
    assert (letter.first_died_at, letter.died_at) == (NOON - HOUR, NOON)
    assert (letter.deliveries, letter.requeued) == (3, 2)


def test_the_broker_says_it_in_its_own() -> None:
    """The newest entry counts; the oldest tells the first time."""
    deaths = [
        Death(queue="sessions", reason="delivery_limit", count=1, at=NOON),
        Death(queue="callbacks", reason="rejected", count=2, at=NOON - HOUR),
    ]
    letter = dead_letter("m1", b"", {}, deaths)
    assert (letter.queue, letter.reason) == ("sessions", "delivery_limit")
    assert (letter.first_died_at, letter.died_at) == (NOON - HOUR, NOON)
    again = dead_letter("m1", b"", {"first-died-at": "2026-01-01T00:00:00Z"}, deaths)
    assert again.first_died_at == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_letter_that_says_nothing_is_a_letter() -> None:
    """Headers may be anybody's, and of any type."""
    odd: dict[str, str | int] = {
        "queue": 7,
        "reason": 8,
        "died-at": "yesterday",
        "first-died-at": "2026-01-01T00:00:00",
        "deliveries": "many",
        "requeued": "often",
    }
    for headers in ({}, odd):
        letter = dead_letter("", b"", headers, [])
        assert (letter.queue, letter.reason, letter.died_at) == (None, None, None)
        assert (letter.first_died_at, letter.deliveries) == (None, None)
        assert letter.requeued == 0


@pytest.mark.parametrize(
    "time", ["9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+23:00"]
)
@pytest.mark.parametrize("count", [-5, 2**63 - 1])
def test_odd_headers_do_not_keep_a_letter_from_being_requeued(
    time: str, count: int
) -> None:
    """Times that UTC does not have and counts that no header holds say nothing."""
    odd: dict[str, str | int] = {"first-died-at": time, "died-at": time}
    letter = dead_letter("m1", b"", odd | {"requeued": count, "deliveries": count}, [])
    assert (letter.first_died_at, letter.died_at, letter.deliveries) == (None,) * 3
    assert remembered(letter)["requeued"] == 1


def test_ids_tell_letters_apart_and_stay() -> None:
    """By message id and body; a later death of the same message has the same."""
    first = buried()
    assert first.id == "m1~44136fa355b3"
    assert buried(reason="else").id == first.id
    assert len({first.id, buried(body=b"[]").id, buried("m2").id}) == 3


@pytest.mark.parametrize("message_id", ["", "\x1b[31m", "a b", "x" * 201, "a~b", "ü"])
def test_a_foreign_message_id_is_not_repeated(message_id: str) -> None:
    """Nothing that steers a terminal, or would have to be quoted; the hash is left."""
    letter = buried(message_id)
    assert letter.id == "~44136fa355b3"
    assert is_letter_id(letter.id)


@pytest.mark.parametrize(
    "text", ["", "m1", "m1~", "m1~44136fa355b", "m1~44136FA355B3", "m 1~44136fa355b3"]
)
def test_what_is_no_id_is_known(text: str) -> None:
    """Before any letter is looked at."""
    assert not is_letter_id(text)
    assert is_letter_id("01K-0-1-next:work~44136fa355b3")


def test_a_requeued_message_remembers_its_first_death() -> None:
    """And how often it was requeued, but not what was said of one death."""
    first = "2026-05-01T11:00:00.000+00:00"
    assert remembered(buried()) == {"hop": 1, "first-died-at": first, "requeued": 1}
    assert remembered(buried(requeued=1))["requeued"] == 2
    assert remembered(dead_letter("m1", b"", {}, [])) == {"requeued": 1}


def test_a_filter_takes_what_it_says() -> None:
    """The queue exactly, words of the reason in any case."""
    letter, unknown = buried(), dead_letter("m1", b"", {}, [])
    assert DeadFilter().takes(unknown)
    assert DeadFilter(queue="sessions", reason="STEP").takes(letter)
    assert not DeadFilter(queue="session").takes(letter)
    assert not DeadFilter(queue="sessions", reason="other").takes(letter)
    assert not DeadFilter(reason="step").takes(unknown)


def test_a_filter_takes_whose_letters_it_says() -> None:
    """What is nobody's is nobody's."""
    letter = buried()
    acmes = Owner(requestor="acme", chain_id="C1")
    for which in (DeadFilter(requestor="acme"), DeadFilter(chain_ids=frozenset({"C1"}))):
        assert which.takes(letter, acmes)
        assert not which.takes(letter, Owner(requestor="globex", chain_id="C2"))
        assert not which.takes(letter)


def test_a_filter_takes_what_died_in_its_time() -> None:
    """From its beginning until before its end; what does not tell its time is not."""
    letter, unknown = buried(), dead_letter("m1", b"", {}, [])
    at = letter.died_at
    assert at is not None
    second = timedelta(seconds=1)
    assert DeadFilter(since=at, until=at + second).takes(letter)
    assert not DeadFilter(since=at + second).takes(letter)
    assert not DeadFilter(until=at).takes(letter)
    assert not DeadFilter(since=at).takes(unknown)
    assert not DeadFilter(until=at).takes(unknown)


def test_only_a_filter_that_says_nothing_is_open() -> None:
    """Everything may only be meant expressly."""
    assert DeadFilter().is_open
    assert not DeadFilter(chain_ids=frozenset()).is_open
    assert not DeadFilter(queue="sessions").is_open
