"""Requests, results and messages to work with, filled in where a test does not care."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import JsonValue

from orchestrator.domain.permissions import ANONYMOUS, Permissions, Requestor
from orchestrator.domain.requestors import Requestors
from orchestrator.ports import BatchDelivery, Delivery, Message
from schemas.irma import JsonObject, SessionResult, session_result_from
from schemas.messages import Work, dump

NOW: Final = datetime(2026, 3, 29, 0, 59, 58, tzinfo=UTC)

FULLNAME: Final = "irma-demo.gemeente.personalData.fullname"
MEMBER: Final = "irma-demo.IRMATube.member"
SECRET: Final = "the-requestors-secret"
TARGET: Final = "https://shop.example/next/MARKER?x=1"
CALLBACK: Final = "https://shop.example/told/MARKER"
PUBLIC_URL: Final = "https://chains.example"
LIFETIME: Final = timedelta(minutes=15)
WALL_TIME: Final = timedelta(days=7)
RESULTS_KEPT: Final = timedelta(days=7)

DISCLOSURE: Final = "https://irma.app/ld/request/disclosure/v2"
ISSUANCE: Final = "https://irma.app/ld/request/issuance/v2"


def requestors() -> Requestors:
    """One requestor that may do everything but issue, and IRMA's nobody."""
    return Requestors(
        by_key={
            "acme": Requestor(
                name="Acme", key="acme", issue_perms=("irma-demo.IRMATube.*",)
            ),
            ANONYMOUS: Requestor(name="", key=ANONYMOUS),
        },
        permissions=Permissions(disclose_perms=("irma-demo.*",), issue_perms=()),
        default_host="irma.example",
    )


def disclosure(next_url: str | None = None, **extended: JsonValue) -> JsonObject:
    """A request for the user's full name, chained if there is a URL."""
    plain: JsonObject = {"@context": DISCLOSURE, "disclose": [[[FULLNAME]]]}
    request: JsonObject = {"request": plain, **extended}
    if next_url is not None:
        request["nextSession"] = {"url": next_url}
    return request


def issuance(next_url: str | None = None) -> JsonObject:
    """The issuance of a membership, chained if there is a URL."""
    credential: JsonObject = {
        "credential": MEMBER,
        "attributes": {"fullname": "MARKER", "type": "premium", "id": "1"},
    }
    plain: JsonObject = {"@context": ISSUANCE, "credentials": [credential]}
    request: JsonObject = {"request": plain}
    if next_url is not None:
        request["nextSession"] = {"url": next_url}
    return request


def result_of(
    token: str, status: str = "CONNECTED", proof: str | None = "VALID", **more: JsonValue
) -> SessionResult:
    """What comes out of a disclosure of the full name."""
    fields: JsonObject = {"token": token, "status": status, "type": "disclosing", **more}
    if proof is not None:
        fields["proofStatus"] = proof
        fields["disclosed"] = [
            [{"rawvalue": "MARKER", "value": None, "id": FULLNAME, "status": "PRESENT"}]
        ]
    return session_result_from(fields)


def wire(result: SessionResult) -> bytes:
    """A result as the IRMA server POSTs it without a key."""
    return json.dumps(result.to_wire()).encode()


def delivery(message: Work | Message | bytes) -> Delivery:
    """A message in a worker's hand."""
    body = message if isinstance(message, bytes) else _body(message)
    return Delivery(body=body, message_id="m1", headers={}, redelivered=False)


def batch(*bodies: bytes, waited_s: Sequence[float] = ()) -> list[BatchDelivery]:
    """A batch in the history worker's hand."""
    waits = [*waited_s, *[0.0] * len(bodies)]
    return [
        BatchDelivery(
            body=body, message_id=f"m{n}", headers={}, redelivered=False, waited_s=wait
        )
        for n, (body, wait) in enumerate(zip(bodies, waits, strict=False))
    ]


def _body(message: Work | Message) -> bytes:
    return message.body if isinstance(message, Message) else dump(message)
