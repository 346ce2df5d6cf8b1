"""Keys for JWTs are read from PEM, and unfit ones are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from orchestrator.callbacks import (
    PrivateKey,
    private_key,
    private_key_file,
    public_key,
)
from orchestrator.domain.errors import NotConfigured

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
EDWARDS = ed25519.Ed25519PrivateKey.generate()
SHORT_BITS = 1024
SHORT = rsa.generate_private_key(65537, SHORT_BITS)
OTHER_CURVE = ec.generate_private_key(ec.SECP384R1())
OTHER_EDWARDS = ed448.Ed448PrivateKey.generate()

AnyKey = PrivateKey | ed448.Ed448PrivateKey


def pem(
    key: AnyKey,
    form: PrivateFormat = PrivateFormat.PKCS8,
    password: bytes | None = None,
) -> str:
    """The key as PEM text."""
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, encryption).decode()


def public_pem(key: AnyKey) -> str:
    """Its public half as PEM text."""
    public = key.public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize(
    "key,form",
    [
        pytest.param(KEY, PrivateFormat.PKCS8, id="RSA"),
        pytest.param(KEY, PrivateFormat.TraditionalOpenSSL, id="RSA in PKCS 1"),
        pytest.param(CURVE, PrivateFormat.PKCS8, id="P-256"),
        pytest.param(CURVE, PrivateFormat.TraditionalOpenSSL, id="P-256 in SEC 1"),
        pytest.param(EDWARDS, PrivateFormat.PKCS8, id="Ed25519"),
    ],
)
def test_keys_are_read_from_text_and_file(
    key: PrivateKey, form: PrivateFormat, tmp_path: Path
) -> None:
    """PKCS #8 and the older forms do, as they do for an IRMA server."""
    file = tmp_path / "key.pem"
    file.write_text(pem(key, form))
    assert private_key(pem(key, form)).public_key() == key.public_key()
    assert private_key_file(file).public_key() == key.public_key()


@pytest.mark.parametrize(
    "text,why",
    [
        pytest.param("", "not a private key", id="empty"),
        pytest.param("MARKER", "not a private key", id="no PEM"),
        pytest.param(pem(KEY)[:500], "not a private key", id="cut"),
        pytest.param(public_pem(KEY), "not a private key", id="public"),
        pytest.param(pem(KEY, password=b"secret"), "encrypted", id="encrypted"),
        pytest.param(pem(OTHER_CURVE), "neither RSA", id="P-384"),
        pytest.param(pem(OTHER_EDWARDS), "neither RSA", id="Ed448"),
        pytest.param(pem(SHORT), "1024 bits", id="short"),
    ],
)
def test_unfit_keys_are_refused(text: str, why: str) -> None:
    """What cannot sign as we say is refused when the process starts."""
    with pytest.raises(NotConfigured, match=why) as refusal:
        private_key(text)
    assert "MARKER" not in str(refusal.value)


def test_a_missing_key_file_is_said(tmp_path: Path) -> None:
    """The file's name is told, not where it lies."""
    with pytest.raises(NotConfigured, match=r"gone\.pem: No such file") as refusal:
        private_key_file(tmp_path / "gone.pem")
    assert str(tmp_path) not in str(refusal.value)


def test_a_binary_key_file_is_no_pem(tmp_path: Path) -> None:
    """DER, or anything that is no text, is refused as no PEM."""
    file = tmp_path / "key.der"
    file.write_bytes(bytes(range(256)))
    with pytest.raises(NotConfigured, match="not a private key in PEM"):
        private_key_file(file)


@pytest.mark.parametrize("key", [KEY, CURVE, EDWARDS], ids=["RSA", "P-256", "Ed25519"])
def test_public_keys_are_read(key: PrivateKey) -> None:
    """Of every kind that signs, with or without space around."""
    assert public_key(f"\n{public_pem(key)}\n") == key.public_key()


@pytest.mark.parametrize(
    "text,why",
    [
        pytest.param("MARKER", "no public key in PEM", id="no PEM"),
        pytest.param(public_pem(KEY)[:200], "no public key in PEM", id="cut"),
        pytest.param(pem(EDWARDS), "a private key, which is not for", id="private"),
        pytest.param(public_pem(OTHER_CURVE), "neither RSA", id="P-384"),
        pytest.param(public_pem(OTHER_EDWARDS), "neither RSA", id="Ed448"),
        pytest.param(public_pem(SHORT), "1024 bits", id="short"),
    ],
)
def test_keys_that_cannot_be_published_are_refused(text: str, why: str) -> None:
    """No receiver could use it, or nobody should see it."""
    with pytest.raises(NotConfigured, match=why) as refusal:
        public_key(text)
    assert "MARKER" not in str(refusal.value)
