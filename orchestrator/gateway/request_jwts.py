"""Request JWTs: whose they are, and whether they hold now (reference irma.md §3.2).

Which algorithm verifies a JWT follows from its requestor's configured method; what its
own header says of that only has to agree. Nothing else in a header is acted upon.

The order of the checks is that of the library an IRMA server uses (golang-jwt v4): what
is no JWT with the standard claims is nobody's, whoever it names.
"""

from __future__ import annotations

import base64
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
from schemas.irma.documents import as_object, decoded, field_of, fold

#: An honest header has a few dozen characters, some thousands with a certificate in it.
HEADER_CHARS_MAX: Final = 16 * 1024

#: A longer name is no requestor's, and need not be repeated in full.
_NAME_CHARS_MAX: Final = 200

_DOTS: Final = 2

#: Line ends mean nothing to Go, wherever they are.
_LINE_ENDS: Final = b"\r\n"
_BASE64URL: Final = re.compile(rb"[\w\r\n-]*")

#: What changes how a JWT is to be read (RFC 7515 §4.1.11, RFC 7797); we know none of it.
_UNREADABLE: Final = ("crit", "b64")

#: What an IRMA server says of a signature that does not hold.
_BAD_SIGNATURE: Final = {
    "HS256": "signature is invalid",
    "RS256": "crypto/rsa: verification error",
}

#: The standard claims, as that library has them; it knows `aud` as one string only.
_STRINGS: Final = frozenset({"aud", "iss", "jti", "sub"})
_TIMES: Final = frozenset({"exp", "iat", "nbf"})

#: Times are Go's `int64`, durations of nanoseconds too.
_INT64: Final = range(-(2**63), 2**63)
_LONGEST: Final = (2**63 // 10**9, "2562047h47m16.854775807s")


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
    claims: JsonObject
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
    token = _taken_apart(body)
    algorithm = token.header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in _BAD_SIGNATURE:
        raise nobody()
    for name in _UNREADABLE:
        if name in token.header:
            raise _refused(f"JWT header: {name} is not supported")
    key = _key_of(_name(token), algorithm, keys)
    if (at := _fault_in(token.signature)) is not None:
        raise _refused(f"illegal base64 data at input byte {at}")
    if not key.verifies(token.signed, _bytes(token.signature)):
        raise _refused(_BAD_SIGNATURE[key.algorithm])
    _check_times(token.claims, age_max_s, now.timestamp())
    return key.requestor, token.claims


def nobody() -> IrmaFault:
    """The refusal of a request that nobody stands behind; IRMA knows no 401 (T12)."""
    return _refused("request could not be authenticated")


def _taken_apart(token: bytes) -> _Compact:
    if token.count(b".") != _DOTS:
        raise nobody()
    signed, _, signature = token.rpartition(b".")
    header, _, payload = signed.partition(b".")
    readable = _fault_in(header) is _fault_in(payload) is None
    if len(header) > HEADER_CHARS_MAX or not readable:
        raise nobody()
    return _Compact(_header(_bytes(header)), _claims(_bytes(payload)), signed, signature)


def _fault_in(part: bytes) -> int | None:
    """Where a part stops being base64url without padding to Go, or None."""
    readable = _BASE64URL.match(part)
    if readable is not None and readable.end() < len(part):
        return readable.end()
    lone = len(part.translate(None, _LINE_ENDS)) % 4 == 1
    return len(part) - 1 if lone else None


def _bytes(part: bytes) -> bytes:
    digits = part.translate(None, _LINE_ENDS)
    return base64.urlsafe_b64decode(digits + b"=" * (-len(digits) % 4))


def _header(raw: bytes) -> JsonObject:
    """The header; names that stand there twice could be read in two ways."""
    try:
        text = raw.decode(errors="replace")
        header: object = json.loads(text, object_pairs_hook=_each_once)
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
    """The claims, as yet nobody's and so bounded; the standard ones have their types."""
    try:
        claims = as_object(decoded(payload, InvalidDocument), InvalidDocument)
    except InvalidDocument:
        raise nobody() from None
    if not all(_of_its_type(fold(name), claim) for name, claim in claims.items()):
        raise nobody()
    return claims


def _of_its_type(name: str, claim: JsonValue) -> bool:
    if claim is None:
        return True
    if name in _TIMES:
        whole = isinstance(claim, int) and not isinstance(claim, bool)
        return whole and claim in _INT64
    return name not in _STRINGS or isinstance(claim, str)


def _name(token: _Compact) -> JsonValue:
    """The requestor that a JWT names: by its `kid`, else its `iss` (trap T15)."""
    if "kid" in token.header:
        return token.header["kid"]
    return field_of(token.claims, "iss") or ""


def _key_of(
    name: JsonValue, algorithm: str, keys: Mapping[str, RequestKey]
) -> RequestKey:
    if not isinstance(name, str):
        raise _refused("requestor name was not a string")
    key = keys.get(name)
    if key is None or key.algorithm != algorithm:
        raise _refused(f"Unknown requestor: {name[:_NAME_CHARS_MAX]}")
    return key


def _check_times(claims: JsonObject, age_max_s: int, now: float) -> None:
    """Not yet valid, from the future, expired, too old: in this order, without leeway.

    Of several faults that library tells the last one it finds.
    """
    expires_at, issued_at, starts_at = (_time(claims, n) for n in ("exp", "iat", "nbf"))
    if starts_at > now:
        raise _refused("token is not valid yet")
    if issued_at > now:
        raise _refused("token used before issued")
    if expires_at and expires_at <= now:
        raise _refused(f"token is expired by {_in_go(int(now) - expires_at)}")
    if issued_at + age_max_s < now:
        raise IrmaFault(ErrorKind.UNAUTHORIZED, "jwt too old")


def _time(claims: JsonObject, name: str) -> int:
    """A time in whole seconds; to Go 0 is as good as none."""
    value = field_of(claims, name)
    return value if isinstance(value, int) else 0


def _in_go(seconds: int) -> str:
    """A duration as Go writes it: 1h2m3s, 2m3s or 3s."""
    longest_s, longest = _LONGEST
    if seconds > longest_s:
        return longest
    minutes, left_s = divmod(seconds, 60)
    hours, left_min = divmod(minutes, 60)
    if hours:
        return f"{hours}h{left_min}m{left_s}s"
    return f"{left_min}m{left_s}s" if left_min else f"{left_s}s"


def _refused(message: str) -> IrmaFault:
    return IrmaFault(ErrorKind.INVALID_REQUEST, message)
