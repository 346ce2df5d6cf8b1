"""Published keys are JWKs that receivers can read."""

from __future__ import annotations

import base64

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from orchestrator.callbacks import PrivateKey, PublishedKey, thumbprint
from orchestrator.callbacks.jwks import key_set
from orchestrator.domain.errors import NotConfigured

KEYS: list[PrivateKey] = [
    rsa.generate_private_key(public_exponent=65537, key_size=2048),
    ec.generate_private_key(ec.SECP256R1()),
    ed25519.Ed25519PrivateKey.generate(),
]

#: The key of RFC 7638 §3.1.
RFC7638_N = (
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tS"
    "oc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65"
    "YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyr"
    "dkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK"
    "nqDKgw"
)
#: The key of RFC 8037, appendix A.2.
RFC8037_X = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"


def unpadded(text: str) -> bytes:
    """The bytes in base64url."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_the_thumbprint_of_an_rsa_key() -> None:
    """As RFC 7638 §3.1 works it out."""
    n = int.from_bytes(unpadded(RFC7638_N))
    key = rsa.RSAPublicNumbers(65537, n).public_key()
    assert thumbprint(key) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_the_thumbprint_of_an_ed25519_key() -> None:
    """As RFC 8037, appendix A.3, works it out."""
    key = ed25519.Ed25519PublicKey.from_public_bytes(unpadded(RFC8037_X))
    assert thumbprint(key) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize(
    "key,algorithm",
    list(zip(KEYS, ["RS256", "ES256", "EdDSA"], strict=True)),
    ids=["RSA", "P-256", "Ed25519"],
)
def test_a_key_says_what_it_is_for(key: PrivateKey, algorithm: str) -> None:
    """Name, use and algorithm stand beside the key, which reads as the same key."""
    jwk = PublishedKey(key=key.public_key(), kid="2026").jwk
    assert (jwk["use"], jwk["alg"], jwk["kid"]) == ("sig", algorithm, "2026")
    assert jwt.PyJWK.from_dict(jwk).key == key.public_key()
    assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & set(jwk)


def test_a_coordinate_is_written_in_full() -> None:
    """Its leading zeros belong to it (RFC 7518 §6.2.1.2)."""
    found = None
    for secret in range(1, 2000):
        key = ec.derive_private_key(secret, ec.SECP256R1()).public_key()
        if key.public_numbers().x < 2**248:
            found = key
            break
    assert found is not None
    jwk = PublishedKey(key=found).jwk
    assert len(unpadded(str(jwk["x"]))) == 32
    assert jwt.PyJWK.from_dict(jwk).key == found


def test_each_key_stands_once_in_the_set() -> None:
    """In the order given; who lists the key that signs now changes nothing."""
    first, second = (PublishedKey(key=key.public_key()) for key in KEYS[:2])
    assert key_set([first, second, first]) == [first.jwk, second.jwk]


def test_one_name_for_two_keys_is_refused() -> None:
    """A receiver would take the first and refuse what the other signed."""
    keys = [PublishedKey(key=key.public_key(), kid="k") for key in KEYS[:2]]
    with pytest.raises(NotConfigured, match="two JWT keys have the same kid 'k'"):
        key_set(keys)
