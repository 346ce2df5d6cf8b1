"""Request JWTs as requestors and attackers make them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from pydantic import JsonValue

from schemas.irma import JsonObject

#: What the requestor with `auth_method: hmac` shares with us.
SECRET = b"secret-key-for-hmac-1234567890abcdef"


@cache
def rsa_key(owner: str, bits: int = 2048) -> RSAPrivateKey:
    """The key of an owner, made once in a run."""
    del owner
    return generate_private_key(public_exponent=65537, key_size=bits)


def public_pem(key: RSAPrivateKey | RSAPublicKey) -> str:
    """The PEM of its public half."""
    public = key if isinstance(key, RSAPublicKey) else key.public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def private_pem(key: RSAPrivateKey) -> str:
    """The PEM of the whole."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem.decode()


def encoded(data: bytes | JsonValue) -> str:
    """Base64url of bytes, or of a value's JSON."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass(frozen=True, kw_only=True)
class Jwt:
    """A JWT in the making; `algorithm` signs, whatever its header says."""

    claims: JsonObject | bytes
    key: RSAPrivateKey | bytes
    algorithm: str
    header: Mapping[str, JsonValue] | bytes

    @property
    def text(self) -> str:
        """Its compact form."""
        header = self.header if isinstance(self.header, bytes) else dict(self.header)
        signed = f"{encoded(header)}.{encoded(self.claims)}"
        signature = jwt.get_algorithm_by_name(self.algorithm).sign(
            signed.encode(), self.key
        )
        return f"{signed}.{encoded(signature)}"


def by_rsa(claims: JsonObject | bytes, *, owner: str, **header: JsonValue) -> str:
    """A JWT signed with the RSA key of an owner."""
    fields = {"alg": "RS256", "typ": "JWT"} | header
    return Jwt(claims=claims, key=rsa_key(owner), algorithm="RS256", header=fields).text


def by_secret(
    claims: JsonObject | bytes, secret: bytes = SECRET, **header: JsonValue
) -> str:
    """A JWT signed with a shared secret."""
    fields = {"alg": "HS256", "typ": "JWT"} | header
    return Jwt(claims=claims, key=secret, algorithm="HS256", header=fields).text
