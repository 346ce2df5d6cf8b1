"""The secrets of a local installation: made on first start, kept in its run folder."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from pydantic import BaseModel

from orchestrator.sealing import new_key

RSA_BITS = 2048
PUBLIC_EXPONENT = 65537


class _Texts(BaseModel):
    sealing_key: str
    hash_key: str
    requestor_key: str
    irma_server_key: str


@dataclass(frozen=True)
class LocalSecrets:
    """Keys and tokens of one local installation.

    `jwt_key_file` signs the results we POST, `irma_key_file` those of the sandbox.
    """

    sealing_key: str = field(repr=False)
    hash_key: str = field(repr=False)
    requestor_key: str = field(repr=False)
    irma_server_key: str = field(repr=False)
    jwt_key_file: Path
    irma_key_file: Path


def local_secrets(folder: Path) -> LocalSecrets:
    """The secrets kept in a folder; those that are missing are made."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / "secrets.json"
    if not file.exists():
        _write(file, _new_texts().model_dump_json().encode())
    texts = _Texts.model_validate_json(file.read_bytes())
    return LocalSecrets(
        **texts.model_dump(),
        jwt_key_file=_rsa_key(folder / "jwt.pem"),
        irma_key_file=_rsa_key(folder / "irma.pem"),
    )


def _new_texts() -> _Texts:
    return _Texts(
        sealing_key=new_key(),
        hash_key=new_key(),
        requestor_key=secrets.token_urlsafe(24),
        irma_server_key=secrets.token_urlsafe(24),
    )


def _rsa_key(file: Path) -> Path:
    if not file.exists():
        key = rsa.generate_private_key(PUBLIC_EXPONENT, RSA_BITS)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        _write(file, pem)
    return file


def _write(file: Path, content: bytes) -> None:
    """Whole or not at all, and for nobody else's eyes."""
    half = file.with_suffix(".half")
    half.touch(mode=0o600)
    half.write_bytes(content)
    half.rename(file)
