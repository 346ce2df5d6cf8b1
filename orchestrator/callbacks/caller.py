"""The HTTP client for callbacks: one POST in, one typed reply out."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

import aiohttp
from aiohttp.http import HttpProcessingError
from yarl import URL

from orchestrator.callbacks.answers import (
    AnswerBroken,
    AnswerTooLong,
    BodyReader,
    authorization,
    location_origin,
    read_url,
    retry_after_s,
)
from orchestrator.domain.delivery import Answer, Fault, NoAnswer, Reply
from orchestrator.ports import Clock, Post

ANSWER_BYTES_MAX: Final = 1024 * 1024
CONNECT_TIMEOUT_S: Final = 5.0

#: Servers hang up on idle connections, many after 5 s, and a POST sent just then is lost;
#: so we are the first to hang up.
KEEPALIVE_S: Final = 4.0

_OK: Final = 200

#: What an IRMA server sends (reference irma.md §7.2); aiohttp would add more.
_IRMA_HEADERS: Final = {"User-Agent": "irmago", "Accept-Encoding": "gzip"}

#: Everything that a call, an endpoint or the network between can raise in aiohttp.
_CALL_ERRORS: Final = (
    AnswerBroken,
    AnswerTooLong,
    aiohttp.ClientError,
    HttpProcessingError,
    OSError,
    UnicodeError,
)


class HttpCaller:
    """Makes callbacks' POSTs over connections that are kept and used again.

    Neither redirects nor environment proxies are followed and no cookies are kept. Only a
    200's body is read, since no other is used (DESIGN §4): a 503 with an endless page is
    a 503, and its connection is closed.
    """

    def __init__(
        self, session: aiohttp.ClientSession, *, answer_bytes_max: int, clock: Clock
    ) -> None:
        self._session = session
        self._answer_bytes_max = answer_bytes_max
        self._clock = clock

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        tls: ssl.SSLContext | None = None,
        clock: Clock = lambda: datetime.now(UTC),
    ) -> AsyncIterator[HttpCaller]:
        """A caller whose connections are closed with the context.

        Args:
            answer_bytes_max: the longest answer that is read, as sent and unpacked.
            connect_timeout_s: for name look-up, TCP and TLS together.
            tls: whom to trust; the system's certificates if not given.
            clock: for `Retry-After` dates.
        """
        # How many calls run at once is the worker's decision, so there is no limit here.
        connector = aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=KEEPALIVE_S,
            ssl=tls if tls is not None else True,
        )
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=connect_timeout_s),
            headers=_IRMA_HEADERS,
            skip_auto_headers=("Accept",),
            auto_decompress=False,
            trust_env=False,
        ) as session:
            yield cls(session, answer_bytes_max=answer_bytes_max, clock=clock)

    async def post(self, post: Post) -> Reply:
        """POST once and say what came back; only cancellation is an exception."""
        elapsed_s = _stopwatch()
        url = read_url(post.url)
        if url is None:
            return NoAnswer(fault=Fault.BAD_URL, duration_s=elapsed_s())
        try:
            async with asyncio.timeout(post.timeout_s):
                return await self._answer(url, post, elapsed_s)
        except _CALL_ERRORS as error:
            return NoAnswer(fault=fault_of(error), duration_s=elapsed_s())

    async def _answer(
        self, url: URL, post: Post, elapsed_s: Callable[[], float]
    ) -> Answer:
        async with self._session.post(
            url.with_user(None),
            data=post.body,
            headers=_headers(post, url),
            allow_redirects=False,
        ) as response:
            body = await self._body(response) if response.status == _OK else b""
            return Answer(
                status=response.status,
                body=body,
                duration_s=elapsed_s(),
                retry_after_s=retry_after_s(
                    response.headers.get("Retry-After"), self._clock()
                ),
                location_origin=location_origin(response.headers.get("Location"), url),
            )

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        encoding = response.headers.get("Content-Encoding", "")
        reader = BodyReader(self._answer_bytes_max, encoding)
        async for chunk in response.content.iter_any():
            reader.feed(chunk)
        return reader.body()


def fault_of(error: BaseException) -> Fault:
    """Which fault an exception of `_CALL_ERRORS` stands for."""
    match error:
        case AnswerTooLong():
            fault = Fault.TOO_LONG
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError() | UnicodeError():
            fault = Fault.BAD_URL
        case ssl.SSLError():
            fault = Fault.TLS
        case aiohttp.ClientConnectorError():
            fault = Fault.CONNECT
        case TimeoutError():
            fault = Fault.TIMEOUT
        case _:
            fault = Fault.DISCONNECTED
    return fault


def _headers(post: Post, url: URL) -> dict[str, str]:
    headers = {**post.headers, "Content-Type": post.content_type}
    basic = authorization(url)
    return headers if basic is None else {**headers, "Authorization": basic}


def _stopwatch() -> Callable[[], float]:
    clock = asyncio.get_running_loop().time
    start = clock()
    return lambda: clock() - start
