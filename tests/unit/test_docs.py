"""The documents say what is true."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel

from orchestrator.settings import Requestor, Settings

ROOT = Path(__file__).parents[2]


def test_every_setting_is_documented() -> None:
    """Each setting's full name stands in the configuration page."""
    page = (ROOT / "docs" / "configuration.md").read_text()
    documented = set(re.findall(r"`([a-zA-Z_.]+)`", page))
    for name in _names(Settings):
        short = "." + name.rsplit(".", maxsplit=1)[-1]
        assert name in documented or short in documented, name


def _names(model: type[BaseModel], prefix: str = "") -> list[str]:
    names = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names += _names(kind, f"{prefix}{name}.")
        elif name == "requestors":
            names += _names(Requestor, "requestors.NAME.")
        else:
            names.append(f"{prefix}{name}")
    return names
