"""Signatures of Standard Webhooks 1.0.0, and the secrets that make them.

A requestor may have several secrets at a time. Each of them signs, so a receiver that
knows any one of them can verify while they are being changed.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from orchestrator.domain.errors import NotConfigured

HMAC_PREFIX: Final = "whsec_"
ED25519_PREFIX: Final = "whsk_"
_PUBLIC_PREFIX: Final = "whpk_"

#: What the specification allows for HMAC secrets.
HMAC_BYTES_MIN: Final = 24
HMAC_BYTES_MAX: Final = 64

#: The private key of RFC 8032; some tools write its public half after it.
SEED_BYTES: Final = 32
PAIR_BYTES: Final = 64

_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")


@dataclass(frozen=True)
class HmacSecret:
    """Signs with HMAC-SHA256; the receiver has the same secret."""

    secret: bytes = field(repr=False)

    def signature(self, content: bytes) -> str:
        """The signature with its version."""
        return f"v1,{_encode(hmac.digest(self.secret, content, 'sha256'))}"


@dataclass(frozen=True)
class Ed25519Secret:
    """Signs with ed25519; the receiver has the public half."""

    key: Ed25519PrivateKey = field(repr=False)

    def signature(self, content: bytes) -> str:
        """The signature with its version."""
        return f"v1a,{_encode(self.key.sign(content))}"


WebhookSecret = HmacSecret | Ed25519Secret


def read_webhook_secret(text: str) -> WebhookSecret:
    """The secret in `whsec_…` (HMAC) or `whsk_…` (ed25519), each followed by base64.

    Raises:
        NotConfigured: saying what is wrong with the text, without repeating it.
    """
    text = text.strip()
    if text.startswith(HMAC_PREFIX):
        return HmacSecret(_hmac_secret(text.removeprefix(HMAC_PREFIX)))
    if text.startswith(ED25519_PREFIX):
        return Ed25519Secret(_ed25519_key(text.removeprefix(ED25519_PREFIX)))
    if text.startswith(_PUBLIC_PREFIX):
        raise NotConfigured(
            f"a {_PUBLIC_PREFIX} key is the public half, which cannot sign:"
            f" give the private one, {ED25519_PREFIX}…"
        )
    raise NotConfigured(
        f"must begin with {HMAC_PREFIX} (HMAC) or {ED25519_PREFIX} (ed25519)"
    )


def timestamp_of(now: datetime) -> str:
    """The `webhook-timestamp`: whole seconds since the epoch."""
    return str(int(now.timestamp()))


def webhook_signature(
    secrets: Sequence[WebhookSecret], *, webhook_id: str, body: bytes, now: datetime
) -> str:
    """The `webhook-signature`: one for each secret, over `id.timestamp.body`.

    Ids have no dots, so the three parts cannot shift.
    """
    content = b".".join((webhook_id.encode(), timestamp_of(now).encode(), body))
    return " ".join(secret.signature(content) for secret in secrets)


def _hmac_secret(text: str) -> bytes:
    secret = _decode(text, HMAC_PREFIX)
    if len(secret) < HMAC_BYTES_MIN:
        raise NotConfigured(
            f"too short: {len(secret)} bytes, at least {HMAC_BYTES_MIN} are needed"
        )
    if len(secret) > HMAC_BYTES_MAX:
        raise NotConfigured(
            f"too long: {len(secret)} bytes, at most {HMAC_BYTES_MAX} are allowed"
        )
    return secret


def _ed25519_key(text: str) -> Ed25519PrivateKey:
    data = _decode(text, ED25519_PREFIX)
    if len(data) not in {SEED_BYTES, PAIR_BYTES}:
        raise NotConfigured(
            f"{len(data)} bytes: an ed25519 key has {SEED_BYTES},"
            f" or {PAIR_BYTES} with its public half"
        )
    key = Ed25519PrivateKey.from_private_bytes(data[:SEED_BYTES])
    if data[SEED_BYTES:] not in {b"", key.public_key().public_bytes_raw()}:
        raise NotConfigured("its second half is not the public key of its first")
    return key


def _decode(text: str, prefix: str) -> bytes:
    """Decode base64, padded or not."""
    if not _BASE64.fullmatch(text):
        raise NotConfigured(f"what follows {prefix} is not base64")
    plain = text.rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error:
        raise NotConfigured(f"what follows {prefix} is base64 that is cut off") from None


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()
