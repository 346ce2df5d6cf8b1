"""Who asks: nobody in particular, a token's holder or a JWT's signer (irma.md §3).

The order of the checks is the server's: a right content type with nobody behind it is one
refusal, a known requestor's bad JWT another.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from orchestrator.sandbox.config import AuthMethod, Requestor, SandboxConfig
from orchestrator.sandbox.faults import Refused
from orchestrator.sandbox.keys import hmac_secret, rsa_public_key
from schemas.irma import ErrorKind, InvalidDocument, JsonObject
from schemas.irma.documents import decoded

_METHODS: Final = {"HS256": AuthMethod.HMAC, "RS256": AuthMethod.PUBLICKEY}
_BAD_SIGNATURE: Final = {
    AuthMethod.HMAC: "signature is invalid",
    AuthMethod.PUBLICKEY: "crypto/rsa: verification error",
}
_JSON: Final = "application/json"
_TEXT: Final = "text/plain"
_BLANKS: Final = " \t"
_STRINGS: Final = ("aud", "iss", "jti", "sub")
_TIMES: Final = ("exp", "iat", "nbf")


@dataclass(frozen=True)
class Authenticated:
    """Who asks and, if that came in a JWT, for what."""

    #: The requestor's name; "" where nobody has to authenticate.
    requestor: str
    claims: JsonObject | None = None


def authenticated(
    config: SandboxConfig,
    *,
    content_type: str,
    authorization: str | None,
    body: bytes,
    now: float,
) -> Authenticated:
    """Who sent a request, if the server can tell."""
    content_type = content_type.strip(_BLANKS)
    authorization = (authorization or "").strip(_BLANKS) or None
    if content_type.startswith(_JSON):
        by_header = _by_token(config, authorization)
        if by_header is not None:
            return by_header
    elif content_type.startswith(_TEXT):
        if not config.no_auth and authorization is None:
            return _by_jwt(config, body, now)
    else:
        message = f"Unsupported Content-Type: {content_type}"
        raise Refused(ErrorKind.INVALID_REQUEST, message)
    raise _nobody()


def _by_token(config: SandboxConfig, authorization: str | None) -> Authenticated | None:
    if config.no_auth:
        return Authenticated("") if authorization is None else None
    if authorization is None:
        return None
    for name, requestor in config.requestors.items():
        if requestor.auth_method is AuthMethod.TOKEN and requestor.key == authorization:
            return Authenticated(name)
    raise Refused(ErrorKind.UNAUTHORIZED)


def _by_jwt(config: SandboxConfig, body: bytes, now: float) -> Authenticated:
    token = body.decode(errors="replace")
    try:
        header = jwt.get_unverified_header(token)
        unverified = jwt.decode_complete(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        raise _nobody() from None
    method = _METHODS.get(header["alg"])
    if method is None or not _standard(unverified["payload"]):
        raise _nobody()
    name = header.get("kid", unverified["payload"].get("iss") or "")
    if not isinstance(name, str):
        raise _refused("requestor name was not a string")
    requestor = config.requestors.get(name)
    if requestor is None or requestor.auth_method is not method:
        raise _refused(f"Unknown requestor: {name}")
    claims = _verified(token, header["alg"], requestor)
    _check_times(claims, config.max_request_age, now)
    return Authenticated(name, claims)


def _standard(claims: JsonObject) -> bool:
    """Whether the standard claims are of their types; null is none."""
    strings = (claims.get(name) for name in _STRINGS)
    times = (claims.get(name) for name in _TIMES)
    return all(isinstance(claim, str | None) for claim in strings) and all(
        isinstance(claim, int | None) and not isinstance(claim, bool) for claim in times
    )


def _verified(token: str, algorithm: str, requestor: Requestor) -> JsonObject:
    """The claims, once the signature holds."""
    try:
        payload = jwt.PyJWS().decode(token, _key(requestor), algorithms=[algorithm])
    except jwt.InvalidTokenError:
        raise _refused(_BAD_SIGNATURE[requestor.auth_method]) from None
    try:
        claims = decoded(payload, InvalidDocument)
    except InvalidDocument as fault:
        raise _refused(fault.message) from None
    if not isinstance(claims, dict):
        raise _refused("the claims are not an object")
    return claims


def _check_times(claims: JsonObject, age_max_s: int, now: float) -> None:
    """Not yet valid, from the future, expired, too old: in this order, to the second."""
    expires_at, issued_at, starts_at = (_time(claims, n) for n in ("exp", "iat", "nbf"))
    if starts_at > now:
        raise _refused("token is not valid yet")
    if issued_at > now:
        raise _refused("token used before issued")
    if expires_at and expires_at <= now:
        raise _refused(f"token is expired by {_in_go(int(now) - expires_at)}")
    if issued_at + age_max_s < now:
        raise Refused(ErrorKind.UNAUTHORIZED, "jwt too old")


def _time(claims: JsonObject, name: str) -> int:
    """A time; 0 is none."""
    value = claims.get(name)
    return value if isinstance(value, int) else 0


def _key(requestor: Requestor) -> RSAPublicKey | bytes:
    if requestor.auth_method is AuthMethod.HMAC:
        return hmac_secret(requestor.key)
    return rsa_public_key(requestor.key)


def _in_go(seconds: int) -> str:
    """A duration as Go writes it: 1h2m3s, 2m3s or 3s."""
    hours, rest = divmod(int(timedelta(seconds=seconds).total_seconds()), 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m{left}s"
    return f"{minutes}m{left}s" if minutes else f"{left}s"


def _nobody() -> Refused:
    return _refused("request could not be authenticated")


def _refused(message: str) -> Refused:
    return Refused(ErrorKind.INVALID_REQUEST, message)
