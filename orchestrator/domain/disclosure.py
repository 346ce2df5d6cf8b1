"""What a session that we start ourselves has to disclose again (reference irma.md §7.6).

In flow the IRMA server requires it on its own; a detached session is new to it, so the
requirement goes into the request. A step's `disclosed` holds all that the steps before it
had to disclose again, whoever required it, so the requirements accumulate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from schemas.irma import (
    AttributeRequest,
    ConDisCon,
    DisclosedAttribute,
    SessionResult,
)

#: An id of so many parts is the possession of a credential, which has no value.
_POSSESSION_PARTS: Final = 3


def required_again(before: SessionResult) -> ConDisCon:
    """A disjunction for each list of `disclosed`, in its order, to be met in one way.

    They belong at the tail of the next request: the integrator's labels, and its reading
    of the next `disclosed`, go by index (trap T22).

    An empty list is a disjunction that stays empty; what was not satisfied (null) cannot
    be asked for again; what nobody had asked for (EXTRA) is.

    A list of several credential types becomes a disjunction for each. In flow the IRMA
    server requires it whole, without checking its own request; ours it checks, and it
    refuses two credentials that are no singletons in one conjunction, as an EXTRA list
    may hold them. Which are singletons only its schemes tell, and a list does not say
    either whether it was EXTRA in an earlier step. So only the list of a requested
    conjunction that combined types comes back as several, after all that the integrator
    asked for; every other shape of `disclosed` stays as in flow. What is required stays
    the same: nothing binds credentials of different types to each other.
    """
    return [
        [[_again(attribute) for attribute in attributes]]
        for shown in before.disclosed or ()
        if shown is not None
        for attributes in _by_credential(shown)
    ]


def _again(attribute: DisclosedAttribute) -> AttributeRequest:
    """The same value; a null was no answer, so any value will do (trap T24)."""
    if attribute.id.count(".") + 1 == _POSSESSION_PARTS:
        return AttributeRequest(type=attribute.id)
    return AttributeRequest(type=attribute.id, value=attribute.rawvalue)


def _by_credential(
    shown: Sequence[DisclosedAttribute],
) -> list[list[DisclosedAttribute]]:
    """The attributes of each credential type together, or the empty list as it is.

    They stand side by side already (irma.md §2.3), but in the EXTRA list, whose order
    nobody has chosen.
    """
    credentials: dict[str, list[DisclosedAttribute]] = {}
    for attribute in shown:
        type_ = ".".join(attribute.id.split(".")[:3])
        credentials.setdefault(type_, []).append(attribute)
    return list(credentials.values()) or [[]]
