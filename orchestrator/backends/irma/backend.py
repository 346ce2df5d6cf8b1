"""The IRMA backend: sessions are started, looked up and cancelled at an IRMA server."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from orchestrator.backends.irma.results import ResultReader, ServerKey
from orchestrator.backends.irma.server import IrmaServer, ServerAnswer, irma_error_in
from orchestrator.domain.errors import BackendRefused
from orchestrator.ports import Clock, Started
from schemas.irma import (
    ErrorKind,
    InvalidSessionPackage,
    InvalidSessionResult,
    SessionRequest,
    SessionResult,
    parse_session_package,
    parse_session_result,
)

CONNECT_TIMEOUT_S: Final = 2.0
TIMEOUT_S: Final = 10.0
ANSWER_BYTES_MAX: Final = 1024 * 1024

#: How far the IRMA server's clock and ours may differ.
LEEWAY_S: Final = 60.0

#: How often bad results can make us look up the server's key.
KEY_REFRESH_S: Final = 60.0

_TOKEN: Final = re.compile(r"[A-Za-z0-9]{1,100}")


class IrmaBackend:
    """An IRMA server behind the `Backend` port, as a requestor with or without a key."""

    def __init__(
        self, server: IrmaServer, results: ResultReader, *, key: str | None
    ) -> None:
        self._server = server
        self._results = results
        self._headers = {"Content-Type": "application/json"}
        if key:
            # The raw key: an IRMA server knows no Bearer (reference irma.md §3.1).
            self._headers["Authorization"] = key

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        key: str | None = None,
        require_signed: bool | None = None,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        timeout_s: float = TIMEOUT_S,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
        leeway_s: float = LEEWAY_S,
        key_refresh_s: float = KEY_REFRESH_S,
        clock: Clock = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> AsyncIterator[IrmaBackend]:
        """A backend whose connections are closed with the context.

        Args:
            url: where the requestor API is, with its prefix if it has one.
            key: our key as a requestor there (`auth_method: token`); None for `no_auth`.
            require_signed: whether results POSTed to us must be JWTs; None means "if the
                server has a key". False lets who knows a callback URL invent results.
            connect_timeout_s: for name look-up, TCP and TLS together.
            timeout_s: for a whole call.
            answer_bytes_max: the longest answer that is read.
            leeway_s: how far its clock and ours may differ.
            key_refresh_s: the shortest time between two look-ups of its public key.
            clock: what the time is.
            monotonic: what time has passed.

        Raises:
            NotConfigured: the URL is none of an HTTP server.
        """
        async with IrmaServer.open(
            url,
            connect_timeout_s=connect_timeout_s,
            timeout_s=timeout_s,
            answer_bytes_max=answer_bytes_max,
        ) as server:
            server_key = ServerKey(
                lambda: _public_key(server), refresh_s=key_refresh_s, monotonic=monotonic
            )
            results = ResultReader(
                server_key, require_signed=require_signed, leeway_s=leeway_s, clock=clock
            )
            yield cls(server, results, key=key)

    async def start(self, request: SessionRequest) -> Started:
        """Start a session; what comes out is POSTed to the URLs in the request."""
        body = json.dumps(request.to_wire(), separators=(",", ":")).encode()
        answer = await self._server.call(
            "POST", "session", body=body, headers=self._headers
        )
        if not answer.ok:
            raise self._server.failure(answer, "start")
        try:
            package = parse_session_package(answer.body)
        except InvalidSessionPackage as error:
            raise self._server.unavailable(
                f"start: no session package: {error}"
            ) from None
        return Started(token=package.token, package=package)

    async def result(self, token: str) -> SessionResult | None:
        """What the server has stored of a session; None when it does not know it."""
        answer = await self._about(token, "GET", "/result", "result")
        if answer is None:
            return None
        try:
            return parse_session_result(answer.body)
        except InvalidSessionResult as error:
            raise self._server.unavailable(
                f"result: no session result: {error}"
            ) from None

    async def cancel(self, token: str) -> bool:
        """Cancel a session, finished or not; False when the server does not know it."""
        return await self._about(token, "DELETE", "", "cancel") is not None

    async def read_result(self, body: bytes, content_type: str) -> SessionResult:
        """Read a result that the server POSTed to us.

        Raises:
            Undecodable: no session result, or not shown to be this server's.
            BackendUnavailable: the server's key is needed and cannot be had.
        """
        return await self._results.read(body, content_type)

    async def _about(
        self, token: str, method: str, suffix: str, what: str
    ) -> ServerAnswer | None:
        """Ask about a session; None when the server does not know it."""
        if not _TOKEN.fullmatch(token):
            return None
        answer = await self._server.call(method, f"session/{token}{suffix}")
        if answer.ok:
            return answer
        failure = self._server.failure(answer, what)
        unknown = ErrorKind.SESSION_UNKNOWN.error
        if isinstance(failure, BackendRefused) and failure.error == unknown:
            return None
        raise failure


async def _public_key(server: IrmaServer) -> RSAPublicKey | None:
    """The key that verifies the server's JWTs; None when it does not sign."""
    answer = await server.call("GET", "publickey")
    if answer.ok:
        try:
            key = load_pem_public_key(answer.body)
        except (ValueError, UnsupportedAlgorithm):
            raise server.unavailable("public key: no PEM") from None
        if not isinstance(key, RSAPublicKey):
            raise server.unavailable("public key: not an RSA key")
        return key
    said = irma_error_in(answer)
    if said is not None and said.error == ErrorKind.UNSUPPORTED.error:
        return None
    raise server.unavailable(f"public key: status {answer.status}")
