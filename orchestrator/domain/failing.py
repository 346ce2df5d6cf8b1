"""What is kept of a chain's failure, to be found by what it has in common with others.

A failure is written in the transaction that ends the chain, from what is decided there:
the chain's end says why in words of ours, and those words say which kind of failure it is
and which status was answered. Nothing in it is secret.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from orchestrator.domain.chain import Slot, StepState
from orchestrator.domain.generations import Again, again
from orchestrator.domain.operating import CANCELLED
from orchestrator.domain.ruling import Outcome, Ruling, preceding
from schemas.messages import End

if TYPE_CHECKING:
    from orchestrator.domain.chain import Step, View


class FailureKind(StrEnum):
    """What failed, and so what a replay does anew."""

    #: A result was not answered well: it is POSTed again.
    CALLBACK = "callback"
    #: The backend refused a session: it is started again.
    START = "start"
    #: A session that nobody came for, or that could not be started in time: as above.
    EXPIRED = "expired"


class FailureReason(StrEnum):
    """Why a chain failed, in classes that failures are grouped and chosen by."""

    NO_ANSWER = "no-answer"
    STATUS = "status"
    UNEXPECTED_STATUS = "unexpected-status"
    REDIRECT = "redirect"
    ABORTED = "aborted"
    ANSWER_TOO_LONG = "answer-too-long"
    DESTINATION = "destination"
    INVALID_ANSWER = "invalid-answer"
    NOT_AUTHORIZED = "not-authorized"
    CHAIN_LIMIT = "chain-limit"
    NO_LATER_ANSWER = "no-later-answer"
    CANCELLED = "cancelled"
    NOT_STARTED = "not-started"
    EXPIRED = "expired"
    OTHER = "other"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One generation of a chain that has failed or expired.

    Attributes:
        slot: the session it failed at.
        endpoint: the origin that was asked, of a callback.
        reason: the class of `text`.
        text: why, in words, as the chain's row has it.
        status: what the endpoint answered at last, if it did.
    """

    slot: Slot
    requestor: str
    kind: FailureKind
    reason: FailureReason
    text: str | None = None
    endpoint: str | None = None
    status: int | None = None
    failed_at: datetime


@dataclass(frozen=True, kw_only=True)
class FailureFilter:
    """Which failures are meant; what is None does not matter.

    `since` and `until` are the first moment and the moment after the last.
    """

    requestor: str | None = None
    endpoint: str | None = None
    reason: FailureReason | None = None
    status: int | None = None
    step: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    chain_ids: tuple[str, ...] | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self == FailureFilter()


@dataclass(frozen=True, kw_only=True)
class FailureGroup:
    """Failures that have reason, endpoint and status in common.

    Attributes:
        open: how many can be replayed.
        purged: how many not any more, as their results were deleted.
        claimed: how many are in another replay.
        refused: how many were claimed by one that could not replay them.
        handled: how many were given up.
    """

    reason: FailureReason
    endpoint: str | None
    status: int | None
    open: int
    purged: int
    claimed: int
    refused: int
    handled: int
    first_at: datetime
    last_at: datetime


#: The texts are those of `delivery`, `claiming`, `handover` and the workers; a test makes
#: each of them where it is made.
_BY_TEXT: Final = (
    (re.compile(r"given up after \d+ attempts: status"), FailureReason.STATUS),
    (re.compile(r"given up after \d+ attempts: no answer"), FailureReason.NO_ANSWER),
    (re.compile(r"unexpected status"), FailureReason.UNEXPECTED_STATUS),
    (re.compile(r"redirects are not followed"), FailureReason.REDIRECT),
    (re.compile(r"the endpoint has aborted"), FailureReason.ABORTED),
    (re.compile(r"the answer is longer"), FailureReason.ANSWER_TOO_LONG),
    (re.compile(r"the destination is not allowed"), FailureReason.DESTINATION),
    (re.compile(r"the URL cannot be called"), FailureReason.DESTINATION),
    (re.compile(r"the answer is no session request"), FailureReason.INVALID_ANSWER),
    (re.compile(r"next session not authorized"), FailureReason.NOT_AUTHORIZED),
    (re.compile(r"the chain (is longer|is older|has made)"), FailureReason.CHAIN_LIMIT),
    (re.compile(r"the endpoint answered 202"), FailureReason.NO_LATER_ANSWER),
    (re.compile(re.escape(CANCELLED)), FailureReason.CANCELLED),
)
_STATUS: Final = re.compile(r"(?:status|answered) (\d{3})\b")

#: Only with 200 an endpoint says what follows, so what it says can be wrong.
_OK: Final = 200
_SAID: Final = frozenset(
    {
        FailureReason.INVALID_ANSWER,
        FailureReason.NOT_AUTHORIZED,
        FailureReason.CHAIN_LIMIT,
    }
)


def failure_of(view: View, ruling: Ruling[Outcome]) -> Failure | None:
    """The failure that a ruling ends its chain with; None of every other ruling.

    Nor of a chain in which nothing can be done anew: what a user has cancelled or proved
    wrongly is no failure of anybody's.
    """
    ending, end = ruling.ending, ruling.chain
    if ending is None or end is None or ending.end not in {End.FAILED, End.EXPIRED}:
        return None
    row = _last(view, ruling)
    kind = _kind(row) if row is not None else None
    if row is None or kind is None:
        return None
    called = kind is FailureKind.CALLBACK
    reason, status = classified(kind, ending.reason)
    return Failure(
        slot=row.slot,
        requestor=view.chain.requestor,
        kind=kind,
        reason=reason,
        text=ending.reason,
        endpoint=ending.endpoint if called else None,
        status=status,
        failed_at=view.now,
    )


def classified(kind: FailureKind, text: str | None) -> tuple[FailureReason, int | None]:
    """The class of a reason in words, and the status that it tells of."""
    if kind is FailureKind.START:
        return FailureReason.NOT_STARTED, None
    if kind is FailureKind.EXPIRED:
        return FailureReason.EXPIRED, None
    said = text or ""
    for pattern, reason in _BY_TEXT:
        if pattern.match(said):
            found = _STATUS.search(said) if reason not in _SAID else None
            status = int(found[1]) if found else None
            return reason, _OK if reason in _SAID else status
    return FailureReason.OTHER, None


def _kind(row: Step) -> FailureKind | None:
    what = again(row)
    if what is None:
        return None
    if what is Again.CALLBACK:
        return FailureKind.CALLBACK
    return FailureKind.START if row.state is StepState.FAILED else FailureKind.EXPIRED


def _last(view: View, ruling: Ruling[Outcome]) -> Step | None:
    """The chain's last session, as the ruling leaves it."""
    rows = {row.slot: row for row in (view.step, *ruling.steps) if row is not None}
    ends = [slot for slot, row in rows.items() if row.state is StepState.END]
    return rows.get(preceding(ends[0])) if ends else None
