"""What requestors, wallets and the endpoint have in their journals of their chains.

From these alone follows which events there have to be (`events_expected`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from orchestrator.proof.events_scripts import Said, Script
from orchestrator.sandbox.wallet import StepStatus
from schemas.events import Purpose


@dataclass(kw_only=True)
class Played:
    """One chain as its requestor and its user lived it.

    Attributes:
        requestor: whose it is, by the key.
        sessions: how each session ended for the user, in order.
        cut_off: whether its IRMA server has broken off an answer to the app, which it
            does after 4.2 s (reference irma.md §1.2); what followed, nobody has seen.
        troubles: what did not go as it should have, in words.
    """

    chain_id: str
    requestor: str
    script: Script
    sessions: list[StepStatus] = field(default_factory=list)
    cut_off: bool = False
    troubles: list[str] = field(default_factory=list)


class Posted(NamedTuple):
    """One attempt of a callback, as the endpoint got it, and what it said."""

    step: int
    purpose: Purpose
    said: Said


class Sighting(NamedTuple):
    """One event, as a subscriber got it for the first time."""

    id: str
    requestor: str
    chain_id: str
    step: int
    type: str
    sequence: int
