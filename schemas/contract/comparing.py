"""What has changed between two JSON Schemas that breaks those who rely on the first.

Strict on purpose: of a field that stays, only its words may change, and a list of values
may grow. Whatever else is wanted gets a name of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Final

from pydantic import JsonValue

from schemas.contract.trees import JsonObject, fields, items, texts


class Side(Enum):
    """Who writes what the schema describes; it decides what a new field may be.

    Attributes:
        new_required: whether a field may become required, or be new and required.
        no_longer_required: whether a field may cease to be required.
    """

    #: We write it, others read it, and old ones are kept: neither may be.
    EVENT = (False, False)
    #: We write it, others read it at once.
    ANSWER = (True, False)
    #: Others write it, we read it.
    REQUEST = (False, True)

    def __init__(self, new_required: bool, no_longer_required: bool) -> None:  # noqa: FBT001 # the values above are the only call
        self.new_required = new_required
        self.no_longer_required = no_longer_required


#: Keywords whose value may not change at all.
_FIXED: Final = (
    "type",
    "format",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
)

#: Keywords with schemas in them.
_CHOICES: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
_WITHIN: Final = ("items", "additionalProperties")


def breaks(
    before: JsonObject, after: JsonObject, side: Side, place: str
) -> Iterator[str]:
    """What breaks, as `place: what`; both schemas are without references."""
    for keyword in _FIXED:
        if before.get(keyword) != after.get(keyword):
            was, now = before.get(keyword), after.get(keyword)
            yield f"{place}: {keyword} was {was!r} and is {now!r}"
    yield from _values(before, after, place)
    yield from _fields(before, after, side, place)
    for keyword in _WITHIN:
        yield from _within(before, after, side, place, keyword)
    for keyword in _CHOICES:
        yield from _choices(before, after, side, place, keyword)


def _values(before: JsonObject, after: JsonObject, place: str) -> Iterator[str]:
    """A list of values may grow; readers are told to expect that."""
    were, are = _listed(before), _listed(after)
    if (were is None) != (are is None):
        yield f"{place}: its values {'were not' if were is None else 'were'} listed"
        return
    for value in were or ():
        if value not in (are or ()):
            yield f"{place}: the value {value!r} is gone"


def _listed(schema: JsonObject) -> list[JsonValue] | None:
    """The values that are listed; a constant is a list of one."""
    return [schema["const"]] if "const" in schema else items(schema.get("enum")) or None


def _fields(
    before: JsonObject, after: JsonObject, side: Side, place: str
) -> Iterator[str]:
    were, are = fields(before.get("properties")), fields(after.get("properties"))
    needed, needs = set(texts(before.get("required"))), set(texts(after.get("required")))
    for name, field in were.items():
        here = f"{place}.{name}"
        if name not in are:
            yield f"{here}: the field is gone"
            continue
        if name in needed - needs and not side.no_longer_required:
            yield f"{here}: the field was always there and is optional"
        yield from breaks(fields(field), fields(are[name]), side, here)
    if not side.new_required:
        for name in sorted(needs - needed):
            yield f"{place}.{name}: the field is newly required"


def _within(
    before: JsonObject, after: JsonObject, side: Side, place: str, keyword: str
) -> Iterator[str]:
    was, now = before.get(keyword), after.get(keyword)
    if isinstance(was, dict) and isinstance(now, dict):
        yield from breaks(was, now, side, f"{place}[]")
    elif was != now:
        yield f"{place}: {keyword} was {was!r} and is {now!r}"


def _choices(
    before: JsonObject, after: JsonObject, side: Side, place: str, keyword: str
) -> Iterator[str]:
    were, are = items(before.get(keyword)), items(after.get(keyword))
    if len(were) > len(are) or (are and not were):
        yield f"{place}: {keyword} has {len(are)} choices instead of {len(were)}"
        return
    if len(are) > len(were) and side is not Side.REQUEST:
        yield f"{place}: {keyword} has {len(are)} choices instead of {len(were)}"
        return
    for number, (was, now) in enumerate(zip(were, are, strict=False)):
        yield from breaks(fields(was), fields(now), side, f"{place}({number})")
