"""Spans and times in words, and asking before something is lost."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.cli.asking import agreed, from_now, span, time_of
from orchestrator.domain.errors import NotConfigured

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "seconds,words",
    [
        (0, "0 s"),
        (59, "59 s"),
        (61, "1 m 1 s"),
        (3_660, "1 h 1 m"),
        (90_000, "1 d 1 h"),
        (-61, "1 m 1 s"),
    ],
)
def test_a_span_is_told_to_two_units(seconds: int, words: str) -> None:
    """As people say it."""
    assert span(timedelta(seconds=seconds)) == words


def test_a_time_is_told_from_now() -> None:
    """Ahead or past."""
    assert from_now(NOW + timedelta(minutes=2), NOW) == "in 2 m 0 s"
    assert from_now(NOW - timedelta(seconds=3), NOW) == "3 s ago"


@pytest.mark.parametrize(
    "text,seconds",
    [
        ("30s", 30),
        ("10m", 600),
        ("2h", 7_200),
        ("1d", 86_400),
        ("2026-05-01T12:00:05Z", 5),
        ("2026-05-01T14:00:05+02:00", 5),
    ],
)
def test_a_time_is_a_span_or_written_out(text: str, seconds: int) -> None:
    """From now, or with its zone."""
    assert time_of(text, NOW, option="--x") == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "-5s",
        "10",
        "2026-05-01T12:00:00",
        "1w",
        "999999999d",
        "9999-12-31T23:59:59-23:00",
        "0001-01-01T00:00:00+23:00",
    ],
)
def test_anything_else_is_no_time(text: str) -> None:
    """The option is named, with examples."""
    with pytest.raises(NotConfigured, match="--x: it needs a span as 30s"):
        time_of(text, NOW, option="--x")


def test_nobody_is_asked_where_nobody_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script has to say it beforehand."""
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert agreed("really?", yes=True)
    with pytest.raises(NotConfigured, match=r"--yes: needed .* nothing was changed"):
        agreed("really?", yes=False)


@pytest.mark.parametrize("answer", ["y", "n"])
def test_somebody_is_asked(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """On a terminal; the question is no output of the command."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
    assert agreed("really?", yes=False) is (answer == "y")
