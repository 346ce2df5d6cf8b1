"""What a pretend wallet holds, and how it answers what it is asked for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.irma import AttributeRequest, ConDisCon, JsonObject

#: What is disclosed of a credential whose mere possession is asked for (irma.md §2.3).
POSSESSION: Final = "present"

_POSSESSION_PARTS = 3


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


def choose(
    disclose: ConDisCon, credentials: Sequence[Credential]
) -> list[list[JsonObject]] | None:
    """For each disjunction the first alternative the wallet can answer; None if none."""
    chosen: list[list[JsonObject]] = []
    for disjunction in disclose:
        answers = (_answer(conjunction, credentials) for conjunction in disjunction)
        answer = next((one for one in answers if one is not None), None)
        if answer is None:
            return None
        chosen.append(answer)
    return chosen


def _answer(
    conjunction: list[AttributeRequest], credentials: Sequence[Credential]
) -> list[JsonObject] | None:
    """All attributes of a conjunction, those of one type from one credential."""
    picked: dict[str, Credential] = {}
    for type_ in {asked.credential for asked in conjunction}:
        wanted = [asked for asked in conjunction if asked.credential == type_]
        credential = _newest(credentials, wanted)
        if credential is None:
            return None
        picked[type_] = credential
    return [picked[asked.credential].disclosed(asked) for asked in conjunction]


def _newest(
    credentials: Iterable[Credential], wanted: list[AttributeRequest]
) -> Credential | None:
    fitting = [one for one in credentials if all(map(one.discloses, wanted))]
    return fitting[-1] if fitting else None
