"""Receives a requestor's events at a URL of its own, with aiohttp.

WEBHOOK_SECRET=whsec_... python receive_events.py 8080

It verifies the signature (Standard Webhooks 1.0.0), passes over what it has seen, and
handles the events of each chain in their order.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web

#: A signature that is older may have been recorded.
AGE_MAX_S = 300

Event = dict[str, Any]

#: Yours are tables: by chain, the next `sequence`, and what came before its turn.
expected: dict[str, int] = {}
early: dict[str, dict[int, Event]] = {}


def handle(event: Event) -> None:
    """What is to be done about an event; here they come in order, each once."""
    print(json.dumps(event), flush=True)


def verified(given: Mapping[str, str], body: bytes) -> bool:
    """Whether we know the secret that has signed this, and it was just now."""
    at = given.get("webhook-timestamp", "")
    if not at.isdecimal() or abs(time.time() - int(at)) > AGE_MAX_S:
        return False
    secret = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
    signed = f"{given.get('webhook-id', '')}.{at}.".encode() + body
    digest = hmac.new(secret, signed, hashlib.sha256).digest()
    ours = f"v1,{base64.b64encode(digest).decode()}"
    theirs = given.get("webhook-signature", "").split()
    return any(hmac.compare_digest(ours.encode(), one.encode()) for one in theirs)


def take(event: Event) -> None:
    """Handle what is next in its chain, and keep what is too early for that."""
    chain = event["subject"]
    early.setdefault(chain, {})[event["sequence"]] = event
    following = expected.setdefault(chain, 1)
    while (found := early[chain].pop(following, None)) is not None:
        handle(found)
        following += 1
    expected[chain] = following
    for number in [one for one in early[chain] if one < following]:
        del early[chain][number]  # it was handled before


async def receive(request: web.Request) -> web.Response:
    """One event."""
    body = await request.read()
    if not verified(request.headers, body):
        return web.Response(status=401)
    take(json.loads(body))
    return web.Response(status=204)


if __name__ == "__main__":
    app = web.Application()
    app.router.add_post("/{path:.*}", receive)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
