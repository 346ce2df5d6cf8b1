"""Requestors (reference irma.md §3.1) and operators of the configuration, who ask."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from orchestrator.app.credentials import hmac_secret, required_key, rsa_public_key
from orchestrator.domain.errors import NotConfigured
from orchestrator.gateway.authentication import Authenticator
from orchestrator.gateway.operators import Operators
from orchestrator.gateway.request_jwts import RequestKey
from orchestrator.settings import Requestor, Settings

#: Who guesses tokens has all the time there is.
TOKEN_CHARS_MIN: Final = 24

_HASHED: Final = "sha256:"
_HASH: Final = re.compile(r"sha256:([0-9a-fA-F]{64})")
_TOKEN: Final = re.compile(rf"[!-~]{{{TOKEN_CHARS_MIN},}}")


def make_authenticator(settings: Settings) -> Authenticator:
    """Knows who is asking.

    Raises:
        NotConfigured: naming the key that cannot be used, or two names that a JWT could
            not tell apart.
    """
    routing_keys = settings.requestor_keys()
    tokens: dict[str, str] = {}
    keys: dict[str, RequestKey] = {}
    for name, entry in settings.requestors.items():
        if entry.auth_method == "token":
            tokens[routing_keys[name]] = required_key(entry, whose=_whose(name))
        else:
            key = _request_key(name, routing_keys[name], entry)
            # An IRMA server knows the names of its configuration in lower case, so these
            # are in JWTs already; one in its own spelling is meant all the same.
            for spelling in {name, name.lower()}:
                keys[spelling] = key
    _refuse_equal_names(settings)
    _refuse_equal_tokens(tokens)
    return Authenticator(
        tokens=tokens,
        keys=keys,
        no_auth=settings.no_auth,
        request_age_max_s=settings.max_request_age,
    )


def make_operators(settings: Settings, requestors: Authenticator) -> Operators:
    """Knows who may use the operators' API; they are known by hashes of their tokens.

    Raises:
        NotConfigured: naming the token that cannot be used.
    """
    digests = {
        name: _token_digest(required_key(entry, whose=whose), whose)
        for name, entry in settings.operators.items()
        for whose in (f"operators.{name}",)
    }
    owners = {
        hashlib.sha256(token.encode()).digest(): f"requestors.{key}"
        for key, token in requestors.tokens.items()
    }
    for name, digest in digests.items():
        other = owners.setdefault(digest, f"operators.{name}")
        if other != f"operators.{name}":
            raise NotConfigured(f"operators.{name} and {other} have the same key")
    return Operators(digests=digests)


def _token_digest(text: str, whose: str) -> bytes:
    if found := _HASH.fullmatch(text):
        return bytes.fromhex(found[1])
    if text.startswith(_HASHED):
        raise NotConfigured(f"{whose}.key: no SHA-256 hash, which has 64 hexadecimals")
    if not _TOKEN.fullmatch(text):
        raise NotConfigured(
            f"{whose}.key: a token needs at least {TOKEN_CHARS_MIN} visible ASCII"
            " characters and no blanks, as `openssl rand -hex 32` makes it"
        )
    return hashlib.sha256(text.encode()).digest()


def _request_key(name: str, routing_key: str, entry: Requestor) -> RequestKey:
    whose = _whose(name)
    text = required_key(entry, whose=whose)
    if entry.auth_method == "hmac":
        secret = hmac_secret(text, whose=whose)
        return RequestKey(requestor=routing_key, algorithm="HS256", secret=secret)
    public = rsa_public_key(text, whose=whose)
    return RequestKey(requestor=routing_key, algorithm="RS256", secret=public)


def _refuse_equal_names(settings: Settings) -> None:
    """Names that differ by case alone are one name at an IRMA server."""
    spellings: dict[str, str] = {}
    for name in settings.requestors:
        other = spellings.setdefault(name.lower(), name)
        if other != name:
            raise NotConfigured(
                f"requestors {other!r} and {name!r}: an IRMA server knows names in lower"
                " case, so these are one: give one of them another name"
            )


def _refuse_equal_tokens(tokens: dict[str, str]) -> None:
    """Who sends a token is known by it, wherever that was read from."""
    owners: dict[str, str] = {}
    for requestor, token in tokens.items():
        other = owners.setdefault(token, requestor)
        if other != requestor:
            raise NotConfigured(f"requestors {other} and {requestor} have the same key")


def _whose(name: str) -> str:
    return f"requestors.{name}"
