"""The keys of result JWTs, as they stand in PEM: RSA, P-256 or Ed25519."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from orchestrator.domain.errors import NotConfigured

PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey
PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey
Algorithm = Literal["RS256", "ES256", "EdDSA"]

KEY_BITS_MIN: Final = 2048


def private_key(pem: str) -> PrivateKey:
    """The key that signs, in PEM: PKCS #8, or an older form of its kind.

    Raises:
        NotConfigured: saying what is wrong with it, without repeating it.
    """
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        raise NotConfigured(
            "the JWT key is encrypted: give it without a password"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise NotConfigured("the JWT key is not a private key in PEM") from None
    if not isinstance(key, PrivateKey):
        raise _no_key_of_ours()
    _check(key.public_key())
    return key


def private_key_file(path: Path) -> PrivateKey:
    """The key that signs, in a PEM file.

    Raises:
        NotConfigured: the file cannot be read, or as `private_key`.
    """
    try:
        pem = path.read_text(encoding="ascii")
    except OSError as error:
        why = error.strerror or "it cannot be read"
        raise NotConfigured(f"the JWT key's file {path.name}: {why}") from None
    except UnicodeDecodeError:
        raise NotConfigured("the JWT key is not a private key in PEM") from None
    return private_key(pem)


def public_key(pem: str) -> PublicKey:
    """A key that verifies, in PEM.

    Raises:
        NotConfigured: there is none in it, it is a private one, or it fits to no
            algorithm of ours.
    """
    if "PRIVATE KEY" in pem:
        raise NotConfigured(
            "a private key, which is not for publishing: give its public half,"
            " as openssl pkey -pubout writes it"
        )
    try:
        key = load_pem_public_key(pem.strip().encode())
    except (ValueError, UnsupportedAlgorithm):
        raise NotConfigured("no public key in PEM") from None
    if not isinstance(key, PublicKey):
        raise _no_key_of_ours()
    _check(key)
    return key


def public_pem(key: PublicKey) -> str:
    """A key that verifies as SPKI PEM, the form of IRMA's `/publickey`."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def algorithm_of(key: PublicKey) -> Algorithm:
    """What a key signs with, as JWTs name it (RFC 7518 §3.1, RFC 8037 §3.1)."""
    match key:
        case RSAPublicKey():
            return "RS256"
        case EllipticCurvePublicKey():
            return "ES256"
        case _:
            return "EdDSA"


def _check(key: PublicKey) -> None:
    if isinstance(key, RSAPublicKey) and key.key_size < KEY_BITS_MIN:
        raise NotConfigured(
            f"the JWT key has {key.key_size} bits, at least {KEY_BITS_MIN} are needed"
        )
    if isinstance(key, EllipticCurvePublicKey) and not isinstance(key.curve, SECP256R1):
        raise _no_key_of_ours()


def _no_key_of_ours() -> NotConfigured:
    return NotConfigured(
        "the JWT key is neither RSA (RS256) nor P-256 (ES256) nor Ed25519 (EdDSA)"
    )
