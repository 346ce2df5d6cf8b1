"""What is checked in is what the models say, and breaks nothing that was released."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli import contract
from orchestrator.cli.main import app
from schemas.contract import EVENT_TYPES
from schemas.contract.trees import JsonObject


@pytest.fixture(scope="module")
def documents() -> dict[str, JsonObject]:
    """What the models say."""
    return contract.documents()


@pytest.fixture
def folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    documents: dict[str, JsonObject],
) -> Path:
    """A folder as it is checked in."""
    monkeypatch.setattr(contract, "documents", lambda: documents)
    contract.write(tmp_path)
    contract.release(tmp_path)
    return tmp_path


def chainctl(folder: Path, command: str) -> tuple[int, str]:
    """Exit code and what was written."""
    done = CliRunner().invoke(app, ["contract", command, "--folder", str(folder)])
    return done.exit_code, done.output


def test_what_is_checked_in_is_what_the_models_say() -> None:
    """To mend: make schemas."""
    assert contract.stale(contract.GENERATED) == []


def test_what_was_released_is_kept() -> None:
    """Others rely on it: see docs/events.md."""
    assert contract.broken(contract.GENERATED) == []


def test_files_are_the_same_each_time(folder: Path) -> None:
    """By type, with a newline at their ends; what is written is what is checked."""
    names = {path.stem for path in (folder / "events").iterdir()}
    assert names == {path.stem for path in (folder / "examples").iterdir()}
    assert names == set(EVENT_TYPES)
    assert all(path.read_text().endswith("}\n") for path in folder.rglob("*.json"))
    assert chainctl(folder, "check") == (0, "")


def test_a_schema_of_its_own_says_which_it_is(folder: Path) -> None:
    """Its dialect and its name."""
    schema = json.loads((folder / "events" / "chain.failed.json").read_text())
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"].endswith(":chain.failed")


def test_a_change_that_was_not_written_is_told(folder: Path) -> None:
    """Every file that differs, is missing or is left over, and the remedy."""
    (folder / "asyncapi.json").write_text("{}")
    (folder / "events" / "chain.failed.json").unlink()
    (folder / "events" / "chain.gone.json").write_text("{}")
    code, said = chainctl(folder, "check")
    assert code == 1
    for name in ("asyncapi.json", "events/chain.failed.json", "events/chain.gone.json"):
        assert f"  {name}\n" in said
    assert "make schemas" in said
    assert chainctl(folder, "write") == (0, "")
    assert chainctl(folder, "check") == (0, "")


def test_a_break_of_what_was_released_is_told(folder: Path) -> None:
    """Also when it was written, and it is not released."""
    released = folder / "released" / "asyncapi.json"
    document = json.loads(released.read_text())
    log = document["channels"]["log"]["messages"]
    log["chain.lost"] = log["chain.failed"]
    released.write_text(json.dumps(document))
    for command in ("check", "release"):
        code, said = chainctl(folder, command)
        assert code == 1
        assert "channel log: chain.lost is gone" in said
    assert json.loads(released.read_text()) == document


def test_what_is_new_may_be_released(folder: Path) -> None:
    """From then on it may not be taken back."""
    released = folder / "released" / "asyncapi.json"
    document = json.loads(released.read_text())
    del document["channels"]["log"]["messages"]["chain.failed"]
    released.write_text(json.dumps(document))
    assert chainctl(folder, "check") == (0, "")
    assert chainctl(folder, "release") == (0, "")
    assert "chain.failed" in released.read_text()


def test_the_first_release_has_nothing_to_break(folder: Path) -> None:
    """Before it nobody relies on anything."""
    shutil.rmtree(folder / "released")
    assert chainctl(folder, "release") == (0, "")
    assert chainctl(folder, "check") == (0, "")
