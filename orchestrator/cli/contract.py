"""Writes what the models say into `schemas/generated`, and compares.

events/TYPE.json, examples/TYPE.json   JSON Schema and example of each type of event
asyncapi.json, openapi.json            the documents that the gateway serves
released/                              the documents that others rely on
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from pydantic import TypeAdapter

import schemas
from orchestrator.domain.errors import NotConfigured
from orchestrator.gateway import create_app
from orchestrator.gateway.asyncapi import asyncapi_document, wire_example
from orchestrator.gateway.openapi import openapi_document, untold
from schemas.contract import (
    EVENT_TYPES,
    broken_events,
    broken_operations,
    event_schema,
)
from schemas.contract.describing import DIALECT
from schemas.contract.trees import JsonObject
from schemas.events import SOURCE

if TYPE_CHECKING:
    from orchestrator.gateway import Desk

GENERATED: Final = Path(schemas.__file__).parent / "generated"

_RELEASED: Final = "released"
_ASYNCAPI: Final = "asyncapi.json"
_OPENAPI: Final = "openapi.json"

_DOCUMENT: Final[TypeAdapter[JsonObject]] = TypeAdapter(JsonObject)


def documents() -> dict[str, JsonObject]:
    """Everything that is generated, by its path in the folder.

    Raises:
        NotConfigured: an operation does not tell what it answers.
    """
    # A route looks at its desk only when a request comes.
    operations = openapi_document(create_app(cast("Desk", object())))
    if missing := untold(operations):
        raise NotConfigured(
            f"{', '.join(missing)}: what they answer is not told;"
            " add it to orchestrator/gateway/openapi_told.py"
        )
    found = {_ASYNCAPI: asyncapi_document(), _OPENAPI: operations}
    for name in EVENT_TYPES:
        identity: JsonObject = {"$schema": DIALECT, "$id": f"{SOURCE}:{name}"}
        found[f"events/{name}.json"] = identity | event_schema(name)
        found[f"examples/{name}.json"] = wire_example(name)
    return found


def write(folder: Path) -> None:
    """Make the folder what the models say; what was released stays."""
    wanted = documents()
    for path in _files(folder) - set(wanted):
        (folder / path).unlink()
    for name, document in wanted.items():
        _put(folder / name, document)


def stale(folder: Path) -> list[str]:
    """The files of the folder that are not what the models say."""
    wanted = documents()
    return sorted(
        name
        for name in _files(folder) | set(wanted)
        if name not in wanted or _content(folder / name) != _text(wanted[name])
    )


def broken(folder: Path) -> list[str]:
    """What the models break of what was released."""
    wanted = documents()
    return [
        *broken_events(_released(folder, _ASYNCAPI), wanted[_ASYNCAPI]),
        *broken_operations(_released(folder, _OPENAPI), wanted[_OPENAPI]),
    ]


def release(folder: Path) -> None:
    """From now on others rely on what the models say."""
    wanted = documents()
    for name in (_ASYNCAPI, _OPENAPI):
        _put(folder / _RELEASED / name, wanted[name])


def was_released(folder: Path) -> bool:
    """Whether there is anything yet that others rely on."""
    return (folder / _RELEASED).is_dir()


def _released(folder: Path, name: str) -> JsonObject:
    return _DOCUMENT.validate_json((folder / _RELEASED / name).read_bytes())


def _files(folder: Path) -> set[str]:
    found = {path.relative_to(folder) for path in folder.rglob("*.json")}
    return {path.as_posix() for path in found if path.parts[0] != _RELEASED}


def _put(path: Path, document: JsonObject) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_text(document), encoding="utf-8")


def _content(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _text(document: JsonObject) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
