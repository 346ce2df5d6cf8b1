"""Webhook secrets and what they sign (Standard Webhooks 1.0.0)."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from orchestrator.domain.chain import Slot
from orchestrator.domain.errors import NotConfigured
from orchestrator.domain.posting import headers_of
from orchestrator.domain.webhooks import read_webhook_secret, webhook_signature

EDWARDS = Ed25519PrivateKey.generate()
SEED = EDWARDS.private_bytes_raw()
PUBLIC = EDWARDS.public_key().public_bytes_raw()
BODY = '{"token":"Ht5cJ0pWq7ZbXk2mNv8R","name":"Zoë"}'.encode()
ID = "01J-2-0-session_completed-0"


def whsec(secret: bytes) -> str:
    """An HMAC secret as text."""
    return f"whsec_{base64.b64encode(secret).decode()}"


def whsk(key: bytes) -> str:
    """An ed25519 key as text."""
    return f"whsk_{base64.b64encode(key).decode()}"


def posted(*texts: str, now: datetime, body: bytes = BODY) -> dict[str, str]:
    """The headers of a body that these secrets have signed."""
    secrets = [read_webhook_secret(text) for text in texts]
    signature = webhook_signature(secrets, webhook_id=ID, body=body, now=now)
    slot = Slot(chain_id="01J", step=2)
    return dict(headers_of(ID, slot, now, attempt=1, signature=signature))


OLD, NEW, FOREIGN = (whsec(bytes([n]) * 32) for n in range(3))


@pytest.mark.parametrize("text", [OLD, NEW])
def test_the_receivers_library_verifies_with_either_secret(text: str) -> None:
    """While a secret is changed both sign, next to an ed25519 key that it passes over."""
    headers = posted(whsk(SEED), OLD, NEW, now=datetime.now(UTC))
    fields = Webhook(text).verify(BODY, headers)
    assert fields["name"] == "Zoë"


def test_the_receivers_library_refuses_what_is_not_ours() -> None:
    """Another secret, another body, another id, or a time that is over."""
    now = datetime.now(UTC)
    headers = posted(OLD, now=now)
    late = posted(OLD, now=now - timedelta(minutes=6))
    for text, body, sent in (
        (FOREIGN, BODY, headers),
        (OLD, BODY + b" ", headers),
        (OLD, BODY, headers | {"webhook-id": "01J-3"}),
        (OLD, BODY, headers | {"webhook-timestamp": str(int(now.timestamp()) + 1)}),
        (OLD, BODY, late),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(text).verify(body, sent)


@given(
    secret=st.binary(min_size=24, max_size=64),
    body=st.text(st.characters(exclude_categories=["Cs"])),
)
def test_every_secret_signs_every_text(secret: bytes, body: str) -> None:
    """The library verifies it, whatever the bytes are."""
    data = body.encode()
    headers = posted(whsec(secret), now=datetime.now(UTC), body=data)
    Webhook(whsec(secret)).verify(data, headers, json_parse=False)


@pytest.mark.parametrize("key", [SEED, SEED + PUBLIC], ids=["alone", "with its half"])
def test_an_ed25519_signature_verifies_with_the_public_half(key: bytes) -> None:
    """It is made over `id.timestamp.body` too and says `v1a`."""
    headers = posted(whsk(key), now=datetime.fromtimestamp(1767323045, UTC))
    version, signature = headers["webhook-signature"].split(",")
    assert version == "v1a"
    content = f"{ID}.1767323045.".encode() + BODY
    EDWARDS.public_key().verify(base64.b64decode(signature), content)


def test_each_secret_signs_once() -> None:
    """Signatures stand in the order of the secrets, with a space between."""
    headers = posted(OLD, whsk(SEED), NEW, now=datetime.now(UTC))
    signatures = headers["webhook-signature"].split(" ")
    assert [one.split(",")[0] for one in signatures] == ["v1", "v1a", "v1"]
    assert len(set(signatures)) == 3


def test_a_later_attempt_is_signed_afresh() -> None:
    """The id stays (G3), the time does not, and so neither does the signature."""
    now = datetime.now(UTC)
    first, second = (posted(OLD, now=now - timedelta(seconds=s)) for s in (60, 0))
    assert first["webhook-id"] == second["webhook-id"]
    assert first["webhook-timestamp"] != second["webhook-timestamp"]
    assert first["webhook-signature"] != second["webhook-signature"]
    for headers in (first, second):
        Webhook(OLD).verify(BODY, headers)


def test_padding_and_space_do_not_matter() -> None:
    """A secret that lost its `=` on the way is still the same one."""
    whole = whsec(bytes(25))
    bare = read_webhook_secret(f" {whole.rstrip('=')}\n")
    assert bare == read_webhook_secret(whole)


@pytest.mark.parametrize(
    "text,why",
    [
        ("", "must begin with whsec_ (HMAC) or whsk_ (ed25519)"),
        ("MARKER" * 6, "must begin with whsec_ (HMAC) or whsk_ (ed25519)"),
        ("whpk_MARKER", "a whpk_ key is the public half"),
        ("whsec_", "what follows whsec_ is not base64"),
        ("whsec_MARKER!", "what follows whsec_ is not base64"),
        ("whsec_MARKER-_" * 4, "what follows whsec_ is not base64"),
        ("whsk_MARKER=MARKER", "what follows whsk_ is not base64"),
        ("whsec_MARKERMARKERMARKERMARKERMARKER" + "A" * 3, "base64 that is cut off"),
        (whsec(bytes(23)), "too short: 23 bytes, at least 24 are needed"),
        (whsec(bytes(65)), "too long: 65 bytes, at most 64 are allowed"),
        (whsk(bytes(31)), "31 bytes: an ed25519 key has 32, or 64 with its"),
        (whsk(bytes(33)), "33 bytes: an ed25519 key has 32, or 64 with its"),
        (whsk(SEED + bytes(32)), "its second half is not the public key of its first"),
    ],
)
def test_what_cannot_be_a_secret_is_refused(text: str, why: str) -> None:
    """With the reason, and without the text."""
    with pytest.raises(NotConfigured) as refusal:
        read_webhook_secret(text)
    assert why in str(refusal.value)
    assert "MARKER" not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_a_secret_is_not_shown() -> None:
    """Whoever prints it sees what it is and no more."""
    assert repr(read_webhook_secret(OLD)) == "HmacSecret()"
    assert repr(read_webhook_secret(whsk(SEED))) == "Ed25519Secret()"
