"""Reading URLs and what an endpoint answers: pure, and bounded whatever is sent."""

from __future__ import annotations

import re
import zlib
from base64 import b64encode
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import unquote_to_bytes

from yarl import URL

_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]")
_SECONDS: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{0,12})?")
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS

#: A gzip file may have several members; thousands of empty ones only cost time.
GZIP_MEMBERS_MAX: Final = 64


class AnswerTooLong(Exception):
    """The body is longer than allowed, as sent or unpacked."""


class AnswerBroken(Exception):
    """The body is not what its Content-Encoding says, or ends too early."""


def read_url(text: str) -> URL | None:
    """A URL to call, exactly as written, or None when it cannot be called.

    An empty query and a fragment are not sent. What no request line can hold (spaces,
    letters beyond ASCII) is encoded, as Go's client does for an IRMA server.
    """
    if _CONTROLS.search(text):
        return None
    try:
        url = URL(text, encoded=text.isascii() and " " not in text)
        host, port = url.host or "", url.port
    except ValueError:
        return None
    there_is_a_place = host and " " not in host and port != 0
    return url if there_is_a_place and url.scheme in {"http", "https"} else None


def authorization(url: URL) -> str | None:
    """Basic authorization for a URL with user data, as Go's client sends it."""
    if url.raw_user is None and url.raw_password is None:
        return None
    user, password = url.raw_user or "", url.raw_password or ""
    plain = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return f"Basic {b64encode(plain).decode()}"


def location_origin(location: str | None, base: URL) -> str | None:
    """Where a redirect would lead, reduced to scheme, host and port."""
    if location is None:
        return None
    try:
        return str(base.join(URL(location)).origin())
    except ValueError:
        return None


def retry_after_s(text: str | None, now: datetime) -> float | None:
    """The pause that `Retry-After` asks for; garbage is ignored (RFC 9110 §10.2.3)."""
    if text is None:
        return None
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        due = parsedate_to_datetime(text)
        due = due if due.tzinfo else due.replace(tzinfo=UTC)
        return max((due - now).total_seconds(), 0.0)
    except (ValueError, OverflowError):
        return None


def aborts(text: str | None) -> bool:
    """Whether `Chain-Delivery` says that no further attempt is wanted."""
    return (text or "").strip().lower() == "abort"


class BodyReader:
    """Collects a body up to a limit, which counts as sent and as unpacked.

    Only gzip is unpacked, as it is the only coding we ask for; a bomb is unpacked no
    further than the limit.
    """

    def __init__(self, bytes_max: int, content_encoding: str) -> None:
        self._bytes_max = bytes_max
        self._received = 0
        self._gzip = content_encoding.strip().lower() in {"gzip", "x-gzip"}
        self._unpacker: zlib._Decompress | None = None
        self._members = 0
        self._body = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Take in what was received.

        Raises:
            AnswerTooLong: more than the limit was sent or came out.
            AnswerBroken: it does not unpack, or is in too many pieces.
        """
        self._received += len(chunk)
        if self._received > self._bytes_max:
            raise AnswerTooLong
        if not self._gzip:
            self._body += chunk
            return
        while chunk:
            chunk = self._unpack(chunk)

    def body(self) -> bytes:
        """The whole body.

        Raises:
            AnswerBroken: there should have been more.
        """
        if self._unpacker and not self._unpacker.eof:
            raise AnswerBroken
        return bytes(self._body)

    def _unpack(self, packed: bytes) -> bytes:
        """Unpack one member of the gzip file, or the part of it that is here."""
        if self._unpacker is None or self._unpacker.eof:
            self._members += 1
            if self._members > GZIP_MEMBERS_MAX:
                raise AnswerBroken
            self._unpacker = zlib.decompressobj(_GZIP_WINDOW)
        room = self._bytes_max - len(self._body)
        try:
            self._body += self._unpacker.decompress(packed, room + 1)
        except zlib.error:
            raise AnswerBroken from None
        if len(self._body) > self._bytes_max:
            raise AnswerTooLong
        return self._unpacker.unused_data
