"""The HTTP client for callbacks: one POST in, one typed reply out."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

import aiohttp
import structlog
from aiohttp.abc import AbstractResolver
from aiohttp.http import HttpProcessingError
from yarl import URL

from orchestrator.callbacks.answers import (
    AnswerBroken,
    AnswerTooLong,
    BodyReader,
    aborts,
    authorization,
    location_origin,
    read_url,
    retry_after_s,
)
from orchestrator.callbacks.egress import Egress
from orchestrator.callbacks.egress_names import NoRoom, looking_up_for
from orchestrator.callbacks.egress_outlets import Limits, Outlets, Way
from orchestrator.domain.delivery import Answer, Fault, NoAnswer, Reply
from orchestrator.domain.egress import Forbidden
from orchestrator.ports import Clock, Post

_log = structlog.get_logger(__name__)

ANSWER_BYTES_MAX: Final = 1024 * 1024
CONNECT_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 20.0

_OK: Final = 200

#: Everything that a call, an endpoint or the network between can raise in aiohttp.
_CALL_ERRORS: Final = (
    AnswerBroken,
    AnswerTooLong,
    aiohttp.ClientError,
    HttpProcessingError,
    NoRoom,
    OSError,
    UnicodeError,
)


class HttpCaller:
    """Makes callbacks' POSTs, each its requestor's way, over connections that are kept.

    Neither redirects nor environment proxies are followed and no cookies are kept. Only a
    200's body is read, since no other is used (DESIGN §4): a 503 with an endless page is
    a 503, and its connection is closed.
    """

    def __init__(self, outlets: Outlets, *, answer_bytes_max: int, clock: Clock) -> None:
        self._outlets = outlets
        self._answer_bytes_max = answer_bytes_max
        self._clock = clock

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        egress: Egress,
        *,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
        resolver: AbstractResolver | None = None,
        clock: Clock = lambda: datetime.now(UTC),
    ) -> AsyncIterator[HttpCaller]:
        """A caller whose connections are closed with the context.

        Args:
            egress: where callbacks may go, and how.
            answer_bytes_max: the longest answer that is read, as sent and unpacked.
            connect_timeout_s: for name look-up, TCP and TLS together.
            read_timeout_s: the longest silence of an endpoint that is to answer.
            resolver: looks up names; the system's if not given.
            clock: for `Retry-After` dates.

        Raises:
            NotConfigured: a certificate or key cannot be used.
        """
        limits = Limits(
            connect_timeout_s=connect_timeout_s, read_timeout_s=read_timeout_s
        )
        async with Outlets.open(egress, limits, resolver) as outlets:
            yield cls(outlets, answer_bytes_max=answer_bytes_max, clock=clock)

    async def post(self, post: Post) -> Reply:
        """POST once and say what came back; only cancellation is an exception."""
        elapsed_s = _stopwatch()
        url = read_url(post.url)
        if url is None:
            return NoAnswer(fault=Fault.BAD_URL, duration_s=elapsed_s())
        try:
            with looking_up_for(post.requestor):
                async with asyncio.timeout(post.timeout_s):
                    way = await self._outlets.way(post.requestor, url.with_user(None))
                    return await self._answer(way, post, url, elapsed_s)
        except Forbidden as error:
            _log.warning(
                "egress.refused",
                requestor=post.requestor,
                rule=error.rule,
                address=error.detail,
            )
            return NoAnswer(
                fault=Fault.FORBIDDEN, duration_s=elapsed_s(), rule=error.rule
            )
        except _CALL_ERRORS as error:
            return NoAnswer(fault=fault_of(error), duration_s=elapsed_s())

    async def _answer(
        self, way: Way, post: Post, url: URL, elapsed_s: Callable[[], float]
    ) -> Answer:
        async with way.session.post(
            way.url,
            data=post.body,
            headers={**_headers(post, url), **way.headers},
            allow_redirects=False,
            server_hostname=way.server_hostname,
        ) as response:
            body = await self._body(response) if response.status == _OK else b""
            return Answer(
                status=response.status,
                body=body,
                duration_s=elapsed_s(),
                retry_after_s=retry_after_s(
                    response.headers.get("Retry-After"), self._clock()
                ),
                abort=aborts(response.headers.get("Chain-Delivery")),
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
        case (
            aiohttp.ClientConnectorError()
            | aiohttp.ClientHttpProxyError()
            | socket.gaierror()  # looked up for the proxy
        ):
            fault = Fault.CONNECT
        case NoRoom():
            fault = Fault.NO_ROOM
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
