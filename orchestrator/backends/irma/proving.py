"""Who we are at an IRMA server, shown with each request (reference irma.md §3)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from orchestrator.ports import Clock
from schemas.irma import JsonObject, RevocationRequest, SessionRequest, SessionType

#: An IRMA server refuses what was signed a second after its own clock (trap T13), so
#: requests are dated back: two clocks that are well set differ by less.
DATED_BACK_S: Final = 2

#: One signature takes a millisecond of one core; more threads than that gain nothing.
SIGNING_THREADS: Final = 2

#: What requests of each kind are called in JWTs, and the claim they stand in.
_PLACES: Final = {
    SessionType.DISCLOSING: ("verification_request", "sprequest"),
    SessionType.SIGNING: ("signature_request", "absrequest"),
    SessionType.ISSUING: ("issue_request", "iprequest"),
}
_REVOCATION: Final = ("revocation_request", "revrequest")


@dataclass(frozen=True, kw_only=True)
class RequestKey:
    """Our name there, and what signs requests: a secret (HS256) or RSA key (RS256)."""

    requestor: str
    secret: bytes | RSAPrivateKey = field(repr=False)


class Submission(NamedTuple):
    """A request as it goes out."""

    body: bytes
    headers: Mapping[str, str]


class Proof(Protocol):
    """Makes requests ours."""

    async def session(self, request: SessionRequest) -> Submission:
        """A session request."""

    async def revocation(self, request: RevocationRequest) -> Submission:
        """A revocation request."""


class Token:
    """Sends a raw key, or nothing where nobody has to show who he is."""

    def __init__(self, key: str | None) -> None:
        self._headers = {"Content-Type": "application/json"}
        if key:
            # The raw key: an IRMA server knows no Bearer (trap T11).
            self._headers["Authorization"] = key

    async def session(self, request: SessionRequest) -> Submission:
        """A session request as JSON."""
        return self._json(request.to_wire())

    async def revocation(self, request: RevocationRequest) -> Submission:
        """A revocation request as JSON."""
        return self._json(request.to_wire())

    def _json(self, content: JsonObject) -> Submission:
        body = json.dumps(content, separators=(",", ":")).encode()
        return Submission(body, self._headers)


class SignedRequests:
    """Sends JWTs; RSA signatures are made off the event loop."""

    def __init__(self, key: RequestKey, executor: Executor, clock: Clock) -> None:
        self._key = key
        self._executor = executor
        self._clock = clock

    async def session(self, request: SessionRequest) -> Submission:
        """A session request, always in its extended form (trap T34)."""
        return await self._jwt(*_PLACES[request.type], request.to_wire())

    async def revocation(self, request: RevocationRequest) -> Submission:
        """A revocation request."""
        return await self._jwt(*_REVOCATION, request.to_wire())

    async def _jwt(self, subject: str, claim: str, content: JsonObject) -> Submission:
        claims: JsonObject = {
            "iss": self._key.requestor,
            "iat": int(self._clock().timestamp()) - DATED_BACK_S,
            "sub": subject,
            claim: content,
        }
        loop = asyncio.get_running_loop()
        signed = await loop.run_in_executor(self._executor, self._encode, claims)
        return Submission(signed.encode(), {"Content-Type": "text/plain"})

    def _encode(self, claims: JsonObject) -> str:
        secret = self._key.secret
        algorithm = "HS256" if isinstance(secret, bytes) else "RS256"
        return jwt.encode(claims, secret, algorithm=algorithm)


@asynccontextmanager
async def open_proof(
    key: str | RequestKey | None, *, clock: Clock
) -> AsyncIterator[Proof]:
    """What proves who we are, with its threads.

    Args:
        key: our token there, what signs our requests, or nothing.
        clock: what the time is.
    """
    if not isinstance(key, RequestKey):
        yield Token(key)
        return
    with ThreadPoolExecutor(SIGNING_THREADS, thread_name_prefix="requests") as executor:
        yield SignedRequests(key, executor, clock)
