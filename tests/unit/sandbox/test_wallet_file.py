"""The file that a pretend wallet is kept in."""

import stat
from pathlib import Path

import pytest

from orchestrator.sandbox.credentials import Credential
from orchestrator.sandbox.wallet import Wallet
from orchestrator.sandbox.wallet_file import InvalidWalletFile, load, save

CARD = Credential("irma-demo.RU.studentCard", {"studentID": "456", "level": None}, 604800)


def test_credentials_come_back(tmp_path: Path) -> None:
    """What was saved is loaded, null values and ages included."""
    file = tmp_path / "wallet.json"
    save(file, [CARD])
    assert load(file) == [CARD]


def test_file_is_for_its_owner_and_alone(tmp_path: Path) -> None:
    """Nobody else reads it, whatever was there before, and nothing is left beside it."""
    file = tmp_path / "wallet.json"
    file.touch(mode=0o644)
    save(file, [CARD])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    """A file that cannot be replaced stays, and no half-written one lies about."""
    folder = tmp_path / "wallet.json"
    (folder / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match="wallet"):
        save(folder, [CARD])
    assert list(tmp_path.iterdir()) == [folder]


def test_new_file_begins_with_what_is_given(tmp_path: Path) -> None:
    """Without a file yet, a wallet has its usual credentials; reading makes no file."""
    file = tmp_path / "wallet.json"
    assert Wallet(file=file).credentials == Wallet().credentials
    assert Wallet([CARD], file=file).credentials == [CARD]
    assert not file.exists()


def test_wallet_is_what_its_file_holds(tmp_path: Path) -> None:
    """What a wallet received, another with the same file has."""
    file = tmp_path / "wallet.json"
    Wallet([], file=file).receive([CARD])
    assert Wallet(file=file).credentials == [CARD]


@pytest.mark.parametrize("name", ["folder", "nowhere/wallet.json"])
def test_file_that_cannot_be(tmp_path: Path, name: str) -> None:
    """Where no file can be is said before anything is played, not after."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(InvalidWalletFile, match=r"Is a directory|no such folder"):
        load(tmp_path / name)


@pytest.mark.parametrize(
    "content, reason",
    [
        ("", "content: Invalid JSON"),
        ('{"credentials": [{"id": "s3cret"}]}', "credentials.0.attributes: Field req"),
        ('{"credentials": [], "more": 1}', "more: Extra inputs"),
    ],
)
def test_file_of_something_else(tmp_path: Path, content: str, reason: str) -> None:
    """A file that holds no credentials is refused, without repeating what it holds."""
    file = tmp_path / "wallet.json"
    file.write_text(content)
    with pytest.raises(InvalidWalletFile) as caught:
        load(file)
    assert reason in str(caught.value)
    assert "s3cret" not in str(caught.value)
