"""Walking through JSON documents whose shape is known, and through their references."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import JsonValue

JsonObject = dict[str, JsonValue]


def fields(value: JsonValue) -> JsonObject:
    """The fields of an object; whatever is no object has none."""
    return value if isinstance(value, dict) else {}


def items(value: JsonValue) -> list[JsonValue]:
    """The items of a list; whatever is no list has none."""
    return value if isinstance(value, list) else []


def texts(value: JsonValue) -> list[str]:
    """The texts in a list."""
    return [item for item in items(value) if isinstance(item, str)]


def text(value: JsonValue) -> str:
    """A text, empty where there is none."""
    return value if isinstance(value, str) else ""


def listed(values: Iterable[JsonValue]) -> list[JsonValue]:
    """Values as a list in JSON."""
    return list(values)


def at(root: JsonObject, pointer: str) -> JsonValue:
    """What a reference within a document means (`#/…`, RFC 6901)."""
    found: JsonValue = root
    for part in map(unescaped, pointer.removeprefix("#/").split("/")):
        found = found[int(part)] if isinstance(found, list) else fields(found)[part]
    return found


def unescaped(part: str) -> str:
    """A part of a reference as a name."""
    return part.replace("~1", "/").replace("~0", "~")


def inlined(value: JsonValue, root: JsonObject) -> JsonValue:
    """The value with what its references mean in their place; none leads to itself.

    What stands beside a reference counts for more than what is referred to.
    """
    if isinstance(value, list):
        return [inlined(item, root) for item in value]
    if not isinstance(value, dict):
        return value
    beside = {k: inlined(v, root) for k, v in value.items() if k not in {"$ref", "$defs"}}
    pointer = value.get("$ref")
    if not isinstance(pointer, str):
        return beside
    return fields(inlined(at(root, pointer), root)) | beside
