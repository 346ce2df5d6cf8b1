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
    """
    return [
        [[_again(attribute) for attribute in _adjacent(attributes)]]
        for attributes in before.disclosed or ()
        if attributes is not None
    ]


def _again(attribute: DisclosedAttribute) -> AttributeRequest:
    """The same value; a null was no answer, so any value will do (trap T24)."""
    if attribute.id.count(".") + 1 == _POSSESSION_PARTS:
        return AttributeRequest(type=attribute.id)
    return AttributeRequest(type=attribute.id, value=attribute.rawvalue)


def _adjacent(attributes: Sequence[DisclosedAttribute]) -> list[DisclosedAttribute]:
    """Those of one credential side by side, as a request must have them (irma.md §2.3).

    They are already, but in the EXTRA list, whose order nobody has chosen.
    """
    credentials = [attribute.id.split(".")[:3] for attribute in attributes]
    return sorted(attributes, key=lambda one: credentials.index(one.id.split(".")[:3]))
