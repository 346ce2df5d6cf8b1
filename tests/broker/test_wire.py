"""A wire that breaks, or leads nowhere, while somebody connects."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from yarl import URL

from orchestrator.local.ports import LOOPBACK, free_ports
from orchestrator.local.wire import Wire
from tests.broker.support import SOON_S


class Far:
    """A server at the far end that counts who comes and who leaves."""

    def __init__(self) -> None:
        self.came = asyncio.Event()
        self.left = asyncio.Event()
        self.url = ""

    async def greet(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Say something, and hear until they leave."""
        self.came.set()
        with suppress(OSError):
            writer.write(b"hello")
            await reader.read()
        self.left.set()
        writer.close()


@pytest.fixture
async def far() -> AsyncIterator[Far]:
    """A server that answers."""
    made = Far()
    server = await asyncio.start_server(made.greet, LOOPBACK, 0)
    made.url = f"tcp://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield made


class Dialling:
    """Connections to the far end are made no sooner than it is said."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.ours: list[asyncio.StreamWriter] = []
        self._connect = asyncio.open_connection

    async def near(self, wire: Wire) -> asyncio.StreamReader:
        """A connection of ours to the near end; nothing delays it."""
        url = URL(wire.url)
        reader, writer = await self._connect(url.host, url.port)
        self.ours.append(writer)
        return reader

    async def far(
        self, host: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The wire's connection to the far end."""
        self.begun.set()
        await self.go_on.wait()
        return await self._connect(host, port)


@pytest.fixture
async def dialling(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Dialling]:
    """What a wire dials with."""
    made = Dialling()
    monkeypatch.setattr("orchestrator.local.wire.asyncio.open_connection", made.far)
    yield made
    for writer in made.ours:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def heard(reader: asyncio.StreamReader) -> bytes:
    """All that is said until the connection ends, however it does."""
    said = b""
    with suppress(ConnectionResetError):
        while data := await reader.read(100):
            said += data
    return said


@pytest.mark.parametrize("mended", [False, True])
async def test_a_connection_that_is_just_made_is_cut_as_well(
    far: Far, dialling: Dialling, *, mended: bool
) -> None:
    """Also if the wire is whole again before the far end has answered."""
    async with asyncio.timeout(SOON_S), Wire.open(far.url) as wire:
        reader = await dialling.near(wire)
        await dialling.begun.wait()
        wire.cut()
        if mended:
            wire.mend()
        dialling.go_on.set()
        assert await heard(reader) == b""
        await far.came.wait()
        await far.left.wait()
        assert not wire.used.is_set()


async def test_who_connects_to_a_server_that_is_down_is_told(
    dialling: Dialling,
) -> None:
    """By the end of the connection, as without a wire between; the wire goes on."""
    (port,) = free_ports(1, random.Random())
    dialling.go_on.set()
    async with (
        asyncio.timeout(SOON_S),
        Wire.open(f"tcp://{LOOPBACK}:{port}") as wire,
    ):
        assert await heard(await dialling.near(wire)) == b""
        assert await heard(await dialling.near(wire)) == b""
        assert not wire.used.is_set()
