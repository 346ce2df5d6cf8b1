"""The examples that keep their place: where they begin, and when they are done."""

from __future__ import annotations

import importlib.util
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

import aiohttp
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import ModuleType

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def example(name: str) -> ModuleType:
    """The example as a module; its program does not run."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --------------------------------------------------------------- the stream KEY.log


@pytest.mark.parametrize(
    "text, begin",
    [
        ("first", "first"),
        ("next", "next"),
        ("4711", 4711),
        ("2026-11-23T09:00Z", datetime(2026, 11, 23, 9, tzinfo=UTC)),
        ("2026-11-23T09:00+01:00", datetime(2026, 11, 23, 8, tzinfo=UTC)),
    ],
)
def test_a_stream_is_read_from_what_is_said(
    text: str, begin: object, tmp_path: Path
) -> None:
    """A word, an offset or a time."""
    assert example("read_stream").position(text, tmp_path / "acme.offset") == begin


@pytest.mark.parametrize("text", ["2026-11-23T09:00", "2026-11-23"])
def test_a_time_without_a_zone_is_that_of_the_machine(text: str, tmp_path: Path) -> None:
    """It can be compared with the times of events, which have one."""
    begin = example("read_stream").position(text, tmp_path / "acme.offset")
    assert begin == datetime.fromisoformat(text).astimezone()
    assert begin.tzinfo is not None


@pytest.mark.parametrize(
    "text", ["frist", "", "-1", "9 o'clock", "0001-01-01T00:00+14:00", "1969-12-31"]
)
def test_what_is_no_place_is_said_in_one_sentence(text: str, tmp_path: Path) -> None:
    """Also a time that the broker cannot be told."""
    with pytest.raises(SystemExit) as ended:
        example("read_stream").position(text, tmp_path / "acme.offset")
    assert ended.value.code == (
        f"{text!r} is no place in a stream: say first, last, next, an offset as 4711,"
        " or a time as 2026-11-23T09:00Z"
    )


# ---------------------------------------------------------------- server-sent events


class Answered:
    """A connection whose every request is answered in the same way."""

    def __init__(self, status: int, text: str = "") -> None:
        self.status, self._text = status, text
        self.asked = 0

    @property
    async def content(self) -> AsyncIterator[bytes]:
        """As an answer."""
        for line in self._text.splitlines(keepends=True):
            yield line.encode()

    def raise_for_status(self) -> None:
        """As an answer that is none of an error."""

    def __call__(self, **_: object) -> Self:
        """As the class of sessions."""
        return self

    def get(self, url: str, *, headers: dict[str, str]) -> Self:
        """As a session."""
        assert (url, headers["Authorization"]) == ("https://chains.example/e", "T")
        self.asked += 1
        return self

    async def __aenter__(self) -> Self:
        """As both."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing was opened."""

    async def text(self) -> str:
        """As an answer."""
        return self._text


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the program is started with."""
    monkeypatch.setenv("EVENTS_URL", "https://chains.example/e")
    monkeypatch.setenv("TOKEN", "T")
    monkeypatch.setattr(sys, "argv", ["follow_events.py", str(tmp_path / "last-id")])


@pytest.mark.usefixtures("environment")
async def test_who_was_told_all_of_a_chain_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """204: it does not ask again, nor does it say that it follows."""
    answered = Answered(204)
    monkeypatch.setattr(aiohttp, "ClientSession", answered)
    await example("follow_events").main()
    assert answered.asked == 1
    assert capsys.readouterr().err == ""


async def test_the_place_moves_over_what_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Else who picks types would come back to the same place, and never get a 204."""
    frames = 'retry: 1\n\nid: start\n\nid: a\ndata: {"id": "a"}\n\n:\n\nid: b\n\n'
    monkeypatch.setattr(aiohttp, "ClientSession", Answered(200, frames))
    kept = tmp_path / "last-id"
    assert await example("follow_events").follow("https://chains.example/e", "T", kept)
    assert capsys.readouterr().out == '{"id": "a"}\n'
    assert kept.read_text() == "b"


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("status", [400, 401, 404])
async def test_what_asking_again_would_not_mend_ends_it(
    monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """With what the server says of it."""
    monkeypatch.setattr(aiohttp, "ClientSession", Answered(status, "there is no such"))
    with pytest.raises(SystemExit) as ended:
        await example("follow_events").main()
    assert ended.value.code == f"{status}: there is no such"
