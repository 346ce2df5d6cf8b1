"""What may be in a log line, with markers that must never be."""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.errors import BackendRefused, NotConfigured, StoreUnavailable
from orchestrator.sealing import Sealer, new_key, read_key
from orchestrator.telemetry.redaction import (
    DENIED_WORDS,
    HIDDEN,
    exception_fields,
    redacted,
    scrubbed,
)
from schemas.irma import parse_session_result

TOKEN = "Ht5cJ0pWq7ZbXk2mNv8R"
JWT = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0b2tlbiI6Ik1BUktFUiJ9.c2lnbmF0dXJl"
SEALED = Sealer(read_key(new_key()), "k1", bytes(32)).seal(b"MARKER", bound_to="x")
PEM = "-----BEGIN PRIVATE KEY-----\nMARKER\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize("word", sorted(DENIED_WORDS))
def test_denied_words_hide_the_value(word: str) -> None:
    """Under a telling name nothing is shown, whatever the spelling of the name."""
    for key in (word, f"old_{word}", f"next{word.title()}", word.upper()):
        assert redacted({key: "MARKER", "step": 2}) == {key: HIDDEN, "step": 2}


def test_denied_words_hide_inside_of_structures() -> None:
    """A telling name hides its value at any depth, lists and numbers included."""
    line = redacted({"data": {"x": [{"value": 17, "token": ["MARKER"]}]}})
    assert line == {"data": {"x": [{"value": HIDDEN, "token": HIDDEN}]}}


def test_sizes_times_and_absence_are_no_secrets() -> None:
    """How big or how old something is may be told, and that there is none."""
    line = {"body_bytes": 17, "token_s": 1.5, "result": None, "sealed": True}
    assert redacted(line) == line
    assert redacted({"body_bytes": "MARKER"}) == {"body_bytes": HIDDEN}


@pytest.mark.parametrize(
    "key", ["requestor", "key_id", "routing_key", "event_id", "tail"]
)
def test_harmless_keys_are_shown(key: str) -> None:
    """Only whole words count: a requestor is no request."""
    assert redacted({key: "acme"}) == {key: "acme"}


@pytest.mark.parametrize(
    "text,shown",
    [
        ("https://h.example/p/MARKER?x=MARKER#f", "https://h.example"),
        ("to https://h.example:8443/MARKER, then", "to https://h.example:8443 then"),
        ("amqp://user:MARKER@mq.example:5672/vhost", "amqp://mq.example:5672"),
        ("amqp://user:MAR/KER@mq.example/vhost", f"amqp://{HIDDEN}"),
        ("http://[::1]:8080/MARKER", "http://[::1]:8080"),
        ("(http://h.example)", "(http://h.example"),
        ('"http://h.example/MARKER"', '"http://h.example'),
        ("sqlite+aiosqlite:////srv/MARKER.db", "sqlite+aiosqlite://"),
        ("HTTPS://H.example?MARKER", "HTTPS://H.example"),
        ("u=https%3A%2F%2Fh.example%2FMARKER", "u=[url]"),
        (f"GET /session/{TOKEN}/result", "GET /session/[token]/result"),
        (f"x_{TOKEN}.", "x_[token]."),
        (f"jwt {JWT} refused", "jwt [jwt] refused"),
        (JWT.rpartition(".")[0], "[jwt]"),
        (f"/callbacks/{SEALED}/", "/callbacks/[sealed]/"),
        (f"key: {PEM}!", "key: [pem]!"),
        (PEM[:35], "[pem]"),
        ("session.completed.acme", "session.completed.acme"),
        ("01J8ZQ4X7N2M5K9B3C6D1E0F2G-1-0-x", "01J8ZQ4X7N2M5K9B3C6D1E0F2G-1-0-x"),
    ],
)
def test_texts_are_searched_for_secrets(text: str, shown: str) -> None:
    """URLs keep their origin, tokens, JWTs, seals and keys vanish, the rest stays."""
    assert scrubbed(text) == shown


@given(st.text(max_size=60), st.text(alphabet=" ,;()'\"", min_size=1, max_size=2))
def test_paths_never_survive(before: str, after: str) -> None:
    """Whatever stands around a URL, its path is not shown."""
    assert "MARKER" not in scrubbed(f"{before}https://h.example/MARKER{after}")


def test_long_texts_end_before_the_cut_word() -> None:
    """A token that the length limit would cut in two is not shown in half."""
    shown = scrubbed("x " * 995 + TOKEN + " end")
    assert shown.endswith("x …")
    assert len(shown) < 2_000


class _Word(StrEnum):
    SAID = "said"


@pytest.mark.parametrize(
    "value,shown",
    [
        (b"MARKER", "<6 bytes>"),
        (Path("MARKER"), None),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (timedelta(milliseconds=1500), 1.5),
        (_Word.SAID, "said"),
        (ValueError("MARKER"), "ValueError"),
        (OrderedDict(a=1), {"a": 1}),
        ((1, "two"), [1, "two"]),
        (1.5, 1.5),
    ],
)
def test_values_by_type(value: object, shown: object) -> None:
    """Plain values are shown, others are named by their type."""
    expected = f"<{type(value).__name__}>" if shown is None else shown
    assert redacted({"x": value}) == {"x": expected}


def test_models_are_named_not_shown() -> None:
    """A session result that is logged under a harmless name shows nothing."""
    result = parse_session_result(
        f'{{"token":"{TOKEN}","status":"DONE","type":"signing"}}'
    )
    assert redacted({"got": result}) == {"got": "<SessionResult>"}


def test_structures_are_bounded() -> None:
    """Neither depth nor length of what is logged is without limit."""
    deep: list[object] = []
    deep.append(deep)
    shown = redacted({"x": deep, "y": list(range(1000))})
    assert shown["x"] == [[[[["<list>"]]]]]
    assert shown["y"] == list(range(50))


def _raise(error: BaseException, cause: BaseException | None) -> None:
    raise error from cause


def _raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """The same exception as one that was raised and caught."""
    with pytest.raises(type(error)):
        _raise(error, cause)
    return error


def test_foreign_exceptions_lose_their_text() -> None:
    """Of an exception that is not ours the type is told, and nothing it says."""
    fields = exception_fields(_raised(ValueError("MARKER"), KeyError("MARKER")))
    assert fields == {"error": "ValueError", "error_causes": ["KeyError"]}


def test_own_exceptions_keep_their_text() -> None:
    """Ours have texts made for logs; they are searched for secrets all the same."""
    error = StoreUnavailable(f"postgresql://u:MARKER@db.example/x says {TOKEN}")
    fields = exception_fields(_raised(error, ConnectionRefusedError(111, "MARKER")))
    assert fields == {
        "error": "orchestrator.domain.errors.StoreUnavailable",
        "error_text": "postgresql://db.example says [token]",
        "error_causes": ["ConnectionRefusedError ECONNREFUSED"],
    }
    refused = BackendRefused(status=400, error="INVALID_REQUEST", message="MARKER")
    assert exception_fields(refused)["error_text"] == "INVALID_REQUEST (400)"


def test_members_of_a_group_are_named() -> None:
    """What a task group collected is told member by member."""
    group = ExceptionGroup("MARKER", [ValueError("MARKER"), OSError("MARKER")])
    fields = exception_fields(group)
    assert fields == {
        "error": "ExceptionGroup",
        "error_causes": ["ValueError", "OSError"],
    }


def test_frames_are_ours_only() -> None:
    """The way through our code is told as places; tests and libraries are left out."""
    with pytest.raises(NotConfigured) as caught:
        read_key("MARKER")
    frames = exception_fields(caught.value)["error_frames"]
    assert isinstance(frames, list)
    assert [frame.split()[1] for frame in frames] == ["read_key"]
    assert frames[0].startswith("orchestrator.sealing:")
