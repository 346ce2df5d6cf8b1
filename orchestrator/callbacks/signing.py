"""Signing what is POSTed: results as an IRMA server does, bodies as webhooks are.

Source: reference irma.md §6; Standard Webhooks 1.0.0; DESIGN §7.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Final, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from orchestrator.callbacks.jwks import PublishedKey, key_set
from orchestrator.callbacks.keys import PrivateKey, algorithm_of, public_pem
from orchestrator.domain.webhooks import HmacSecret, WebhookSecret, webhook_signature
from orchestrator.ports import Signer
from schemas.irma import JsonObject, SessionResult, legacy_claims, result_claims

DEFAULT_ISSUER: Final = "irmaserver"

#: One RSA signature takes a millisecond of one core; more threads gain nothing.
SIGNING_THREADS: Final = 2

#: HMAC over so much in all takes less time than to hand it over to a thread.
IN_PLACE_BYTES_MAX: Final = 64 * 1024

_NO_WEBHOOKS: Final[Mapping[str, Sequence[WebhookSecret]]] = MappingProxyType({})


class _Claims(Protocol):
    def __call__(self, *, issuer: str, validity_s: int, now: int) -> JsonObject:
        """What a JWT says of a result."""


@dataclass(frozen=True, kw_only=True)
class JwtKey:
    """The key that signs results; `kid` is its configured name, if it has one."""

    key: PrivateKey
    kid: str | None = None

    @property
    def published(self) -> PublishedKey:
        """The key that verifies."""
        return PublishedKey(key=self.key.public_key(), kid=self.kid)

    @property
    def headers(self) -> dict[str, str]:
        """What the header of a JWT has besides `alg` and `typ`.

        An IRMA server's has nothing. It has no keys but RSA, so with any other the
        receiver is one that knows more, and is told which key it is.
        """
        if isinstance(self.key, RSAPrivateKey) and self.kid is None:
            return {}
        return {"kid": self.published.name}


class ThreadedSigner:
    """Signs off the event loop; without a key it makes no JWTs.

    Args:
        key: signs results.
        published: further keys that receivers may trust.
        webhooks: the secrets of each requestor, by its key.
        executor: its threads sign.
        issuer: the `iss` of every JWT; the claim is left out if empty.

    Raises:
        NotConfigured: two keys have one `kid`.
    """

    def __init__(
        self,
        key: JwtKey | None,
        *,
        published: Sequence[PublishedKey],
        webhooks: Mapping[str, Sequence[WebhookSecret]],
        executor: Executor,
        issuer: str,
    ) -> None:
        signing = [key.published] if key else []
        self._public_keys = key_set([*signing, *published])
        self._public_key_pem = public_pem(signing[0].key) if signing else None
        self._encode = _encoder(key) if key else None
        self._webhooks = webhooks
        self._executor = executor
        self._issuer = issuer

    @property
    def public_key_pem(self) -> str | None:
        """SPKI PEM of the key that verifies, or None without a key."""
        return self._public_key_pem

    @property
    def public_keys(self) -> Sequence[JsonObject]:
        """The keys that receivers may trust, as JWKs; the one that signs comes first."""
        return self._public_keys

    async def sign(
        self, result: JsonObject, *, validity_s: int, now: datetime
    ) -> str | None:
        """The result JWT; with an RSA key its header is the IRMA server's."""
        return await self._signed(partial(result_claims, result), validity_s, now)

    async def sign_legacy(
        self, result: SessionResult, *, validity_s: int, now: datetime
    ) -> str | None:
        """The JWT of `/getproof`, with the same header."""
        return await self._signed(partial(legacy_claims, result), validity_s, now)

    async def sign_webhook(
        self, requestor: str, webhook_id: str, body: bytes, *, now: datetime
    ) -> str | None:
        """The `webhook-signature` of a body; None for a requestor without secrets."""
        secrets = self._webhooks.get(requestor, ())
        if not secrets:
            return None
        sign = partial(
            webhook_signature, secrets, webhook_id=webhook_id, body=body, now=now
        )
        if _quick(secrets, body):
            return sign()
        return await self._in_thread(sign)

    async def _signed(
        self, claims_of: _Claims, validity_s: int, now: datetime
    ) -> str | None:
        if (encode := self._encode) is None:
            return None
        claims = partial(
            claims_of,
            issuer=self._issuer,
            validity_s=validity_s,
            now=int(now.timestamp()),
        )
        return await self._in_thread(lambda: encode(claims()))

    async def _in_thread(self, make: Callable[[], str]) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._executor, make)


@asynccontextmanager
async def open_signer(
    key: PrivateKey | None,
    *,
    kid: str | None = None,
    published: Sequence[PublishedKey] = (),
    webhooks: Mapping[str, Sequence[WebhookSecret]] = _NO_WEBHOOKS,
    issuer: str = DEFAULT_ISSUER,
    threads: int = SIGNING_THREADS,
) -> AsyncIterator[Signer]:
    """The signer with its threads; without a key one that makes no JWTs.

    Args:
        key: what `private_key` read.
        kid: its name in JWTs; without one JWTs of an RSA key name none, others the
            thumbprint.
        published: further keys that receivers may trust.
        webhooks: the secrets of each requestor, by its key.
        issuer: the `iss` of every JWT; the claim is left out if empty.
        threads: how many signatures are made at a time.

    Raises:
        NotConfigured: two keys have one `kid`.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="signing") as executor:
        yield ThreadedSigner(
            JwtKey(key=key, kid=kid) if key else None,
            published=published,
            webhooks=webhooks,
            executor=executor,
            issuer=issuer,
        )


def _encoder(key: JwtKey) -> Callable[[JsonObject], str]:
    """Makes JWTs; what depends on the key alone is worked out once."""
    return partial(
        jwt.encode,
        key=key.key,
        algorithm=algorithm_of(key.published.key),
        headers=key.headers,
    )


def _quick(secrets: Sequence[WebhookSecret], body: bytes) -> bool:
    """Whether signing here takes less time than to have it done by a thread."""
    hmac_only = all(isinstance(secret, HmacSecret) for secret in secrets)
    return hmac_only and len(secrets) * len(body) <= IN_PLACE_BYTES_MAX
