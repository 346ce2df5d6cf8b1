"""What is POSTed looks like the IRMA server's."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

from orchestrator.domain.chain import Slot
from orchestrator.domain.posting import body_of, headers_of, traceparent_of
from schemas.irma import JsonObject

FIELDS: JsonObject = {
    "token": "Ht5cJ0pWq7ZbXk2mNv8R",
    "status": "CONNECTED",
    "type": "disclosing",
    "proofStatus": "VALID",
    "disclosed": [
        [
            {
                "rawvalue": "Zoë",
                "value": {"": "Zoë", "en": "Zoë", "nl": "Zoë"},
                "id": "irma-demo.MijnOverheid.fullName.firstname",
                "status": "PRESENT",
                "issuancetime": 1792627200,
            }
        ],
        [],
    ],
}


def test_with_a_key_the_jwt_is_posted() -> None:
    """The JWT goes out as plain text, as an IRMA server with a key sends it."""
    body = body_of(FIELDS, "a.b.c")
    assert body == (b"a.b.c", "text/plain; charset=UTF-8")


def test_without_a_key_the_result_is_posted_as_it_came() -> None:
    """Nothing is added to the result's JSON and nothing left out."""
    body, content_type = body_of(FIELDS, None)
    assert content_type == "application/json; charset=UTF-8"
    assert json.loads(body) == FIELDS


def test_letters_beyond_ascii_are_posted_as_they_are() -> None:
    """The JSON is UTF-8, as the content type says and an IRMA server writes it."""
    body, _ = body_of(FIELDS, None)
    assert "Zoë".encode() in body


NOW = datetime(2026, 1, 2, 3, 4, 5, 999_999, tzinfo=UTC)
SLOT = Slot(chain_id="01J", step=2)
ID = "01J-2-0-callback"


def test_headers_name_the_callback_and_the_attempt() -> None:
    """The id and the place in the chain are told, and when this attempt was made."""
    headers = headers_of(ID, SLOT, NOW, attempt=1)
    assert headers == {
        "User-Agent": "irmago",
        "Accept-Encoding": "gzip",
        "webhook-id": "01J-2-0-callback",
        "webhook-timestamp": "1767323045",
        "Chain-Id": "01J",
        "Chain-Step": "2",
        "traceparent": traceparent_of("01J", ID, 1),
    }


def test_a_signature_is_one_more_header() -> None:
    """Nothing else changes by it."""
    plain = headers_of(ID, SLOT, NOW, attempt=1)
    signed = headers_of(ID, SLOT, NOW, attempt=1, signature="v1,abc")
    assert signed == {**plain, "webhook-signature": "v1,abc"}


def test_a_chain_is_one_trace_with_a_span_for_each_attempt() -> None:
    """Whoever makes the attempt; another chain is another trace (W3C Trace Context)."""
    first, again, second, step, other = (
        traceparent_of("01J", ID, 1),
        traceparent_of("01J", ID, 1),
        traceparent_of("01J", ID, 2),
        traceparent_of("01J", "01J-3-0-callback", 1),
        traceparent_of("01K", ID, 1),
    )
    form = r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-01"
    for one in (first, second, step, other):
        assert re.fullmatch(form, one)
    assert first == again
    traces = [one.split("-")[1] for one in (first, second, step, other)]
    assert traces[0] == traces[1] == traces[2] != traces[3]
    assert len({one.split("-")[2] for one in (first, second, step)}) == 3


def test_headers_name_where_a_later_answer_is_taken() -> None:
    """If there is such a place."""
    url = "https://chains.example/reply/x"
    headers = headers_of(ID, SLOT, NOW, attempt=1, reply_to=url)
    assert headers["Chain-Reply-To"] == url
