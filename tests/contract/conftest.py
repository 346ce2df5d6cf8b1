"""What all contract tests share."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from orchestrator.proof.certificates import Authority


@pytest.fixture(scope="session")
def jwt_privkey() -> str:
    """The PEM of an RSA key made for this run."""
    key = generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem.decode()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority of the test's own, which nobody trusts unless told to."""
    return Authority.make(tmp_path)
