"""The keys that verify result JWTs, as a JWK set (RFC 7517)."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from orchestrator.callbacks.keys import PublicKey, algorithm_of
from orchestrator.domain.errors import NotConfigured
from schemas.irma import JsonObject

#: A coordinate of P-256 is written in full, zeros and all (RFC 7518 §6.2.1.2).
_COORDINATE_BYTES: Final = 32


@dataclass(frozen=True, kw_only=True)
class PublishedKey:
    """A key that receivers may trust; without a name of its own it has its thumbprint."""

    key: PublicKey
    kid: str | None = None

    @property
    def name(self) -> str:
        """Its `kid`."""
        return self.kid or thumbprint(self.key)

    @property
    def jwk(self) -> JsonObject:
        """What stands in the JWK set."""
        return _members(self.key) | {
            "use": "sig",
            "alg": algorithm_of(self.key),
            "kid": self.name,
        }


def thumbprint(key: PublicKey) -> str:
    """The SHA-256 thumbprint of a key (RFC 7638, for Ed25519 RFC 8037 §2)."""
    text = json.dumps(_members(key), separators=(",", ":"), sort_keys=True)
    return _base64url(sha256(text.encode()).digest())


def key_set(keys: Sequence[PublishedKey]) -> list[JsonObject]:
    """The keys in this order, each once.

    Raises:
        NotConfigured: two different keys have one `kid`, so no receiver could choose.
    """
    found: dict[str, JsonObject] = {}
    for key in keys:
        jwk = key.jwk
        if found.setdefault(key.name, jwk) != jwk:
            raise NotConfigured(f"two JWT keys have the same kid {key.name!r}")
    return list(found.values())


def _members(key: PublicKey) -> JsonObject:
    """What makes the key, and nothing else: the members that a thumbprint is made of."""
    match key:
        case RSAPublicKey():
            rsa = key.public_numbers()
            return {"kty": "RSA", "n": _number(rsa.n), "e": _number(rsa.e)}
        case EllipticCurvePublicKey():
            point = key.public_numbers()
            x, y = (_number(n, _COORDINATE_BYTES) for n in (point.x, point.y))
            return {"kty": "EC", "crv": "P-256", "x": x, "y": y}
        case _:
            raw = _base64url(key.public_bytes_raw())
            return {"kty": "OKP", "crv": "Ed25519", "x": raw}


def _number(number: int, size: int | None = None) -> str:
    return _base64url(number.to_bytes(size or (number.bit_length() + 7) // 8))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
