"""Reading results that are POSTed to us, and the key that shows whose they are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.types import Options
from pydantic import JsonValue

from orchestrator.domain.errors import BackendUnavailable, Undecodable
from orchestrator.ports import Clock
from schemas.irma import (
    InvalidSessionResult,
    SessionResult,
    parse_session_result,
    result_from_claims,
)

_JSON: Final = "application/json"
_JWT: Final = "text/plain"

#: Times are checked below, by our own clock.
_CHECKS: Final[Options] = {
    "require": ["exp"],
    "verify_aud": False,
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}


class ServerKey:
    """The public key of an IRMA server, or the knowledge that it has none.

    It is looked up when first needed, and again when a result does not fit to what is
    known, but then at most every `refresh_s`: nobody can make us ask with bad results.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[RSAPublicKey | None]],
        *,
        refresh_s: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._fetch = fetch
        self._refresh_s = refresh_s
        self._monotonic = monotonic
        self._key: RSAPublicKey | None = None
        self._asked_at: float | None = None
        self._failed: tuple[float, str] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def known(self) -> RSAPublicKey | None:
        """What we know, asking the server only when we never did."""
        if self._asked_at is None:
            await self._ask(unless_within_s=float("inf"))
        return self._key

    async def renewed(self) -> RSAPublicKey | None:
        """What the server says now, or said a short while ago."""
        await self._ask(unless_within_s=self._refresh_s)
        return self._key

    async def _ask(self, *, unless_within_s: float) -> None:
        wanted_at = self._monotonic()
        async with self._one_at_a_time:
            if self._failed is not None and self._failed[0] > wanted_at:
                raise BackendUnavailable(self._failed[1])
            now = self._monotonic()
            if self._asked_at is None or now - self._asked_at >= unless_within_s:
                await self._look_up()

    async def _look_up(self) -> None:
        """Ask the server; who waited for this meanwhile shares its failure."""
        asked_at = self._monotonic()
        try:
            self._key = await self._fetch()
        except BackendUnavailable as error:
            self._failed = self._monotonic(), str(error)
            raise
        self._asked_at = asked_at


class ResultReader:
    """Reads POSTed results, signed or not.

    Args:
        key: the IRMA server's public key.
        require_signed: whether unsigned results are refused; None means "if the server
            has a key": it then signs all it posts (reference irma.md §7.2).
        leeway_s: how far the two clocks may differ before a JWT counts as expired.
        clock: what the time is.
    """

    def __init__(
        self,
        key: ServerKey,
        *,
        require_signed: bool | None,
        leeway_s: float,
        clock: Clock,
    ) -> None:
        self._key = key
        self._require_signed = require_signed
        self._leeway_s = leeway_s
        self._clock = clock

    async def read(self, body: bytes, content_type: str) -> SessionResult:
        """The result in a body.

        Raises:
            Undecodable: no session result, not signed by this server, or out of date.
        """
        media_type = content_type.partition(";")[0].strip().lower()
        try:
            if media_type == _JSON:
                return await self._from_json(body)
            if media_type == _JWT:
                return result_from_claims(await self._verified(body))
        except InvalidSessionResult as error:
            raise Undecodable(f"no session result: {error}") from None
        raise Undecodable("no session result: neither application/json nor text/plain")

    async def _from_json(self, body: bytes) -> SessionResult:
        signed = self._require_signed
        if signed is None:
            # Ask again before refusing: the server may have lost its key since.
            signed = bool(await self._key.known()) and bool(await self._key.renewed())
        if signed:
            raise Undecodable("the result is not signed, as this IRMA server's must be")
        return parse_session_result(body)

    async def _verified(self, token: bytes) -> dict[str, JsonValue]:
        claims = _claims(token, await self._key.known())
        if claims is None:
            claims = _claims(token, await self._key.renewed())
        if claims is None:
            raise Undecodable("the result's signature is not this IRMA server's")
        if _expired(claims, self._clock().timestamp() - self._leeway_s):
            raise Undecodable("the result's JWT has expired")
        return claims


def _claims(token: bytes, key: RSAPublicKey | None) -> dict[str, JsonValue] | None:
    """The claims of a JWT; None when it is not of this key.

    Raises:
        Undecodable: it is no RS256 JWT, whatever the key.
    """
    if key is None:
        return None
    try:
        claims: dict[str, JsonValue] = jwt.decode(
            token, key, algorithms=["RS256"], options=_CHECKS
        )
    except jwt.InvalidSignatureError:
        return None
    except jwt.InvalidTokenError as error:
        raise Undecodable(f"no result JWT: {type(error).__name__}") from None
    return claims


def _expired(claims: Mapping[str, JsonValue], now: float) -> bool:
    expiry = claims.get("exp")
    return not isinstance(expiry, int | float) or expiry < now
