"""The documents say what is true."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel

from orchestrator.settings import Operator, Requestor, Settings

ROOT = Path(__file__).parents[2]

#: Sections that there are by name.
_NAMED: dict[str, type[BaseModel]] = {"requestors": Requestor, "operators": Operator}


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
        elif name in _NAMED:
            names += _names(_NAMED[name], f"{name}.NAME.")
        else:
            names.append(f"{prefix}{name}")
    return names
