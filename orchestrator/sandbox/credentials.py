"""What a pretend wallet holds, and how it answers what it is asked for."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Final

from orchestrator.sandbox.schemes import DEMO_SCHEMES
from schemas.irma import AttributeRequest, ConDisCon, JsonObject

#: What is disclosed of a credential whose mere possession is asked for (irma.md §2.3).
POSSESSION: Final = "present"

#: More ways to answer one alternative are not told apart.
WAYS_MAX: Final = 100


@dataclass(frozen=True)
class Credential:
    """One credential: its type, its attributes and when it was issued."""

    id: str
    attributes: Mapping[str, str | None]
    issuancetime: int = 1_582_761_600

    def discloses(self, asked: AttributeRequest) -> bool:
        """Whether this credential can answer the request for an attribute."""
        if asked.credential != self.id:
            return False
        name = asked.type.removeprefix(self.id).removeprefix(".")
        if name and name not in self.attributes:
            return False
        value = self.value(asked)
        return not (asked.not_null and value is None) and asked.value in {None, value}

    def value(self, asked: AttributeRequest) -> str | None:
        """The value of the attribute asked for."""
        if asked.type == self.id:
            return POSSESSION
        return self.attributes[asked.type.removeprefix(f"{self.id}.")]

    def disclosed(self, asked: AttributeRequest) -> JsonObject:
        """The attribute as the pretend server takes it for a proof."""
        return {
            "id": asked.type,
            "rawvalue": self.value(asked),
            "issuancetime": self.issuancetime,
        }

    def replaces(self, old: "Credential") -> bool:
        """Whether a wallet drops the old one when it gets this one."""
        type_ = DEMO_SCHEMES.get(self.id)
        singleton = type_ is not None and type_.singleton
        return self.id == old.id and (singleton or self.attributes == old.attributes)


@dataclass(frozen=True)
class Way:
    """One way to satisfy a disjunction: each attribute with the credential it is from.

    A way without attributes leaves an optional disjunction empty.
    """

    attributes: tuple[tuple[AttributeRequest, Credential], ...] = ()

    def disclosed(self) -> list[JsonObject]:
        """The attributes as the pretend server takes them for proofs."""
        return [credential.disclosed(asked) for asked, credential in self.attributes]


def default_credentials() -> list[Credential]:
    """A student of Nijmegen, in the demo schemes."""
    return [
        Credential(
            "irma-demo.gemeente.personalData",
            {
                "initials": "W.L.",
                "firstnames": "Willeke Liselotte",
                "prefix": "de",
                "familyname": "Bruijn",
                "fullname": "W.L. de Bruijn",
                "dateofbirth": "10-04-1965",
                "gender": "V",
                "nationality": "Ja",
                "over12": "Yes",
                "over16": "Yes",
                "over18": "Yes",
                "over21": "Yes",
                "over65": "No",
                "bsn": "999999990",
            },
        ),
        Credential(
            "irma-demo.RU.studentCard",
            {
                "university": "Radboud",
                "studentCardNumber": "31415927",
                "studentID": "456",
                "level": "42",
            },
        ),
        Credential("irma-demo.MijnOverheid.root", {"BSN": "299792458"}),
        Credential(
            "irma-demo.MijnOverheid.fullName",
            {
                "firstnames": "Johan Pieter",
                "firstname": "Johan",
                "familyname": "Stuivezand",
                "prefix": None,
            },
        ),
    ]


def ways(disclose: ConDisCon, credentials: Sequence[Credential]) -> list[list[Way]]:
    """For each disjunction every way to satisfy it; an empty list where there is none.

    The order is the requestor's; of equal alternatives the newest credential is first.
    """
    return [
        [
            way
            for conjunction in disjunction
            for way in islice(_ways(conjunction, credentials), WAYS_MAX)
        ]
        for disjunction in disclose
    ]


def received(
    credentials: Iterable[Credential], issued: Iterable[Credential]
) -> list[Credential]:
    """What a wallet holds once it was issued some more: singletons are replaced."""
    held = list(credentials)
    for new in issued:
        held = [old for old in held if not new.replaces(old)]
        held.append(new)
    return held


def _ways(
    conjunction: Sequence[AttributeRequest], credentials: Sequence[Credential]
) -> Iterator[Way]:
    """All attributes of a conjunction, those of one type from one credential."""
    types = list(dict.fromkeys(asked.credential for asked in conjunction))
    fitting = [
        _fitting(credentials, [asked for asked in conjunction if asked.credential == one])
        for one in types
    ]
    for combination in product(*fitting):
        held = dict(zip(types, combination, strict=True))
        yield Way(tuple((asked, held[asked.credential]) for asked in conjunction))


def _fitting(
    credentials: Sequence[Credential], wanted: list[AttributeRequest]
) -> list[Credential]:
    """The credentials that answer all that is wanted of them, the newest first."""
    return [one for one in reversed(credentials) if all(map(one.discloses, wanted))]
