"""JSON as Go's decoder reads it, and models that carry unknown fields along.

An IRMA server is written in Go: it matches field names without regard to case, takes
null for absent, lets the last of several equal names win and puts U+FFFD in place of what
is not Unicode (reference irma.md §2). What passes here comes out normalised, so that an
IRMA server cannot read another meaning from a document than we did.

    InvalidDocument
    ├── InvalidSessionRequest
    ├── InvalidSessionResult
    ├── InvalidSessionPackage
    ├── InvalidRevocationRequest
    └── InvalidFrontendDocument
"""

import json
import math
import re
from types import NoneType
from typing import Annotated, ClassVar, Final, TypeAlias, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import ErrorDetails

JsonObject: TypeAlias = dict[str, JsonValue]

#: Go's `int` and `uint` on the machines an IRMA server runs on.
Int: TypeAlias = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
Uint: TypeAlias = Annotated[int, Field(ge=0, le=2**64 - 1)]

#: A session request is seven levels deep; more is somebody's attack on a parser's stack.
DEPTH_MAX: Final = 32

#: A session request has some dozens of lists, objects and fields; tens of thousands are
#: somebody's attack on whoever has to look at each.
STRUCTURE_MAX: Final = 20_000

_TOO_DEEP: Final = f"nested more than {DEPTH_MAX} levels deep"
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_PLAIN_NAME: Final = re.compile(r"[\w.@-]{1,64}")
_TYPE_NAMES: Final = {
    NoneType: "null",
    bool: "a boolean",
    int: "a number",
    float: "a number with a fraction",
    str: "a string",
    list: "a list",
    dict: "an object",
}
_EXPECTED: Final = {
    "bool_type": "a boolean",
    "dict_type": "an object",
    "enum": "another word",
    "int_type": "an integer",
    "list_type": "a list",
    "model_type": "an object",
    "string_type": "a string",
}


class InvalidDocument(ValueError):
    """A document that is not what it should be; says where and why, never a value."""

    def __init__(self, field: str, reason: str, *, verbatim: bool = False) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason
        #: Whether the reason is the very sentence an IRMA server gives.
        self.verbatim = verbatim

    @property
    def message(self) -> str:
        """What an IRMA error says: the server's own words where it has a reason."""
        return self.reason if self.verbatim else str(self)


class InvalidSessionRequest(InvalidDocument):
    """Not a session request an IRMA server would accept."""


class InvalidSessionResult(InvalidDocument):
    """Not a session result of an IRMA server."""


class InvalidSessionPackage(InvalidDocument):
    """Not the answer of an IRMA server to a started session."""


class InvalidRevocationRequest(InvalidDocument):
    """Not a request to revoke a credential."""


class InvalidFrontendDocument(InvalidDocument):
    """Not what a frontend and an IRMA server say to each other."""


class Document(BaseModel):
    """Part of an IRMA document: known names in any case, unknown ones kept."""

    model_config = ConfigDict(
        strict=True, extra="allow", frozen=True, serialize_by_alias=True
    )

    #: Fields that are written even where they are null or were left out.
    always_written: ClassVar[frozenset[str]] = frozenset()
    _known: ClassVar[dict[str, str]]

    @classmethod
    def __pydantic_init_subclass__(cls, **_: object) -> None:
        names = [field.alias or name for name, field in cls.model_fields.items()]
        cls._known = {fold(name): name for name in names}

    @model_validator(mode="before")
    @classmethod
    def _as_go_reads(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        fields: dict[str, object] = {}
        for key, value in data.items():
            known = cls._known.get(fold(key))
            if known is None or value is not None:
                fields[known or key] = value
        return fields

    @model_serializer(mode="wrap")
    def _write(self, dump: SerializerFunctionWrapHandler) -> JsonValue:
        return self._present(dump(self))

    def _present(self, wire: JsonObject) -> JsonObject:
        """Without what was left out or is null."""
        for name, field in type(self).model_fields.items():
            absent = getattr(self, name) is None or name not in self.model_fields_set
            if absent and name not in self.always_written:
                wire.pop(field.alias or name, None)
        return wire

    def to_wire(self) -> JsonObject:
        """The JSON object that an IRMA server reads or writes."""
        wire: JsonObject = self.model_dump(mode="json")
        return wire


DocumentT = TypeVar("DocumentT", bound=Document)


def fold(name: str) -> str:
    """A field name as Go compares it: in any case, long s and Kelvin sign included."""
    return name.lower().replace("\u017f", "s")


def field_of(fields: JsonObject, name: str) -> JsonValue:
    """A field by its name in any case; the last one wins, null is absent."""
    folded = fold(name)
    found = [v for k, v in fields.items() if fold(k) == folded and v is not None]
    return found[-1] if found else None


def decoded(body: bytes | str, error: type[InvalidDocument]) -> JsonValue:
    """The JSON value in a body, or `error` with the place where it stops being JSON."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else body
    if sum(map(text.count, "[{,")) > STRUCTURE_MAX:
        raise error("", f"more than {STRUCTURE_MAX} lists, objects and commas")
    try:
        value: object = json.loads(text, object_pairs_hook=_last_wins)
    except json.JSONDecodeError as fault:
        what = fault.msg.removesuffix(" at")  # as "Invalid control character at"
        reason = f"not JSON: {what} at character {fault.pos}"
    except RecursionError:
        reason = _TOO_DEEP
    except ValueError:
        reason = "not JSON: a number has too many digits"
    else:
        return cleaned(value, error)
    # Raised out here, so that no cause drags the body along.
    raise error("", reason)


def cleaned(value: object, error: type[InvalidDocument], depth: int = 0) -> JsonValue:
    """The same value, bounded in depth, with Unicode text and finite numbers only."""
    if depth > DEPTH_MAX:
        raise error("", _TOO_DEEP)
    match value:
        case None | bool() | int():
            return value
        case float():
            if not math.isfinite(value):
                raise error("", "not JSON: a number is not finite")
            return value
        case str():
            return _LONE_SURROGATE.sub("\ufffd", value)
        case list():
            return [cleaned(item, error, depth + 1) for item in value]
        case dict():
            return {
                _LONE_SURROGATE.sub("\ufffd", str(key)): cleaned(item, error, depth + 1)
                for key, item in value.items()
            }
        case _:
            raise error("", f"not JSON: it holds {type(value).__name__}")


def as_object(value: JsonValue, error: type[InvalidDocument]) -> JsonObject:
    """The value if it is an object, `error` if not; Go reads null as an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise error("", f"expected an object, found {type_name(value)}")
    return value


def built(
    model: type[DocumentT], value: object, error: type[InvalidDocument]
) -> DocumentT:
    """The model of a value, or `error` with the first thing wrong with it."""
    try:
        return model.model_validate(value)
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
    inner = first.get("ctx", {}).get("error")
    if not isinstance(inner, InvalidDocument):
        raise error(path(*first["loc"]), _reason(first))
    field = path(*first["loc"], inner.field) if inner.field else ""
    raise error(field, inner.reason, verbatim=inner.verbatim)


def path(*parts: str | int) -> str:
    """A place in a document: `request.disclose[0][1]`; odd names are not repeated."""
    place = ""
    for part in parts:
        if isinstance(part, int):
            place += f"[{part}]"
        elif part:
            name = part if "[" in part or _PLAIN_NAME.fullmatch(part) else "?"
            place += f".{name}" if place else name
    return place


def type_name(value: object) -> str:
    """What JSON calls a value, for messages that must not show it."""
    return _TYPE_NAMES.get(type(value), "something else")


def _last_wins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object in which a repeated name stands where it stood last."""
    fields: dict[str, object] = {}
    for name, value in pairs:
        fields.pop(name, None)
        fields[name] = value
    return fields


def _reason(fault: ErrorDetails) -> str:
    match fault["type"]:
        case "missing":
            return "missing"
        case "greater_than_equal" | "less_than_equal":
            return "number out of range"
        case kind if kind in _EXPECTED:
            return f"expected {_EXPECTED[kind]}, found {type_name(fault['input'])}"
        case _:
            return fault["msg"]
