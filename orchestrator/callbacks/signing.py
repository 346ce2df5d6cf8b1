"""Signing results as an IRMA server does (reference irma.md §6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from orchestrator.domain.errors import NotConfigured
from orchestrator.ports import Signer
from schemas.irma import JsonObject, SessionResult, legacy_claims, result_claims

DEFAULT_ISSUER: Final = "irmaserver"

KEY_BITS_MIN: Final = 2048

#: One signature takes a millisecond of one core; more threads than that gain nothing.
SIGNING_THREADS: Final = 2


class JwtSigner:
    """Signs results with one RSA key (RS256), off the event loop."""

    def __init__(self, key: RSAPrivateKey, executor: Executor, issuer: str) -> None:
        self._key = key
        self._executor = executor
        self._issuer = issuer

    @property
    def public_key_pem(self) -> str:
        """SPKI PEM of the key that verifies."""
        public = self._key.public_key()
        return public.public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        ).decode()

    async def sign(self, result: SessionResult, *, validity_s: int, now: datetime) -> str:
        """The result JWT; its header has `alg` and `typ`, and nothing else."""
        claims = result_claims(
            result, issuer=self._issuer, validity_s=validity_s, now=int(now.timestamp())
        )
        return await self._signed(claims)

    async def sign_legacy(
        self, result: SessionResult, *, validity_s: int, now: datetime
    ) -> str:
        """The JWT of `/getproof`, with the same header."""
        claims = legacy_claims(
            result, issuer=self._issuer, validity_s=validity_s, now=int(now.timestamp())
        )
        return await self._signed(claims)

    async def _signed(self, claims: JsonObject) -> str:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._encode, claims)

    def _encode(self, claims: JsonObject) -> str:
        return jwt.encode(claims, self._key, algorithm="RS256")


class NoSigner:
    """Stands in where there is no key: results are posted as JSON."""

    @property
    def public_key_pem(self) -> None:
        """No key, nothing to verify with."""

    async def sign(
        self, result: SessionResult, *, validity_s: int, now: datetime
    ) -> None:
        """No key, no signature."""

    async def sign_legacy(
        self, result: SessionResult, *, validity_s: int, now: datetime
    ) -> None:
        """No key, no signature."""


@asynccontextmanager
async def open_signer(
    key: RSAPrivateKey | None,
    *,
    issuer: str = DEFAULT_ISSUER,
    threads: int = SIGNING_THREADS,
) -> AsyncIterator[Signer]:
    """The signer for a key, with its threads; without a key one that does not sign.

    Args:
        key: what `private_key` read.
        issuer: the `iss` of every JWT; the claim is left out if empty.
        threads: how many signatures are made at a time.
    """
    if key is None:
        yield NoSigner()
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="signing") as executor:
        yield JwtSigner(key, executor, issuer)


def private_key(pem: str) -> RSAPrivateKey:
    """The RSA key in a PEM text, PKCS #8 or PKCS #1.

    Raises:
        NotConfigured: saying what is wrong with it, without repeating it.
    """
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        raise NotConfigured(
            "the JWT key is encrypted: give it without a password"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise NotConfigured("the JWT key is not a private key in PEM") from None
    if not isinstance(key, RSAPrivateKey):
        raise NotConfigured("the JWT key is not an RSA key; IRMA signs with RS256")
    if key.key_size < KEY_BITS_MIN:
        raise NotConfigured(
            f"the JWT key has {key.key_size} bits, at least {KEY_BITS_MIN} are needed"
        )
    return key


def private_key_file(path: Path) -> RSAPrivateKey:
    """The RSA key in a PEM file.

    Raises:
        NotConfigured: the file cannot be read, or as `private_key`.
    """
    try:
        pem = path.read_text(encoding="ascii")
    except OSError as error:
        why = error.strerror or "it cannot be read"
        raise NotConfigured(f"the JWT key's file {path.name}: {why}") from None
    except UnicodeDecodeError:
        raise NotConfigured("the JWT key is not a private key in PEM") from None
    return private_key(pem)
