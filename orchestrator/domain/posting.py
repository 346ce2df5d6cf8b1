"""How a result looks when it is POSTed: as the IRMA server's, with headers added.

Source: reference irma.md §7.2, §8; Standard Webhooks 1.0.0; DESIGN §7.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from orchestrator.domain.chain import Slot
from schemas.irma import SessionResult

JWT_TYPE: Final = "text/plain; charset=UTF-8"
JSON_TYPE: Final = "application/json; charset=UTF-8"


def body_of(result: SessionResult, jwt: str | None) -> tuple[bytes, str]:
    """The body and its content type: the JWT where there is a key, else JSON."""
    if jwt is not None:
        return jwt.encode(), JWT_TYPE
    text = json.dumps(result.to_wire(), separators=(",", ":"), ensure_ascii=False)
    return text.encode(), JSON_TYPE


def headers_of(webhook_id: str, slot: Slot, now: datetime) -> Mapping[str, str]:
    """The headers nobody has to read: the id is the same in every attempt (G3)."""
    return {
        "User-Agent": "irmago",
        "Accept-Encoding": "gzip",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "Chain-Id": slot.chain_id,
        "Chain-Step": str(slot.step),
    }
