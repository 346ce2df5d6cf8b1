"""HTTP to an IRMA server: bounded, timed, and every fault of it one of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

import aiohttp
from aiohttp.http import HttpProcessingError
from pydantic import ValidationError
from yarl import URL

from orchestrator.domain.errors import (
    BackendRefused,
    BackendUnavailable,
    NotAdmitted,
    NotConfigured,
    OrchestratorError,
)
from schemas.irma import ErrorKind, IrmaError, irma_error

#: An IRMA server hangs up on connections that were idle for 2 s (reference irma.md §1.2);
#: who sends just then loses the request.
_KEEPALIVE_S: Final = 1.0

_OK: Final = 200
_TOO_LARGE: Final = 413
_NOT_IMPLEMENTED: Final = 501
_CLIENT_ERRORS: Final = range(400, 500)

#: How an IRMA server's messages begin that are about who asks, never about what is asked
#: for (reference irma.md §3.1, §3.2).
_ABOUT_US: Final = (
    "request could not be authenticated",
    "Unknown requestor",
    "signature is invalid",
    "crypto/rsa: verification error",
    "token is expired",
    "token is not valid yet",
    "token used before issued",
    "jwt too old",
)


class ServerAnswer(NamedTuple):
    """What an IRMA server answered."""

    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether it did what it was asked."""
        return self.status == _OK


class IrmaServer:
    """One IRMA server's HTTP API; texts of errors name its origin and no path."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base: URL,
        *,
        timeout_s: float,
        answer_bytes_max: int,
    ) -> None:
        self._session = session
        self._base = base
        self._timeout_s = timeout_s
        self._answer_bytes_max = answer_bytes_max

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        connect_timeout_s: float,
        timeout_s: float,
        answer_bytes_max: int,
    ) -> AsyncIterator[IrmaServer]:
        """A server whose connections are closed with the context.

        Raises:
            NotConfigured: the URL is none of an HTTP server.
        """
        base = _base(url)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(keepalive_timeout=_KEEPALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=connect_timeout_s),
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,
            trust_env=False,
        ) as session:
            yield cls(
                session, base, timeout_s=timeout_s, answer_bytes_max=answer_bytes_max
            )

    def at(self, url: str) -> IrmaServer:
        """The same server at another address, over the same connections.

        Raises:
            NotConfigured: the URL is none of an HTTP server.
        """
        return IrmaServer(
            self._session,
            _base(url),
            timeout_s=self._timeout_s,
            answer_bytes_max=self._answer_bytes_max,
        )

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ServerAnswer:
        """Send one request and read the whole answer, whatever its status.

        Raises:
            BackendUnavailable: no answer, not in time, or longer than allowed.
        """
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._session.request(
                    method,
                    URL(f"{self._base}{path}", encoded=True),
                    data=body,
                    headers=headers,
                    allow_redirects=False,
                ) as response,
            ):
                return ServerAnswer(response.status, await self._body(response))
        except TimeoutError:
            raise self.unavailable("no answer in time") from None
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
            raise self.unavailable(_in_words(error)) from None

    def failure(self, answer: ServerAnswer, what: str) -> OrchestratorError:
        """The error that an answer other than 200 stands for.

        An IRMA error of a 4xx or 501 is a refusal. All else is a fault of the server, or
        of what stands before it: without an IRMA error, somebody else has answered.
        """
        if answer.status in _CLIENT_ERRORS or answer.status == _NOT_IMPLEMENTED:
            said = irma_error_in(answer)
            if said is not None:
                return BackendRefused(
                    status=answer.status,
                    error=said.error or "",
                    description=said.description or "",
                    message=said.message or "",
                )
            return self.unavailable(f"{what}: status {answer.status}, no IRMA error")
        return self.unavailable(f"{what}: status {answer.status}")

    def failure_of_ours(self, answer: ServerAnswer, what: str) -> OrchestratorError:
        """As `failure`, of a call for which we have to show who we are.

        A requestor must not hear of our credentials as if they were its own. Without a
        message, UNAUTHORIZED is an unknown token, or an entry for us that permits
        nothing of this kind: either way it is the server's operator who has to act.
        """
        failure = self.failure(answer, what)
        if not isinstance(failure, BackendRefused):
            return failure
        said = next((m for m in _ABOUT_US if failure.message.startswith(m)), None)
        unauthorized = failure.error == ErrorKind.UNAUTHORIZED.error
        if said is None and not (unauthorized and not failure.message):
            return failure
        origin = self._base.origin()
        return NotAdmitted(f"IRMA server {origin}: refuses us: {said or failure.error}")

    def unavailable(self, why: str) -> BackendUnavailable:
        """The server's origin and what is wrong with it."""
        return BackendUnavailable(f"IRMA server {self._base.origin()}: {why}")

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._answer_bytes_max:
                raise self.unavailable(
                    f"an answer of more than {self._answer_bytes_max} bytes"
                )
        return bytes(body)


def _in_words(error: Exception) -> str:
    """What went wrong below HTTP; a library's name for it looks like a token in a log."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return "no connection"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it hung up"
    return type(error).__name__


def irma_error_in(answer: ServerAnswer) -> IrmaError | None:
    """The IRMA error in an answer, or None when it is none.

    A proxy's 413 is taken for one: the same request would meet it again and again.
    """
    try:
        said = IrmaError.model_validate_json(answer.body)
    except ValidationError:
        said = IrmaError()
    if not said.error and answer.status == _TOO_LARGE:
        return irma_error(ErrorKind.INVALID_REQUEST, "request body too large")
    return said if said.error else None


def _base(url: str) -> URL:
    try:
        base = URL(url).with_fragment(None)
    except ValueError:
        base = URL()
    callable_ = base.scheme in {"http", "https"} and base.host and base.port
    if not callable_ or base.raw_user or base.raw_password or base.raw_query_string:
        raise NotConfigured(
            "the IRMA server's URL must be http or https with a host,"
            " without user data and query"
        )
    return URL(str(base).rstrip("/") + "/", encoded=True)
