"""What another endpoint would have decided, beside what the old one has.

Both are told in the same words: the class of a failure and the status it tells of, or
what an endpoint can say instead. An answer that would only be tried again counts as the
failure that it would be if it stayed like that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.domain.delivery import (
    Answer,
    Decision,
    Ended,
    GiveUp,
    Later,
    Next,
    Reply,
    RetryLater,
    RetryLive,
)
from orchestrator.domain.failing import (
    Failure,
    FailureKind,
    FailureReason,
    classified,
)
from schemas.irma import (
    InvalidSessionRequest,
    SessionRequest,
    parse_session_request,
)

_OK = 200


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of a callback, or would have."""

    what: str
    status: int | None = None

    def __str__(self) -> str:
        return self.what if self.status is None else f"{self.what} {self.status}"


#: What an endpoint says that is no failure.
COMPLETED = Verdict(what="completed")
LATER = Verdict(what="later")


def was(failure: Failure) -> Verdict:
    """What has been decided."""
    return Verdict(what=failure.reason, status=failure.status)


def would_be(
    decision: Decision, reply: Reply, refuses: Callable[[SessionRequest], str | None]
) -> Verdict:
    """What a reply would decide.

    Args:
        decision: by the table of deliveries.
        reply: what came back.
        refuses: why the chain may not go on with a session, or None.
    """
    match decision:
        case Ended():
            return COMPLETED
        case Later():
            return LATER
        case Next(body=body):
            return _next(body, refuses)
        case GiveUp(reason=reason):
            return _failed(reason)
        case RetryLive() | RetryLater():
            if isinstance(reply, Answer):
                return Verdict(what=FailureReason.STATUS, status=reply.status)
            return Verdict(what=FailureReason.NO_ANSWER)


def _next(body: bytes, refuses: Callable[[SessionRequest], str | None]) -> Verdict:
    try:
        request = parse_session_request(body)
    except InvalidSessionRequest:
        return Verdict(what=FailureReason.INVALID_ANSWER, status=_OK)
    if (refusal := refuses(request)) is not None:
        return _failed(refusal)
    return Verdict(what=f"next: {request.type}")


def _failed(reason: str) -> Verdict:
    what, status = classified(FailureKind.CALLBACK, reason)
    return Verdict(what=what, status=status)
