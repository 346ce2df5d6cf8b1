"""The secrets of a local installation: made once, kept, for nobody else's eyes."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import ValidationError

from orchestrator.local.keys import LocalSecrets, local_secrets
from orchestrator.sealing import Sealer, read_key


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the secrets are kept; RSA keys take their time, so it is made once."""
    return tmp_path_factory.mktemp("run") / "secrets"


@pytest.fixture(scope="module")
def secrets(folder: Path) -> LocalSecrets:
    """The secrets of a first start."""
    return local_secrets(folder)


def test_a_first_start_makes_all_that_is_needed(secrets: LocalSecrets) -> None:
    """Keys for the sealer, tokens that cannot be guessed, RSA keys of 2048 bits."""
    sealer = Sealer(read_key(secrets.sealing_key), "k1", read_key(secrets.hash_key))
    assert sealer.open(sealer.seal(b"x", bound_to="y"), bound_to="y") == b"x"
    assert len({secrets.requestor_key, secrets.irma_server_key}) == 2
    assert min(len(secrets.requestor_key), len(secrets.irma_server_key)) >= 32
    for file in (secrets.jwt_key_file, secrets.irma_key_file):
        key = load_pem_private_key(file.read_bytes(), password=None)
        assert isinstance(key, RSAPrivateKey)
        assert key.key_size == 2048
    assert secrets.jwt_key_file.read_bytes() != secrets.irma_key_file.read_bytes()


def test_a_later_start_finds_the_same(secrets: LocalSecrets, folder: Path) -> None:
    """Or what was sealed could not be opened any more."""
    pem = secrets.jwt_key_file.read_bytes()
    assert local_secrets(folder) == secrets
    assert secrets.jwt_key_file.read_bytes() == pem


def test_nobody_else_can_read_them(secrets: LocalSecrets, folder: Path) -> None:
    """Neither the folder nor a file in it; no half-written file is left."""
    assert secrets.jwt_key_file.parent == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == ["irma.pem", "jwt.pem", "secrets.json"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_secrets_are_not_shown(secrets: LocalSecrets) -> None:
    """Whoever prints them prints file names."""
    hidden = (
        secrets.sealing_key,
        secrets.hash_key,
        secrets.requestor_key,
        secrets.irma_server_key,
    )
    assert not any(secret in repr(secrets) for secret in hidden)


def test_a_crash_in_between_leaves_nothing_half(
    secrets: LocalSecrets, tmp_path: Path
) -> None:
    """What was half written is written anew; what is whole stays."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    for file in (secrets.jwt_key_file, secrets.irma_key_file):
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "secrets.half").write_text('{"sealing_key": "MAR')
    made = local_secrets(folder)
    assert read_key(made.sealing_key)
    assert made.jwt_key_file.read_bytes() == secrets.jwt_key_file.read_bytes()
    assert not (folder / "secrets.half").exists()


def test_a_file_that_is_no_longer_whole_is_not_replaced(
    secrets: LocalSecrets, tmp_path: Path
) -> None:
    """New keys would make every row unreadable; somebody has to decide that."""
    del secrets
    (tmp_path / "secrets.json").write_text("{}")
    with pytest.raises(ValidationError):
        local_secrets(tmp_path)
    assert (tmp_path / "secrets.json").read_text() == "{}"
