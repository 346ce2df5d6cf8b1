"""The QR of a static session on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import JsonValue

from orchestrator.cli.static import show_static
from orchestrator.domain.errors import NotConfigured
from orchestrator.settings import Settings
from tests.unit.cli.test_chains import settings

POINTER = {"irmaqr": "redirect", "u": "https://chains.example/irma/session/petition"}


@pytest.fixture
def petition(tmp_path: Path) -> Settings:
    """Settings with one static session."""
    sessions: dict[str, JsonValue] = {"static_sessions": {"petition": {}}}
    return settings(tmp_path / "chains.db").model_copy(update=sessions)


def test_the_pointer_is_told_and_drawn(
    petition: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal, with blocks."""
    show_static(petition, "petition", svg=None, as_json=False)
    first, *picture = capsys.readouterr().out.splitlines()
    assert json.loads(first) == POINTER
    assert len(picture) > 15


def test_it_is_drawn_into_a_file(
    petition: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To be printed; scripts get the pointer as JSON."""
    svg = tmp_path / "petition.svg"
    show_static(petition, "petition", svg=svg, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"name": "petition", "pointer": POINTER}
    assert b"<svg" in svg.read_bytes()


def test_an_unknown_one_is_told_with_those_there_are(petition: Settings) -> None:
    """Nothing is guessed."""
    with pytest.raises(NotConfigured, match=r"static_sessions\.other: .*are: petition"):
        show_static(petition, "other", svg=None, as_json=False)


def test_a_file_that_cannot_be_written_is_told(
    petition: Settings, tmp_path: Path
) -> None:
    """With the reason."""
    with pytest.raises(NotConfigured, match="No such file or directory"):
        show_static(petition, "petition", svg=tmp_path / "a" / "b.svg", as_json=False)
