"""What endpoints do with a connection: each way to answer, and each to fail."""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from orchestrator.proof.faulty import Conversation, Talk

#: Between two bytes of a body that comes slowly: never silent, and never done.
DRIP_S: Final = 0.2

#: A bomb's zeros: 64 MiB, packed into 64 KiB.
_BOMB_BYTES: Final = 64 * 1024 * 1024

#: More than any HTTP client takes in as headers.
_FLOOD_HEADERS: Final = 4_000


def says(*parts: bytes) -> Talk:
    """Reads the request, sends these bytes and hangs up."""

    async def talk(conversation: Conversation) -> None:
        await conversation.request()
        for part in parts:
            await conversation.send(part)
        await conversation.close()

    return talk


def answers(
    status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> Talk:
    """Answers as a server should."""
    named = {"Connection": "close", **(headers or {})}
    if status != HTTPStatus.NO_CONTENT:
        named["Content-Length"] = str(len(body))
    return says(_head(status, named) + body)


def secured(tls: ssl.SSLContext, talk: Talk) -> Talk:
    """The same by TLS."""

    async def by_tls(conversation: Conversation) -> None:
        await conversation.open(tls)
        await talk(conversation)

    return by_tls


def cut_off(status: int) -> Talk:
    """Announces a longer body than it sends."""
    return says(_head(status, {"Content-Length": "100"}) + b'{"@context":')


def garbage() -> Talk:
    """Speaks no HTTP."""
    return says(b"* OK IMAP4rev1 ready\r\n\r\n")


def header_flood() -> Talk:
    """Sends headers without end."""
    lines = {f"X-{n}": "x" * 60 for n in range(_FLOOD_HEADERS)}
    return says(_head(HTTPStatus.OK, lines))


def bomb() -> Talk:
    """Sends a small answer that unpacks to a large one."""
    packer = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    packed = packer.compress(bytes(_BOMB_BYTES)) + packer.flush()
    return answers(HTTPStatus.OK, packed, {"Content-Encoding": "gzip"})


def endless(status: int) -> Talk:
    """Answers, and never ends its body."""

    async def talk(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.send(_head(status, {}))
        while True:
            await conversation.send(b" " * 65_536)

    return talk


def drips(status: int) -> Talk:
    """Begins to answer, and lets its body drip for ever."""

    async def talk(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.send(_head(status, {}), says_it=False)
        while True:
            await conversation.send(b" ", says_it=False)
            await asyncio.sleep(DRIP_S)

    return talk


async def hangs(conversation: Conversation) -> None:
    """Reads the request and never answers."""
    await conversation.request()
    await conversation.gone()


async def silent(conversation: Conversation) -> None:
    """Says nothing from the start, not even in the handshake of TLS."""
    await conversation.open()
    await conversation.gone()


async def no_tls(conversation: Conversation) -> None:
    """Speaks plain HTTP to whoever begins with TLS, as servers do."""
    await conversation.open()
    await conversation.send(_head(HTTPStatus.BAD_REQUEST, {"Content-Length": "0"}))
    await conversation.gone()


async def resets_unread(conversation: Conversation) -> None:
    """Breaks off when the request comes, before it reads any of it."""
    await conversation.asked()
    conversation.reset()


async def resets_read(conversation: Conversation) -> None:
    """Reads and counts the request, then breaks off."""
    await conversation.request()
    conversation.reset()


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{lines}\r\n".encode()
