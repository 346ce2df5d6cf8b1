"""An endpoint that said 202 answers later, by the reply URL: the first answer is taken.

It is valid from the start of the attempt, so it may come before the 202, after a timeout
and beside a retry. What was taken holds the slot after the step (`claiming`), which the
session worker then claims for it.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto

from orchestrator.domain.chain import Slot, Step, StepState, View
from orchestrator.domain.ruling import Ruling


class Replied(Enum):
    """What became of an answer that came to the reply URL."""

    TAKEN = auto()
    #: The very same was taken before, here or as the answer to a callback.
    REPEATED = auto()
    #: Another answer was first.
    RIVAL = auto()
    #: The chain is over or its generation closed.
    CLOSED = auto()
    #: The result that was answered is not stored yet, so nothing could follow it.
    UNPROVED = auto()


def take_reply(
    view: View, slot: Slot, *, answer_hash: str, session: str, told: bool
) -> Ruling[Replied]:
    """Take in a valid answer to the callback of this step (gateway).

    Args:
        view: the step, and what follows it.
        slot: the step.
        answer_hash: keyed hash of the answer, the same that claims a slot.
        session: the ordinal of the session whose result was POSTed: its token's hash
            begins with it.
        told: whether that result is at hand without the row.
    """
    step, following = view.step, view.following
    if step is None:
        return Ruling(outcome=Replied.CLOSED)
    if answer_hash in {step.reply_hash, following.answer_hash if following else None}:
        return Ruling(outcome=Replied.REPEATED)
    if step.reply_hash is not None or _goes_on(following):
        return Ruling(outcome=Replied.RIVAL)
    if following is not None or not view.chain.takes(slot):
        return Ruling(outcome=Replied.CLOSED)
    if not told and not _holds_result(step, session):
        return Ruling(outcome=Replied.UNPROVED)
    taken = replace(step, reply_hash=answer_hash)
    return Ruling(outcome=Replied.TAKEN, steps=(taken,))


def _goes_on(following: Step | None) -> bool:
    return following is not None and following.state is not StepState.END


def _holds_result(step: Step, session: str) -> bool:
    """Whether the row has the result of this very session of the step (rule H3)."""
    own = step.token_hash is not None and step.token_hash.startswith(session)
    return own and step.sealed_result is not None
