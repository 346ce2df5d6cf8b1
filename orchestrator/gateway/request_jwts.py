"""Request JWTs: whose they are, and whether they hold now (reference irma.md §3.2).

Which algorithm verifies a JWT follows from its requestor's configured method; what its
own header says of that only has to agree. Nothing else in a header is acted upon.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from pydantic import JsonValue

from orchestrator.gateway.faults import IrmaFault
from schemas.irma import ErrorKind, InvalidDocument, JsonObject
from schemas.irma.documents import as_object, decoded, field_of

#: An honest header has a few dozen characters, some thousands with a certificate in it.
HEADER_CHARS_MAX: Final = 16 * 1024

#: A longer name is no requestor's, and need not be repeated in full.
_NAME_CHARS_MAX: Final = 200

_COMPACT: Final = re.compile(rb"([\w-]+)\.([\w-]+)\.([\w-]*)")

#: What changes how a JWT is to be read (RFC 7515 §4.1.11, RFC 7797); we know none of it.
_UNREADABLE: Final = ("crit", "b64")

#: What an IRMA server says of a signature that does not hold.
_BAD_SIGNATURE: Final = {
    "HS256": "signature is invalid",
    "RS256": "crypto/rsa: verification error",
}

#: Times are Go's `int64`.
_TIMES: Final = range(-(2**63), 2**63)


@dataclass(frozen=True, kw_only=True)
class RequestKey:
    """What verifies one requestor's JWTs.

    Attributes:
        requestor: the requestor's key in this installation.
        algorithm: the only one its JWTs may have.
        secret: the shared secret (HS256) or the public key (RS256).
    """

    requestor: str
    algorithm: Literal["HS256", "RS256"]
    secret: bytes | RSAPublicKey

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        """Whether this requestor has signed that."""
        algorithm = jwt.get_algorithm_by_name(self.algorithm)
        return algorithm.verify(signed, self.secret, signature)


class _Compact(NamedTuple):
    """A JWT taken apart; nothing in it is believed yet."""

    header: JsonObject
    payload: bytes
    signed: bytes
    signature: bytes


def verified_claims(
    body: bytes, keys: Mapping[str, RequestKey], *, age_max_s: int, now: datetime
) -> tuple[str, JsonObject]:
    """Who signed the JWT in a body, and its claims.

    Args:
        body: what was sent, with or without a line's end.
        keys: by the names that requestors have in JWTs.
        age_max_s: for how long after its `iat` a JWT may be used; as often as one likes.
        now: what the time is.

    Raises:
        IrmaFault: INVALID_REQUEST, or UNAUTHORIZED where it is only too old.
    """
    token = _taken_apart(body.rstrip(b"\r\n"))
    algorithm = token.header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in _BAD_SIGNATURE:
        raise nobody()
    for name in _UNREADABLE:
        if name in token.header:
            raise _refused(f"JWT header: {name} is not supported")
    key = _key_of(_name(token), algorithm, keys)
    if not key.verifies(token.signed, token.signature):
        raise _refused(_BAD_SIGNATURE[key.algorithm])
    claims = _claims(token.payload)
    _check_times(claims, age_max_s, now.timestamp())
    return key.requestor, claims


def nobody() -> IrmaFault:
    """The refusal of a request that nobody stands behind; IRMA knows no 401 (T12)."""
    return _refused("request could not be authenticated")


def _taken_apart(token: bytes) -> _Compact:
    parts = _COMPACT.fullmatch(token)
    if parts is None or len(parts[1]) > HEADER_CHARS_MAX:
        raise nobody()
    try:
        header, payload, signature = (_bytes(part) for part in parts.groups())
    except binascii.Error:
        raise nobody() from None
    signed = token[: parts.end(2)]
    return _Compact(_header(header), payload, signed, signature)


def _bytes(part: bytes) -> bytes:
    return base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))


def _header(raw: bytes) -> JsonObject:
    """The header; names that stand there twice could be read in two ways."""
    try:
        header: object = json.loads(raw, object_pairs_hook=_each_once)
    except (ValueError, RecursionError):
        raise nobody() from None
    if not isinstance(header, dict):
        raise nobody()
    return header


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a name stands twice")
    return fields


def _claims(payload: bytes) -> JsonObject:
    try:
        return as_object(decoded(payload, InvalidDocument), InvalidDocument)
    except InvalidDocument as fault:
        reason = f"JWT claims: {fault.message}"
    raise _refused(reason)


def _name(token: _Compact) -> JsonValue:
    """The requestor that a JWT names: by its `kid`, else its `iss` (trap T15).

    Of claims that nobody may have signed, no more than that is read.
    """
    if "kid" in token.header:
        return token.header["kid"]
    try:
        claims: object = json.loads(token.payload.decode(errors="replace"))
    except (ValueError, RecursionError):
        raise _refused("JWT claims: not JSON") from None
    return (field_of(claims, "iss") or "") if isinstance(claims, dict) else ""


def _key_of(
    name: JsonValue, algorithm: str, keys: Mapping[str, RequestKey]
) -> RequestKey:
    if not isinstance(name, str):
        raise _refused("requestor name was not of type string")
    key = keys.get(name)
    if key is None or key.algorithm != algorithm:
        raise _refused(f"Unknown requestor: {name[:_NAME_CHARS_MAX]}")
    return key


def _check_times(claims: JsonObject, age_max_s: int, now: float) -> None:
    """Expired, not yet valid, from the future, too old: in this order, without leeway."""
    expires_at, starts_at, issued_at = (_time(claims, n) for n in ("exp", "nbf", "iat"))
    if expires_at is not None and expires_at <= now:
        raise _refused(f"token is expired by {_in_go(int(now) - expires_at)}")
    if starts_at is not None and starts_at > now:
        raise _refused("token is not valid yet")
    if issued_at is not None and issued_at > now:
        raise _refused("token used before issued")
    if issued_at is None or issued_at + age_max_s < now:
        raise IrmaFault(ErrorKind.UNAUTHORIZED, "jwt too old")


def _time(claims: JsonObject, name: str) -> int | None:
    value = field_of(claims, name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value not in _TIMES:
        raise _refused(f"JWT claims: {name}: expected a time in whole seconds")
    return value


def _in_go(seconds: int) -> str:
    """A duration as Go writes it: 1h2m3s, 2m3s or 3s."""
    minutes, left_s = divmod(seconds, 60)
    hours, left_min = divmod(minutes, 60)
    if hours:
        return f"{hours}h{left_min}m{left_s}s"
    return f"{left_min}m{left_s}s" if left_min else f"{left_s}s"


def _refused(message: str) -> IrmaFault:
    return IrmaFault(ErrorKind.INVALID_REQUEST, message)
