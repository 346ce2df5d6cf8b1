"""A TCP way to a server of this machine or another, that can be cut and mended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from yarl import URL

from orchestrator.local.ports import LOOPBACK

#: As much as is passed on at a time.
_CHUNK_BYTES = 65_536


class Wire:
    """A TCP way to a server that can be cut and mended, or be deaf to its answers."""

    def __init__(self, target: URL) -> None:
        """Lead to the target once `open`ed."""
        self._target = target
        self._streams: set[asyncio.StreamWriter] = set()
        self._hears = asyncio.Event()
        self._hears.set()
        self._whole = True
        self.refused = asyncio.Event()
        self.used = asyncio.Event()
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Wire]:
        """A wire to the server at this URL; `wire.url` is its near end."""
        wire = cls(URL(url))
        server = await asyncio.start_server(wire._connected, LOOPBACK, 0)
        port = server.sockets[0].getsockname()[1]
        wire.url = str(URL(url).with_host(LOOPBACK).with_port(port))
        try:
            yield wire
        finally:
            wire.cut()
            wire.listen()
            server.close()
            await server.wait_closed()

    def cut(self) -> None:
        """Break every connection and let none through."""
        self._whole = False
        self.used.clear()
        for stream in self._streams:
            stream.transport.abort()

    def mend(self) -> None:
        """Let connections through again."""
        self._whole = True

    def deafen(self) -> None:
        """Hold back whatever the server says."""
        self._hears.clear()

    def listen(self) -> None:
        """Let through what was held back."""
        self._hears.set()

    async def _connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if not self._whole:
            self.refused.set()
            writer.transport.abort()
            return
        self._streams.add(writer)
        try:
            await self._joined(reader, writer)
        finally:
            self._streams.discard(writer)
            if not self._streams:
                self.used.clear()

    async def _joined(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Pass on what comes from either end until both have ended."""
        try:
            far_reader, far_writer = await asyncio.open_connection(
                self._target.host, self._target.port
            )
        except OSError:  # there is no server: the near end learns it from us
            writer.transport.abort()
            return
        if writer.is_closing():  # cut meanwhile, and perhaps mended since
            far_writer.transport.abort()
            return
        self._streams.add(far_writer)
        self.used.set()
        always = asyncio.Event()
        always.set()
        await asyncio.gather(
            _pump(reader, far_writer, always), _pump(far_reader, writer, self._hears)
        )
        self._streams.discard(far_writer)


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, may: asyncio.Event
) -> None:
    with suppress(OSError):
        while data := await reader.read(_CHUNK_BYTES):
            await may.wait()
            writer.write(data)
            await writer.drain()
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
