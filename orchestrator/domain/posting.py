"""How a result looks when it is POSTed: as the IRMA server's, with headers added.

Source: reference irma.md §7.2, §8; Standard Webhooks 1.0.0; W3C Trace Context; DESIGN §7.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Final

from orchestrator.domain.chain import Slot
from orchestrator.domain.webhooks import timestamp_of
from schemas.irma import JsonObject

JWT_TYPE: Final = "text/plain; charset=UTF-8"
JSON_TYPE: Final = "application/json; charset=UTF-8"

#: Results come as from an IRMA server; events are our own.
EVENT_AGENT: Final = "session-chain-orchestrator"

#: Lengths in `traceparent` (W3C Trace Context §3.2.2).
_TRACE_ID_DIGITS: Final = 32
_SPAN_ID_DIGITS: Final = 16


def body_of(result: JsonObject, jwt: str | None) -> tuple[bytes, str]:
    """The body and its content type: the JWT where there is a key, else JSON."""
    if jwt is not None:
        return jwt.encode(), JWT_TYPE
    text = json.dumps(result, separators=(",", ":"), ensure_ascii=False)
    return text.encode(), JSON_TYPE


def headers_of(
    webhook_id: str,
    slot: Slot,
    now: datetime,
    *,
    attempt: int,
    signature: str | None = None,
    reply_to: str | None = None,
) -> Mapping[str, str]:
    """The headers nobody has to read.

    Args:
        webhook_id: the same in every attempt (G3).
        slot: the place in the chain that the result belongs to.
        now: when this attempt is made.
        attempt: its number.
        signature: what the requestor's secrets made of id, time and body.
        reply_to: where a later answer may be sent to.
    """
    headers = {
        "User-Agent": "irmago",
        "Accept-Encoding": "gzip",
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp_of(now),
        "Chain-Id": slot.chain_id,
        "Chain-Step": str(slot.step),
        "traceparent": traceparent_of(slot.chain_id, webhook_id, attempt),
    }
    given = {"webhook-signature": signature, "Chain-Reply-To": reply_to}
    return headers | {name: text for name, text in given.items() if text is not None}


def traceparent_of(chain_id: str, name: str, attempt: int = 0) -> str:
    """One trace for the chain, one span for the attempt or event, whoever makes it.

    It counts as sampled, for every attempt is in the chain's history; without that a
    receiver's tracing, which follows its caller's choice, would leave these calls out.
    """
    trace_id = sha256(chain_id.encode()).hexdigest()[:_TRACE_ID_DIGITS]
    span = sha256(f"{name}.{attempt}".encode())
    return f"00-{trace_id}-{span.hexdigest()[:_SPAN_ID_DIGITS]}-01"


def event_headers_of(
    event_id: str,
    slot: Slot,
    now: datetime,
    *,
    attempt: int,
    signature: str | None = None,
) -> Mapping[str, str]:
    """Those of an event on its way to its requestor's own URL; its id is the webhook's.

    Args:
        event_id: the same in every attempt.
        slot: the place in the chain that the event belongs to.
        now: when this attempt is made.
        attempt: its number.
        signature: what the requestor's secrets made of id, time and body.
    """
    common = headers_of(event_id, slot, now, attempt=attempt, signature=signature)
    return {**common, "User-Agent": EVENT_AGENT}
