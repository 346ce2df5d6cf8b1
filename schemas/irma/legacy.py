"""Session requests from before condiscons, turned into modern ones (irma.md §2.5).

They have a `type` in place of a `@context`, and disjunctions with a label each:
`{"label": "Your id", "attributes": ["a.b.c.d", "a.b.c.e"]}`, or, where values are fixed,
`{"label": "Your id", "attributes": {"a.b.c.d": "456", "a.b.c.e": null}}`.
"""

from typing import Annotated, Final

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from schemas.irma.condiscon import Disjunction, check_id
from schemas.irma.documents import (
    Document,
    InvalidSessionRequest,
    JsonObject,
    built,
    field_of,
    fold,
)
from schemas.irma.states import CONTEXTS, SessionType

#: One of these in place of a `@context` is what makes a request a legacy one.
_MARKS: Final = frozenset({"type", "content", "credentials"})

#: Rewritten here, or modern fields that a legacy request has under no name.
_REPLACED: Final = frozenset(
    {"@context", "type", "content", "disclose", "labels", "skipexpirycheck"}
)


def _conjunctions(data: object) -> object:
    """Each id, with its value if it has one, is a way to satisfy the disjunction."""
    match data:
        case None:
            return []
        case list() if all(isinstance(identifier, str | None) for identifier in data):
            return [[{"type": identifier or ""}] for identifier in data]
        case dict():
            return [[{"type": id_, "value": value}] for id_, value in data.items()]
        case _:
            raise PydanticCustomError(
                "attributes", "neither a list of ids nor an object of ids and values"
            )


class _Labelled(Document):
    """Attributes of which one is to be disclosed, and what the app calls them."""

    label: str = ""
    attributes: Annotated[Disjunction, BeforeValidator(_conjunctions)] = Field(
        default_factory=list
    )


class _Content(Document):
    """What a disclosing or signing request asks for."""

    content: list[_Labelled] = Field(default_factory=list)


class _Disclose(Document):
    """What an issuing request asks for."""

    disclose: list[_Labelled] = Field(default_factory=list)


def is_legacy(fields: JsonObject) -> bool:
    """Whether a plain request is a legacy one: a type, but no context."""
    context = field_of(fields, "@context")
    return context in (None, "") and not _MARKS.isdisjoint(map(fold, fields))


def modern_request(fields: JsonObject) -> JsonObject:
    """The modern form of a legacy plain request.

    Raises:
        InvalidSessionRequest: with the place in the legacy form.
    """
    kind = _kind(fields)
    labelled = _asked(fields, kind)
    kept = {name: v for name, v in fields.items() if fold(name) not in _REPLACED}
    modern: JsonObject = {"@context": CONTEXTS[kind], **kept}
    if labelled:
        modern["disclose"] = [one.to_wire()["attributes"] for one in labelled]
        modern["labels"] = {
            str(i): {"en": one.label, "nl": one.label} for i, one in enumerate(labelled)
        }
    return modern


def _kind(fields: JsonObject) -> SessionType:
    word = field_of(fields, "type")
    if not isinstance(word, str) or word not in CONTEXTS:
        raise InvalidSessionRequest("type", "not disclosing, signing or issuing")
    return SessionType(word)


def _asked(fields: JsonObject, kind: SessionType) -> list[_Labelled]:
    if kind is SessionType.ISSUING:
        name, asked = "disclose", built(_Disclose, fields, InvalidSessionRequest).disclose
    else:
        name, asked = "content", built(_Content, fields, InvalidSessionRequest).content
    for i, labelled in enumerate(asked):
        _check(labelled, f"{name}[{i}].attributes")
    return asked


def _check(labelled: _Labelled, field: str) -> None:
    """Here, so that a refusal names the place in the request that was sent."""
    if not labelled.attributes:
        raise InvalidSessionRequest(field, "Empty disjunction", verbatim=True)
    for j, conjunction in enumerate(labelled.attributes):
        for attribute in conjunction:
            check_id(attribute.type, f"{field}[{j}]")
