"""What is POSTed looks like the IRMA server's."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from orchestrator.domain.chain import Slot
from orchestrator.domain.posting import body_of, headers_of
from schemas.irma import session_result_from

FIELDS = {
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
    body = body_of(session_result_from(FIELDS), "a.b.c")
    assert body == (b"a.b.c", "text/plain; charset=UTF-8")


def test_without_a_key_the_result_is_posted_as_it_came() -> None:
    """Nothing is added to the result's JSON and nothing left out."""
    body, content_type = body_of(session_result_from(FIELDS), None)
    assert content_type == "application/json; charset=UTF-8"
    assert json.loads(body) == FIELDS


def test_letters_beyond_ascii_are_posted_as_they_are() -> None:
    """The JSON is UTF-8, as the content type says and an IRMA server writes it."""
    body, _ = body_of(session_result_from(FIELDS), None)
    assert "Zoë".encode() in body


def test_headers_name_the_callback_and_the_attempt() -> None:
    """The id and the place in the chain are told, and when this attempt was made."""
    now = datetime(2026, 1, 2, 3, 4, 5, 999_999, tzinfo=UTC)
    headers = headers_of("01J-2-0-callback", Slot(chain_id="01J", step=2), now)
    assert headers == {
        "User-Agent": "irmago",
        "Accept-Encoding": "gzip",
        "webhook-id": "01J-2-0-callback",
        "webhook-timestamp": "1767323045",
        "Chain-Id": "01J",
        "Chain-Step": "2",
    }
