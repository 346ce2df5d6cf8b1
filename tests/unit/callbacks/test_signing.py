"""Signatures look like the IRMA server's, and unfit keys are refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)

from orchestrator.callbacks import (
    JwtSigner,
    open_signer,
    private_key,
    private_key_file,
)
from orchestrator.domain.errors import NotConfigured
from orchestrator.ports import Signer
from schemas.irma import parse_session_result

NOW = datetime(2026, 1, 2, 3, 4, 5, 999_999, tzinfo=UTC)
IAT = 1_767_323_045
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SHORT_BITS = 1024
FIELDS = {
    "token": "Ht5cJ0pWq7ZbXk2mNv8R",
    "status": "CONNECTED",
    "type": "disclosing",
    "proofStatus": "VALID",
    "disclosed": [
        [
            {
                "rawvalue": "456",
                "value": {"": "456", "en": "456", "nl": "456"},
                "id": "irma-demo.RU.studentCard.studentID",
                "status": "PRESENT",
                "issuancetime": 1792627200,
            }
        ],
        [],
    ],
}
RESULT = parse_session_result(json.dumps(FIELDS))


def pem(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    form: PrivateFormat = PrivateFormat.PKCS8,
    password: bytes | None = None,
) -> str:
    """The key as PEM text."""
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, encryption).decode()


@pytest.fixture
async def signer() -> AsyncIterator[Signer]:
    """A signer with a key of its own."""
    async with open_signer(KEY) as opened:
        yield opened


async def test_jwt_is_the_irma_servers(signer: Signer) -> None:
    """Header, claims and their values are those of a recorded result JWT."""
    token = await signer.sign(RESULT, validity_s=120, now=NOW)
    assert token is not None
    assert jwt.get_unverified_header(token) == {"alg": "RS256", "typ": "JWT"}
    claims = jwt.decode(
        token, KEY.public_key(), algorithms=["RS256"], options={"verify_exp": False}
    )
    assert claims == {
        "exp": IAT + 120,
        "iat": IAT,
        "iss": "irmaserver",
        "sub": "disclosing_result",
        **FIELDS,
    }


async def test_issuer_is_as_configured() -> None:
    """Another issuer is named, and an empty one is left out."""
    async with (
        open_signer(KEY, issuer="acme") as named,
        open_signer(KEY, issuer="") as no,
    ):
        for signer, issuer in ((named, "acme"), (no, None)):
            token = await signer.sign(RESULT, validity_s=-5, now=NOW)
            claims = jwt.decode(str(token), options={"verify_signature": False})
            assert claims.get("iss") == issuer
            assert claims["exp"] == IAT - 5


async def test_public_key_verifies(signer: Signer) -> None:
    """The public key is told in the form that IRMA's `/publickey` has."""
    assert isinstance(signer, JwtSigner)
    text = signer.public_key_pem
    assert text.startswith("-----BEGIN PUBLIC KEY-----\n")
    assert load_pem_public_key(text.encode()) == KEY.public_key()


async def test_without_a_key_nothing_is_signed() -> None:
    """There is neither a JWT nor a key to verify it with."""
    async with open_signer(None) as signer:
        assert signer.public_key_pem is None
        assert await signer.sign(RESULT, validity_s=120, now=NOW) is None


async def test_each_signature_is_fresh(signer: Signer) -> None:
    """A later attempt has its own times and the same result (G3)."""
    later = NOW.replace(hour=4)
    first, second = [
        jwt.decode(
            str(await signer.sign(RESULT, validity_s=9, now=now)),
            options={"verify_signature": False},
        )
        for now in (NOW, later)
    ]
    assert second["iat"] - first["iat"] == 3600
    for claims in (first, second):
        del claims["iat"], claims["exp"]
    assert first == second


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_keys_are_read_from_text_and_file(form: PrivateFormat, tmp_path: Path) -> None:
    """PKCS #8 and PKCS #1 both do, as they do for an IRMA server."""
    file = tmp_path / "key.pem"
    file.write_text(pem(KEY, form))
    assert private_key(pem(KEY, form)).public_key() == KEY.public_key()
    assert private_key_file(file).public_key() == KEY.public_key()


@pytest.mark.parametrize(
    "text,why",
    [
        pytest.param("", "not a private key", id="empty"),
        pytest.param("MARKER", "not a private key", id="no PEM"),
        pytest.param(pem(KEY)[:500], "not a private key", id="cut"),
        pytest.param(
            KEY.public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            .decode(),
            "not a private key",
            id="public",
        ),
        pytest.param(pem(KEY, password=b"secret"), "encrypted", id="encrypted"),
        pytest.param(
            pem(ec.generate_private_key(ec.SECP256R1())), "not an RSA key", id="EC"
        ),
        pytest.param(
            pem(rsa.generate_private_key(65537, SHORT_BITS)),
            "1024 bits",
            id="short",
        ),
    ],
)
def test_unfit_keys_are_refused(text: str, why: str) -> None:
    """What cannot sign as IRMA does is refused when the process starts."""
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
