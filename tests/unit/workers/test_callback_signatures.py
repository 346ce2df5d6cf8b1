"""Webhook signatures of what the callback worker POSTs (Standard Webhooks)."""

from __future__ import annotations

import base64
from dataclasses import replace

import jwt
from standardwebhooks import Webhook

from orchestrator.callbacks import open_signer
from orchestrator.domain.webhooks import read_webhook_secret
from orchestrator.ports import utc_now
from tests.support.fakes import FakeCaller
from tests.support.jwts import rsa_key
from tests.support.parts import Pauses
from tests.support.samples import delivery
from tests.support.workshop import Workshop
from tests.unit.workers.posting import SLOT, TOKEN, answered, post

SECRET = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"


async def test_what_is_posted_is_what_was_signed(workshop: Workshop) -> None:
    """The body, id and time of the attempt, for the requestor whose chain it is."""
    workshop.signer.webhooks = {"acme"}
    work = workshop.callback(SLOT, TOKEN)
    caller, _ = await post(workshop, work, answered(204))
    (sent,) = caller.posts
    ((webhook_id, body, now),) = workshop.signer.posted
    assert sent.headers["webhook-signature"] == "v1,1"
    assert (sent.headers["webhook-id"], sent.body) == (webhook_id, body)
    assert sent.headers["webhook-timestamp"] == str(int(now.timestamp()))


async def test_without_secrets_there_is_no_signature(workshop: Workshop) -> None:
    """Another requestor's are not used."""
    workshop.signer.webhooks = {"shop"}
    caller, _ = await post(workshop, workshop.callback(SLOT, TOKEN), answered(204))
    assert "webhook-signature" not in caller.posts[0].headers


async def test_each_attempt_is_signed_afresh(workshop: Workshop) -> None:
    """The id stays (G3), the time is that of the attempt, and each is a span."""
    workshop.signer.webhooks = {"acme"}
    work = workshop.callback(SLOT, TOKEN, waited_s=3.5)
    replies = [answered(500), answered(500), answered(500), answered(204)]
    caller, _ = await post(workshop, work, *replies)
    signed = [sent.headers["webhook-signature"] for sent in caller.posts]
    assert signed == ["v1,1", "v1,2", "v1,3", "v1,4"]
    assert {sent.headers["webhook-id"] for sent in caller.posts} == {work.id}
    assert len({sent.headers["webhook-timestamp"] for sent in caller.posts}) > 1
    traces = [sent.headers["traceparent"].split("-") for sent in caller.posts]
    assert len({trace for _, trace, _, _ in traces}) == 1
    assert len({span for _, _, span, _ in traces}) == 4


async def test_a_receiver_needs_no_jwt_to_verify(workshop: Workshop) -> None:
    """Its Standard Webhooks library takes body and headers as they come, JWT or JSON."""
    key, webhooks = rsa_key("us"), {"acme": [read_webhook_secret(SECRET)]}
    for signing in (key, None):
        async with open_signer(signing, webhooks=webhooks) as signer:
            caller = FakeCaller([answered(204)])
            worker = workshop.callback_worker(caller, Pauses(workshop.clock))
            worker = replace(worker, signer=signer, clock=utc_now)
            await worker(delivery(workshop.callback(SLOT, TOKEN)))
        (sent,) = caller.posts
        headers = dict(sent.headers)
        parsed = Webhook(SECRET).verify(sent.body, headers, json_parse=not signing)
        if signing:
            parsed = jwt.decode(sent.body, key.public_key(), algorithms=["RS256"])
        assert parsed["token"] == TOKEN
