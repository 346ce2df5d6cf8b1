"""Whether a wallet disclosed what was asked for (reference irma.md §2.3, §5, §7.6).

In place of proofs the wallet sends, for each disjunction, a list of values::

    {"disclosed": [[{"id": "scheme.issuer.cred.attr", "rawvalue": "456",
                     "issuancetime": 1582761600, "expired": false}]],
     "intact": true}

`intact: false` stands for proofs that do not verify, `expired: true` for an attribute of
a credential that is no longer valid. For issuing sessions the same object is sent to
`/commitments`.
"""

from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TypeAlias

from pydantic import JsonValue

from orchestrator.sandbox.faults import Refused
from schemas.irma import (
    AttributeRequest,
    AttributeStatus,
    ConDisCon,
    ErrorKind,
    InvalidDocument,
    JsonObject,
    ProofStatus,
)
from schemas.irma.documents import Document, built, decoded


class DisclosedValue(Document):
    """One attribute as the wallet gives it; null is a value like any other."""

    always_written = frozenset({"rawvalue"})

    id: str
    rawvalue: str | None = None
    issuancetime: int = 0
    expired: bool = False

    @property
    def credential(self) -> str:
        """The id of the credential type: the first three parts."""
        return ".".join(self.id.split(".")[:3])


class Proofs(Document):
    """What the wallet sends where an app would prove."""

    disclosed: list[list[DisclosedValue]]
    intact: bool = True


#: As in a session result: a list per disjunction, None where it was not satisfied.
DisclosedLists: TypeAlias = list[list[JsonObject] | None]


@dataclass(frozen=True)
class Checked:
    """What became of proofs: a verdict and what they disclosed."""

    proof_status: ProofStatus
    disclosed: DisclosedLists


@dataclass(frozen=True)
class Terms:
    """What a session says of credential types, apart from what it asks for."""

    #: Those whose expired credentials are accepted.
    expiry_skipped: frozenset[str] = field(default_factory=frozenset)
    #: Those that have to come with a proof that they were not revoked.
    revocation: frozenset[str] = field(default_factory=frozenset)


def parse_proofs(body: bytes) -> Proofs:
    """The wallet's proofs in a body."""
    try:
        return built(Proofs, decoded(body, InvalidDocument), InvalidDocument)
    except InvalidDocument as fault:
        raise Refused(ErrorKind.MALFORMED_INPUT, fault.message) from None


def check(disclose: ConDisCon, proofs: Proofs, terms: Terms = Terms()) -> Checked:
    """Compare what was disclosed with what was asked for, disjunction by disjunction."""
    if not proofs.intact:
        return Checked(ProofStatus.INVALID, [])
    lists: DisclosedLists = []
    extra: list[JsonObject] = []
    for disjunction, given in zip_longest(disclose, proofs.disclosed, fillvalue=None):
        used = None if disjunction is None else _used(disjunction, given or [])
        if disjunction is not None:
            satisfying = (given or [])[: used or 0]
            lists.append(None if used is None else _attributes(satisfying, terms))
        extra += _attributes((given or [])[used or 0 :], terms, AttributeStatus.EXTRA)
    proof_status = _verdict(proofs, terms, missing=None in lists)
    return Checked(proof_status, [*lists, extra] if extra else lists)


def issuing_refusal(proof_status: ProofStatus) -> ErrorKind:
    """How nothing is issued against such proofs (reference irma.md §1.1, trap T27)."""
    if proof_status is ProofStatus.EXPIRED:
        return ErrorKind.ATTRIBUTES_EXPIRED
    return ErrorKind.INVALID_PROOFS


def implicit_of(disclosed: DisclosedLists) -> ConDisCon:
    """What the next session of the chain has to disclose again, with the same values."""
    return [
        [
            [
                AttributeRequest.model_validate(
                    {"type": attribute["id"], "value": attribute["rawvalue"]}
                )
                for attribute in attributes or []
            ]
        ]
        for attributes in disclosed
    ]


def _verdict(proofs: Proofs, terms: Terms, *, missing: bool) -> ProofStatus:
    if missing:
        return ProofStatus.MISSING_ATTRIBUTES
    given = [value for one in proofs.disclosed for value in one]
    if any(one.expired and one.credential not in terms.expiry_skipped for one in given):
        return ProofStatus.EXPIRED
    return ProofStatus.VALID


def _used(
    disjunction: list[list[AttributeRequest]], given: list[DisclosedValue]
) -> int | None:
    """How many of the given values satisfy an alternative; None if none is satisfied."""
    for conjunction in disjunction:
        if not conjunction and given:
            continue  # The empty alternative is chosen by disclosing nothing.
        if len(given) >= len(conjunction) and all(map(_satisfies, given, conjunction)):
            return len(conjunction)
    return None


def _satisfies(value: DisclosedValue, asked: AttributeRequest) -> bool:
    return (
        value.id == asked.type
        and not (asked.not_null and value.rawvalue is None)
        and asked.value in {None, value.rawvalue}
    )


def _attributes(
    values: list[DisclosedValue], terms: Terms, status: AttributeStatus | None = None
) -> list[JsonObject]:
    return [_attribute(value, terms, status) for value in values]


def _attribute(
    value: DisclosedValue, terms: Terms, status: AttributeStatus | None
) -> JsonObject:
    raw = value.rawvalue
    kind = AttributeStatus.NULL if raw is None else AttributeStatus.PRESENT
    translations: JsonValue = None if raw is None else {"": raw, "en": raw, "nl": raw}
    attribute: JsonObject = {
        "rawvalue": raw,
        "value": translations,
        "id": value.id,
        "status": str(status or kind),
        "issuancetime": value.issuancetime,
    }
    if value.credential in terms.revocation:
        attribute["notrevoked"] = True
    return attribute
