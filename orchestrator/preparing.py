"""Makes a session request ready for its backend: our URLs in, the integrator's sealed.

The capability URLs hold all that the gateway needs to take in a result (DESIGN §3).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from orchestrator.domain.chain import Slot
from orchestrator.sealing import Sealer
from schemas.capabilities import Capability
from schemas.irma import VALIDITY_DEFAULT_S, SessionRequest

#: A callback may come as late as the chain may live, and the backend's own delays.
SLACK: Final = timedelta(hours=1)


#: A longer one would not fit into the line of our own URL that it is sealed into.
URL_CHARS_MAX: Final = 30_000


def unfit(request: SessionRequest) -> str | None:
    """Why a request cannot be prepared, by field, or None."""
    target = request.next_session.url if request.next_session else None
    for field, url in {
        "nextSession.url": target,
        "callbackUrl": request.callback_url,
    }.items():
        if url is not None and len(url) > URL_CHARS_MAX:
            return f"{field}: longer than {URL_CHARS_MAX} characters"
    return None


@dataclass(frozen=True, kw_only=True)
class Preparer:
    """Puts our bridge and callback URLs into session requests."""

    sealer: Sealer
    base_url: str
    wall_time: timedelta

    def prepared(
        self, request: SessionRequest, slot: Slot, requestor: str, now: datetime
    ) -> SessionRequest:
        """The request as the backend gets it; it has a bridge only if it is chained.

        How long result JWTs hold is the integrator's wish for ours; those that the
        backend posts to us hold for IRMA's own time, or a tiny one would shut us out.
        """
        target = request.next_session.url if request.next_session else None

        def url(kind: Literal["bridge", "callback"], aim: str | None) -> str:
            capability = Capability(
                kind=kind,
                chain_id=slot.chain_id,
                step=slot.step,
                generation=slot.generation,
                requestor=requestor,
                validity_s=request.validity,
                expires_at=int((now + self.wall_time + SLACK).timestamp()),
                target=aim,
            )
            sealed = self.sealer.seal_capability(capability)
            return f"{self.base_url.rstrip('/')}/{kind}/{sealed}"

        prepared = request.with_urls(
            next_session=url("bridge", target) if target else None,
            callback=url("callback", request.callback_url),
        )
        return prepared.model_copy(update={"validity": VALIDITY_DEFAULT_S})
