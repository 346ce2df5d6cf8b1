"""Makes a session request ready for its backend: our URLs in, the integrator's sealed.

The capability URLs hold all that the gateway needs to take in a result (DESIGN §3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from urllib.parse import urlsplit

from orchestrator.domain.chain import Slot
from orchestrator.sealing import Sealer
from schemas.capabilities import Capability
from schemas.irma import VALIDITY_DEFAULT_S, SessionRequest
from schemas.messages import CallbackWork

#: A callback may come as late as the chain may live, and the backend's own delays.
SLACK: Final = timedelta(hours=1)


#: A longer one would not fit into the line of our own URL that it is sealed into.
URL_CHARS_MAX: Final = 30_000


def unfit(request: SessionRequest) -> str | None:
    """Why a request cannot be prepared, by field or in the IRMA server's words, or None.

    An empty URL, which leads nowhere, would be none to who prepares it (trap T14).
    """
    target = request.next_session.url if request.next_session else None
    if target == "":
        return "nextSession provided with empty URL"
    for field, url in {
        "nextSession.url": target,
        "callbackUrl": request.callback_url,
    }.items():
        if url is not None and len(url) > URL_CHARS_MAX:
            return f"{field}: longer than {URL_CHARS_MAX} characters"
    return None


def unaugmentable(request: SessionRequest, *, enabled: bool) -> str | None:
    """Why a request may not have its `clientReturnUrl` augmented, or None.

    The reasons are the IRMA server's own words (reference irma.md §2.2).

    Args:
        request: the request.
        enabled: the option `augment_client_return_url`.
    """
    plain = request.request
    if not plain.augment_return_url:
        return None
    if not enabled:
        return "augmenting client return url not enabled in server configuration"
    return None if plain.client_return_url else "cannot augment empty client return url"


def page_url(sealer: Sealer, base_url: str, chain_id: str) -> str:
    """The address of a chain's page: whoever knows it is the chain's user."""
    return f"{base_url.rstrip('/')}/page/{sealer.page_token(chain_id)}"


def reply_url(
    sealer: Sealer,
    base_url: str,
    work: CallbackWork,
    *,
    session: str,
    until: datetime,
) -> str:
    """The address to which an endpoint may send its answer to this attempt later on.

    Args:
        sealer: seals it.
        base_url: where the gateway is reached.
        work: the callback, with the number of the attempt.
        session: the ordinal of the session whose result is POSTed.
        until: when it expires.
    """
    capability = Capability(
        kind="reply",
        chain_id=work.chain_id,
        step=work.step,
        generation=work.generation,
        requestor=work.requestor,
        validity_s=work.validity_s,
        expires_at=math.ceil(until.timestamp()),
        session=session,
        attempt=work.attempt,
    )
    return f"{base_url.rstrip('/')}/reply/{sealer.seal_capability(capability)}"


def web_url(url: str | None) -> str | None:
    """A URL that a browser may be sent on to: http or https with a host, else None."""
    if url is None or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in {"http", "https"} and parts.hostname else None


@dataclass(frozen=True, kw_only=True)
class Preparer:
    """Puts our bridge and callback URLs into session requests.

    With `augment_chain_page` the app returns to the chain's page, which goes on to the
    integrator's own `clientReturnUrl` when the chain is over.
    """

    sealer: Sealer
    base_url: str
    wall_time: timedelta
    augment_chain_page: bool = False

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
            callback=url("callback", None),
        )
        prepared = self._returning(prepared, slot)
        return prepared.model_copy(update={"validity": VALIDITY_DEFAULT_S})

    def _returning(self, request: SessionRequest, slot: Slot) -> SessionRequest:
        """The page in place of a `clientReturnUrl` that a page can go on to.

        Where there is none the app shall open nothing, as the integrator asked: it would
        open the page on a phone that has only scanned a QR. What is no web address, e.g.
        `tel:`, is for the app alone.
        """
        if not self.augment_chain_page or not web_url(request.request.client_return_url):
            return request
        page = page_url(self.sealer, self.base_url, slot.chain_id)
        return request.with_client_return_url(page)
