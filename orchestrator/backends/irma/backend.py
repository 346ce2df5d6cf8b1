"""The IRMA backend: sessions are started, looked up and cancelled at an IRMA server."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from orchestrator.backends.irma.proving import Proof, RequestKey, open_proof
from orchestrator.backends.irma.results import ResultReader, ServerKey
from orchestrator.backends.irma.server import IrmaServer, ServerAnswer, irma_error_in
from orchestrator.domain.errors import (
    BackendRefused,
    NotAdmitted,
    OrchestratorError,
)
from orchestrator.ports import Clock, Started
from schemas.irma import (
    ErrorKind,
    InvalidFrontendDocument,
    InvalidSessionPackage,
    InvalidSessionResult,
    RevocationRequest,
    SessionPackage,
    SessionPointer,
    SessionRequest,
    SessionResult,
    Status,
    parse_frontend_status,
    parse_session_package,
    parse_session_result,
)

_log = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S: Final = 2.0
TIMEOUT_S: Final = 10.0
ANSWER_BYTES_MAX: Final = 1024 * 1024

#: How far the IRMA server's clock and ours may differ.
LEEWAY_S: Final = 60.0

#: How often bad results can make us look up the server's key.
KEY_REFRESH_S: Final = 60.0

_TOKEN: Final = re.compile(r"[A-Za-z0-9]{1,100}")
_CLIENT_TOKEN: Final = re.compile(r".*/session/([A-Za-z0-9]{1,100})")


class IrmaBackend:
    """An IRMA server behind the `Backend` port, as a requestor with or without a key."""

    def __init__(
        self,
        server: IrmaServer,
        *,
        clients: IrmaServer,
        proof: Proof,
        key: ServerKey,
        results: ResultReader,
    ) -> None:
        self._server = server
        self._clients = clients
        self._proof = proof
        self._key = key
        self._results = results

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        client_url: str | None = None,
        key: str | RequestKey | None = None,
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
            client_url: where apps and browsers reach it, if that is elsewhere.
            key: our token as a requestor there (`auth_method: token`), or what signs our
                requests (`hmac`, `publickey`); None for `no_auth`.
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
        async with (
            IrmaServer.open(
                url,
                connect_timeout_s=connect_timeout_s,
                timeout_s=timeout_s,
                answer_bytes_max=answer_bytes_max,
            ) as server,
            open_proof(key, clock=clock) as proof,
        ):
            server_key = ServerKey(
                lambda: _public_key(server), refresh_s=key_refresh_s, monotonic=monotonic
            )
            results = ResultReader(
                server_key, require_signed=require_signed, leeway_s=leeway_s, clock=clock
            )
            yield cls(
                server,
                clients=server.at(client_url or url),
                proof=proof,
                key=server_key,
                results=results,
            )

    async def start(self, request: SessionRequest) -> Started:
        """Start a session; what comes out is POSTed to the URLs in the request."""
        body, headers = await self._proof.session(request)
        answer = await self._server.call("POST", "session", body=body, headers=headers)
        if not answer.ok:
            raise self._refused(answer, "start")
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

    async def status(self, token: str) -> Status | None:
        """A session's status as it stands; None when the server does not know it."""
        answer = await self._about(token, "GET", "/status", "status")
        if answer is None:
            return None
        try:
            return Status(json.loads(answer.body))
        except (ValueError, TypeError, RecursionError):
            raise self._server.unavailable("status: no session status") from None

    async def next_pointer(self, package: SessionPackage) -> SessionPointer | None:
        """The pointer of the session that followed this one in flow, if one did.

        A session answers only under the host that stands in its own pointer (reference
        irma.md §2.2), wherever we reach the server.
        """
        pointer = urlsplit(package.session_ptr.u)
        token = _CLIENT_TOKEN.fullmatch(pointer.path)
        if token is None:
            return None
        path = f"irma/session/{token[1]}/frontend/status"
        headers = {
            "Authorization": package.frontend_request.authorization,
            "Host": pointer.netloc,
        }
        answer = await self._clients.call("GET", path, headers=headers)
        if not answer.ok:
            _raise_unless_unknown(self._clients.failure(answer, "frontend status"))
            return None
        try:
            return parse_frontend_status(answer.body).next_session
        except InvalidFrontendDocument as error:
            raise self._clients.unavailable(
                f"frontend status: no status: {error}"
            ) from None

    async def revoke(self, request: RevocationRequest) -> None:
        """Revoke a credential that the server has issued."""
        body, headers = await self._proof.revocation(request)
        answer = await self._server.call("POST", "revocation", body=body, headers=headers)
        if answer.ok:
            return
        said = irma_error_in(answer)
        if said is not None and said.error == ErrorKind.REVOCATION.error:
            # The one answer of a 500 that says something of what was asked for.
            raise BackendRefused(
                status=answer.status,
                error=said.error,
                description=said.description or "",
                message=said.message or "",
            )
        raise self._refused(answer, "revoke")

    async def signs(self) -> bool:
        """Whether the server has a key; it then signs all that it POSTs to us."""
        return await self._key.renewed() is not None

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
        _raise_unless_unknown(self._server.failure(answer, what))
        return None

    def _refused(self, answer: ServerAnswer, what: str) -> OrchestratorError:
        """Why a request of ours failed; where that is about us, the operator is told."""
        failure = self._server.failure_of_ours(answer, what)
        if isinstance(failure, NotAdmitted):
            _log.error("backend.not_admitted", what=what, why=str(failure))
        return failure


def _raise_unless_unknown(failure: OrchestratorError) -> None:
    """Nothing where the server only does not know the session."""
    unknown = ErrorKind.SESSION_UNKNOWN.error
    if not isinstance(failure, BackendRefused) or failure.error != unknown:
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
