"""Which attributes are asked for: a condiscon (reference irma.md §2.3).

It is a list (AND) of disjunctions, lists (OR) of conjunctions, lists (AND) of attributes.
"""

from typing import Annotated, TypeAlias

from pydantic import (
    BeforeValidator,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from schemas.irma.documents import Document, InvalidSessionRequest

#: A possession has three parts (scheme, issuer, credential), an attribute a fourth.
_PARTS_ALLOWED = frozenset({3, 4})


class AttributeRequest(Document):
    """One attribute, or the possession of a credential, possibly with a fixed value."""

    type: str = ""
    value: str | None = None
    not_null: bool = Field(default=False, alias="notNull")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: object) -> object:
        """A bare id stands for an attribute of any value; Go reads null as no id."""
        if data is None:
            return {}
        return {"type": data} if isinstance(data, str) else data

    @model_serializer(mode="wrap")
    def _write(self, dump: SerializerFunctionWrapHandler) -> JsonValue:
        if self.value is None and not self.not_null and not self.model_extra:
            return self.type
        return self._present(dump(self))

    @property
    def credential(self) -> str:
        """The id of the credential type: the first three parts."""
        return ".".join(self.type.split(".")[:3])


def _null_as_empty(data: object) -> object:
    """Go reads null, where a list is due, as an empty one."""
    return [] if data is None else data


Conjunction: TypeAlias = Annotated[
    list[AttributeRequest], BeforeValidator(_null_as_empty)
]
Disjunction: TypeAlias = Annotated[list[Conjunction], BeforeValidator(_null_as_empty)]
ConDisCon: TypeAlias = list[Disjunction]


def attribute_ids(disclose: ConDisCon) -> list[str]:
    """Every id of every alternative, in the order of the request."""
    return [
        attribute.type
        for disjunction in disclose
        for conjunction in disjunction
        for attribute in conjunction
    ]


def check_condiscon(disclose: ConDisCon) -> None:
    """Refuse what an IRMA server refuses without looking at its schemes."""
    for i, disjunction in enumerate(disclose):
        if not disjunction:
            raise InvalidSessionRequest(
                f"disclose[{i}]", "Empty disjunction", verbatim=True
            )
        for j, conjunction in enumerate(disjunction):
            _check_conjunction(conjunction, f"disclose[{i}][{j}]")


def _check_conjunction(conjunction: Conjunction, field: str) -> None:
    seen: set[str] = set()
    last = ""
    for k, attribute in enumerate(conjunction):
        check_id(attribute.type, f"{field}[{k}]")
        if attribute.credential in seen and attribute.credential != last:
            raise InvalidSessionRequest(
                f"{field}[{k}]",
                "Within inner conjunctions, attributes from the same credential type "
                "must be adjacent",
                verbatim=True,
            )
        last = attribute.credential
        seen.add(last)


def check_id(identifier: str, field: str) -> None:
    """Refuse an id that is neither an attribute nor the possession of a credential."""
    parts = identifier.split(".")
    if len(parts) not in _PARTS_ALLOWED:
        raise InvalidSessionRequest(
            field,
            f"Expected attribute request to consist of 4 or 3 parts, {len(parts)} found",
            verbatim=True,
        )
