"""Keys that the configuration gives as text or names a file for.

Those of requestors are taken in every form an IRMA server takes them in; what is weak in
them is logged, what cannot work stops the process (reference irma.md §3.1).
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificatePublicKeyTypes,
    PublicKeyTypes,
)
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

from orchestrator.domain.errors import NotConfigured
from orchestrator.settings import IrmaServer, Operator, PublishedKey, Requestor

_log = structlog.get_logger(__name__)

#: What has a key, as text or in a file.
Keyed = Requestor | IrmaServer | PublishedKey | Operator

#: HS256 is as strong as its secret, up to the hash's length (RFC 7518 §3.2).
SECRET_BYTES_MIN: Final = 32
KEY_BITS_MIN: Final = 2048

_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*|[A-Za-z0-9_-]*")


def key_text(entry: Keyed, *, whose: str) -> str | None:
    """The key of an entry, from its file if it names one; None without any.

    Raises:
        NotConfigured: the file cannot be read; the text says whose it is.
    """
    if entry.key is not None:
        return entry.key.get_secret_value()
    if entry.key_file is None:
        return None
    try:
        return entry.key_file.read_text(encoding="ascii").strip()
    except OSError as error:
        why = error.strerror or "it cannot be read"
        raise NotConfigured(f"{whose}: key_file: {entry.key_file.name}: {why}") from None
    except UnicodeDecodeError:
        raise NotConfigured(f"{whose}: key_file: holds no key") from None


def required_key(entry: Keyed, *, whose: str) -> str:
    """The key of an entry that has to have one; an empty one would let anybody in.

    Raises:
        NotConfigured: as `key_text`, or there is none.
    """
    text = key_text(entry, whose=whose)
    if not text or not text.strip():
        raise NotConfigured(f"{whose}.key: empty")
    return text


def hmac_secret(text: str, *, whose: str) -> bytes:
    """The secret in a configured key: base64 of any alphabet, padded or not.

    Raises:
        NotConfigured: it is no base64, or holds nothing.
    """
    if "-----BEGIN" in text:
        raise NotConfigured(f"{whose}.key: a PEM; auth_method hmac takes base64")
    plain = "".join(text.split()).rstrip("=")
    if not _BASE64.fullmatch(plain):
        raise NotConfigured(f"{whose}.key: not base64, as auth_method hmac takes it")
    standard = plain.translate(str.maketrans("-_", "+/"))
    try:
        secret = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except binascii.Error:
        raise NotConfigured(f"{whose}.key: base64 that is cut off") from None
    if not secret:
        raise NotConfigured(f"{whose}.key: empty")
    if len(secret) < SECRET_BYTES_MIN:
        _log.warning("key.weak", whose=whose, secret_bytes=len(secret))
    return secret


def rsa_public_key(pem: str, *, whose: str) -> RSAPublicKey:
    """The RSA key in a PEM, or in a certificate.

    Raises:
        NotConfigured: there is none in it, or it is a private one.
    """
    if "PRIVATE KEY" in pem:
        raise NotConfigured(
            f"{whose}.key: a private key, which only the requestor may know:"
            " have it make another pair and give you the public half"
        )
    try:
        key = _public_key(pem.strip().encode())
    except (ValueError, UnsupportedAlgorithm):
        raise NotConfigured(f"{whose}.key: no public key in PEM") from None
    if not isinstance(key, RSAPublicKey):
        raise NotConfigured(f"{whose}.key: not an RSA key; IRMA signs with RS256")
    if key.key_size < KEY_BITS_MIN:
        _log.warning("key.weak", whose=whose, key_bits=key.key_size)
    return key


def _public_key(pem: bytes) -> PublicKeyTypes | CertificatePublicKeyTypes:
    if b"BEGIN CERTIFICATE" in pem:
        return load_pem_x509_certificate(pem).public_key()
    return load_pem_public_key(pem)
