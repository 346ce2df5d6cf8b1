"""What a process tells the one that started it, and what it hears from it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.lifecycle import notify_ready, notify_status


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    """A datagram socket as systemd has it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(5)
        listener.bind(address)
        yield listener


async def test_readiness_is_told_at_a_path(tmp_path: Path) -> None:
    """`READY=1`, one datagram (sd_notify(3))."""
    with listening(str(tmp_path / "notify")) as listener:
        await notify_ready(str(tmp_path / "notify"))
        assert listener.recv(100) == b"READY=1"


async def test_readiness_is_told_in_the_abstract_namespace() -> None:
    """A leading `@` stands for the kernel's NUL."""
    name = f"session-chain-test-{os.getpid()}"
    with listening(f"\0{name}") as listener:
        await notify_ready(f"@{name}")
        assert listener.recv(100) == b"READY=1"


async def test_nobody_is_told_where_nobody_waits() -> None:
    """Without an address the process was started by hand."""
    await notify_ready(None)


async def test_an_address_where_nobody_listens_is_an_error(tmp_path: Path) -> None:
    """Who promised to listen and does not is not ignored."""
    with pytest.raises(FileNotFoundError):
        await notify_ready(str(tmp_path / "nobody"))


def test_a_status_is_told_in_words(tmp_path: Path) -> None:
    """`STATUS=`, one datagram, for `systemctl status` to show."""
    with listening(str(tmp_path / "notify")) as listener:
        notify_status(str(tmp_path / "notify"), "held: StoreUnavailable")
        assert listener.recv(100) == b"STATUS=held: StoreUnavailable"


def test_nobody_has_to_listen_to_a_status(tmp_path: Path) -> None:
    """Who started the process may be gone, or never have listened."""
    notify_status(str(tmp_path / "nobody"), "ready")
    notify_status(None, "ready")
