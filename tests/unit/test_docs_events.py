"""The page on events names all there is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from schemas.contract import EVENT_TYPES, event_schema
from schemas.contract.trees import fields
from schemas.events import parse_event

PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_every_type_is_listed_with_its_fields(event_type: str) -> None:
    """One line of the table names the type and each field of its data."""
    lines = [line for line in PAGE.splitlines() if f"`{event_type}`" in line]
    listed = [line for line in lines if line.startswith("| `")]
    assert len(listed) == 1
    named = set(re.findall(r"`(\w+)`", listed[0]))
    data = fields(fields(event_schema(event_type)["properties"])["data"])
    assert set(fields(data["properties"])) <= named


def test_the_example_is_an_event() -> None:
    """Whoever copies it has something that is true."""
    found = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    event = parse_event(found[1].encode())
    assert event.model_dump(by_alias=True, exclude_none=True, mode="json") == json.loads(
        found[1]
    )
