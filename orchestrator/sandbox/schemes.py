"""Which credential types there are, as schemes tell a server (reference irma.md §2)."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from pydantic import BaseModel, ConfigDict

from schemas.irma import AttributeRequest, IssuanceRequest, PlainRequest


class CredentialType(BaseModel):
    """What a scheme says of one credential type."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attributes: tuple[str, ...]
    #: Those that may be left out when it is issued.
    optional: frozenset[str] = frozenset()
    singleton: bool = False
    revocation: bool = False


def _type(
    *attributes: str, optional: str = "", singleton: bool = False
) -> CredentialType:
    return CredentialType(
        attributes=attributes, optional=frozenset(optional.split()), singleton=singleton
    )


_OVER: Final = ("over12", "over16", "over18", "over21", "over65")
_PERSONAL_DATA: Final = _type(
    "initials",
    "firstnames",
    "prefix",
    "familyname",
    "fullname",
    "gender",
    "nationality",
    "surname",
    "dateofbirth",
    "cityofbirth",
    "countryofbirth",
    *_OVER,
    "bsn",
    "digidlevel",
    optional="fullname nationality",
    singleton=True,
)
_ADDRESS: Final = _type(
    "street",
    "houseNumber",
    "zipcode",
    "municipality",
    "city",
    optional="houseNumber",
    singleton=True,
)
_EMAIL: Final = _type("email", "domain", optional="domain")
_MOBILE_NUMBER: Final = _type("mobilenumber")

#: The public demo scheme as far as examples use it, and what is asked most of the other.
DEMO_SCHEMES: Final[Mapping[str, CredentialType]] = {
    "irma-demo.IRMATube.member": _type("type", "id", "fullname", optional="fullname"),
    "irma-demo.MijnOverheid.address": _type("country", "city", "street", "zipcode"),
    "irma-demo.MijnOverheid.ageLower": _type(
        "over12", "over16", "over18", "over21", singleton=True
    ),
    "irma-demo.MijnOverheid.fullName": _type(
        "firstnames", "firstname", "familyname", "prefix", optional="prefix"
    ),
    "irma-demo.MijnOverheid.root": CredentialType(
        attributes=("BSN",), singleton=True, revocation=True
    ),
    "irma-demo.RU.studentCard": _type(
        "university", "studentCardNumber", "studentID", "level"
    ),
    "irma-demo.gemeente.address": _ADDRESS,
    "irma-demo.gemeente.personalData": _PERSONAL_DATA,
    "irma-demo.sidn-pbdf.email": _EMAIL,
    "irma-demo.sidn-pbdf.mobilenumber": _MOBILE_NUMBER,
    "pbdf.gemeente.address": _ADDRESS,
    "pbdf.gemeente.personalData": _PERSONAL_DATA,
    "pbdf.sidn-pbdf.email": _EMAIL,
    "pbdf.sidn-pbdf.mobilenumber": _MOBILE_NUMBER,
}


def scheme_refusal(
    types: Mapping[str, CredentialType], request: PlainRequest
) -> str | None:
    """The first thing a request asks for that the schemes do not have."""
    return next(
        (
            refusal
            for refusals in (
                _unknown(types, request),
                _crowded(types, request),
                _irrevocable(types, request),
                _unissuable(types, request),
            )
            for refusal in refusals
        ),
        None,
    )


def _unknown(types: Mapping[str, CredentialType], request: PlainRequest) -> Iterator[str]:
    for attribute in _attributes(request):
        type_ = types.get(attribute.credential)
        name = attribute.type.removeprefix(attribute.credential).removeprefix(".")
        if type_ is None or (name and name not in type_.attributes):
            yield f"unknown identifier: {attribute.type}"


def _crowded(types: Mapping[str, CredentialType], request: PlainRequest) -> Iterator[str]:
    for disjunction in request.disclose:
        for conjunction in disjunction:
            asked = {attribute.credential for attribute in conjunction}
            if sum(not types[id_].singleton for id_ in asked if id_ in types) > 1:
                yield (
                    "Multiple non-singletons within one inner conjunction are not allowed"
                )


def _irrevocable(
    types: Mapping[str, CredentialType], request: PlainRequest
) -> Iterator[str]:
    for id_ in request.revocation or {}:
        if id_ not in types or not types[id_].revocation:
            yield (
                f"cannot request nonrevocation proof for {id_}: "
                "revocation not enabled in scheme"
            )


def _unissuable(
    types: Mapping[str, CredentialType], request: PlainRequest
) -> Iterator[str]:
    if not isinstance(request, IssuanceRequest):
        return
    for credential in request.credentials:
        type_ = types.get(credential.credential)
        if type_ is None:
            yield f"unknown identifier: {credential.credential}"
            continue
        given = set(credential.attributes or {})
        for name in sorted(given.difference(type_.attributes)):
            yield f"unknown identifier: {credential.credential}.{name}"
        if missing := set(type_.attributes) - given - type_.optional:
            yield f"required attributes are missing: {', '.join(sorted(missing))}"


def _attributes(request: PlainRequest) -> Iterable[AttributeRequest]:
    return (
        attribute
        for disjunction in request.disclose
        for conjunction in disjunction
        for attribute in conjunction
    )
