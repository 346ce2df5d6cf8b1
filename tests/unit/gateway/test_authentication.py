"""Who is asking: the methods none and token, as an IRMA server's (irma.md §3.1)."""

from __future__ import annotations

import pytest
from fastapi import Request

from orchestrator.domain.permissions import ANONYMOUS
from orchestrator.gateway.authentication import Authenticator
from orchestrator.gateway.faults import IrmaFault

TOKENS = {"acme": "acmes-secret", "other": "others-secret"}

JSON = {"content-type": "application/json"}


def asked(
    headers: dict[str, str],
    tokens: dict[str, str] | None = None,
    *,
    no_auth: bool = False,
) -> str:
    """The requestor that an authenticator finds in these headers."""
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    authenticator = Authenticator(
        tokens=TOKENS if tokens is None else tokens, no_auth=no_auth
    )
    return authenticator.requestor(Request({"type": "http", "headers": raw}))


def refused(
    headers: dict[str, str],
    tokens: dict[str, str] | None = None,
    *,
    no_auth: bool = False,
) -> tuple[int | None, str | None, str | None]:
    """Status, error and message of a refusal."""
    with pytest.raises(IrmaFault) as caught:
        asked(headers, tokens, no_auth=no_auth)
    error = caught.value.error
    return error.status, error.error, error.message


@pytest.mark.parametrize("key", sorted(TOKENS))
def test_a_token_names_its_requestor(key: str) -> None:
    """The raw token, without `Bearer`."""
    assert asked(JSON | {"authorization": TOKENS[key]}) == key


def test_a_token_is_compared_byte_by_byte() -> None:
    """A client may send UTF-8 in a header, though the server reads Latin-1."""
    sent = "clé-secrète".encode().decode("latin-1")
    assert asked(JSON | {"authorization": sent}, {"acme": "clé-secrète"}) == "acme"


def test_the_content_type_may_have_parameters() -> None:
    """Only how it starts matters."""
    headers = {"content-type": "application/json; charset=utf-8"}
    assert asked(headers | {"authorization": "acmes-secret"}) == "acme"


@pytest.mark.parametrize(
    "token", ["wrong", "", "acmes-secre", "Bearer acmes-secret", "\xe9", "acmes-secret "]
)
def test_an_unknown_token_is_unauthorized(token: str) -> None:
    """403 as the IRMA server's, whatever is given, and the token is not repeated."""
    assert refused(JSON | {"authorization": token}) == (403, "UNAUTHORIZED", None)


def test_missing_credentials_are_an_invalid_request() -> None:
    """IRMA never answers 401."""
    expected = (400, "INVALID_REQUEST", "request could not be authenticated")
    assert refused(JSON) == expected
    assert refused(JSON | {"authorization": "x"}, {}) == expected
    assert refused({"content-type": "text/plain"}) == expected


def test_without_authentication_everybody_is_nobody() -> None:
    """IRMA's requestor "" is ours called anonymous; a token makes no difference to it."""
    assert asked(JSON, {}, no_auth=True) == ANONYMOUS
    assert asked(JSON, no_auth=True) == ANONYMOUS
    with_token = JSON | {"authorization": "x"}
    assert refused(with_token, {}, no_auth=True)[:2] == (400, "INVALID_REQUEST")


def test_a_token_counts_where_none_is_needed() -> None:
    """Who shows one is that requestor, or nobody at all."""
    assert asked(JSON | {"authorization": "acmes-secret"}, no_auth=True) == "acme"
    wrong = JSON | {"authorization": "wrong"}
    assert refused(wrong, no_auth=True)[:2] == (403, "UNAUTHORIZED")


@pytest.mark.parametrize("content_type", ["text/html", "", "xapplication/json"])
def test_other_content_types_are_named(content_type: str) -> None:
    """The message is the IRMA server's own."""
    headers = {"content-type": content_type, "authorization": "acmes-secret"}
    message = f"Unsupported Content-Type: {content_type}"
    assert refused(headers) == (400, "INVALID_REQUEST", message)


def test_no_content_type_is_none_of_ours() -> None:
    """A request without one is refused like one with another."""
    assert refused({"authorization": "acmes-secret"})[2] == "Unsupported Content-Type: "
