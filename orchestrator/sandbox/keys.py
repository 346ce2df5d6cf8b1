"""The keys requestors sign with, as they are configured (reference irma.md §3.1)."""

import base64
import binascii

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key


def hmac_secret(key: str) -> bytes:
    """The secret in a configured key: base64 of any alphabet, padded or not."""
    text = key.strip().rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise ValueError("an HMAC key is not base64") from None


def rsa_public_key(pem: str) -> RSAPublicKey:
    """The public key in a PEM."""
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("a public key is not PEM") from None
    if not isinstance(key, RSAPublicKey):
        raise ValueError("a public key is not RSA")  # noqa: TRY004 - it is the text that is wrong
    return key
