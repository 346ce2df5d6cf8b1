"""Whether a chain may go on with the session that its endpoint asks for."""

from __future__ import annotations

from typing import Final

from orchestrator.domain.requestors import Requestors
from orchestrator.preparing import unaugmentable, unfit
from schemas.irma import SessionRequest

#: What an endpoint answered may be quoted in a reason, but not at any length.
REASON_MAX: Final = 500


def refusal_of(
    requestors: Requestors, requestor: str, request: SessionRequest, *, augment: bool
) -> str | None:
    """Why this request may not follow, or None.

    Args:
        requestors: those there are, and what each may ask for.
        requestor: the key of the one whose chain it is.
        request: what the endpoint asks for.
        augment: the option `augment_client_return_url`.
    """
    reason = unfit(request) or unaugmentable(request, enabled=augment)
    if reason is not None:
        return reason
    refusal = requestors.refusal(requestor, request)
    if refusal is None:
        return None
    return f"next session not authorized: {refusal.reason}"[:REASON_MAX]
