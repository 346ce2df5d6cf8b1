"""Request JWTs as the recordings describe them, those of attackers included."""

import base64
import json
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import get_default_algorithms

#: JSON of recordings and answers, looked into freely.
Json = Any

#: What the key `hmreq` stands for; its configuration holds the same in base64.
HMAC_SECRET: Final = b"secret-key-for-hmac-1234567890abcdef"


def _rsa_key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(frozen=True)
class Keys:
    """The keys that recorded JWTs are signed with, by the names the recordings use."""

    pkreq: RSAPrivateKey = field(default_factory=_rsa_key)
    other: RSAPrivateKey = field(default_factory=_rsa_key)

    @property
    def pkreq_public_pem(self) -> str:
        """What a server knows of the requestor `pkreq`."""
        public = self.pkreq.public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return pem.decode()

    def named(self, name: str | None) -> RSAPrivateKey | bytes:
        """The key a recorded JWT names."""
        keys: dict[str | None, RSAPrivateKey | bytes] = {
            "pkreq": self.pkreq,
            "other": self.other,
            "pkreq.pub": self.pkreq_public_pem.encode(),
            "hmreq": HMAC_SECRET,
            "hmwrong": b"another-key-for-hmac-1234567890abcdef",
            None: b"",
        }
        return keys[name]


def made_jwt(description: Json, keys: Keys, now: float) -> str:
    """The JWT described; {"now": s} is s seconds from now. No key is refused."""
    header = {"alg": description["alg"], "typ": "JWT", **description["header"]}
    claims = {name: _timed(claim, now) for name, claim in description["claims"].items()}
    signed = f"{_base64url(header)}.{_base64url(claims)}"
    # A library would refuse to sign with the keys that attackers use.
    algorithm = get_default_algorithms()[description["alg"]]
    signature = algorithm.sign(signed.encode(), keys.named(description["key"]))
    return f"{signed}.{_unpadded(signature)}"


def _timed(claim: Json, now: float) -> Json:
    match claim:
        case {"now": seconds}:
            return int(now) + seconds
        case _:
            return claim


def _base64url(document: Json) -> str:
    return _unpadded(json.dumps(document).encode())


def _unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
