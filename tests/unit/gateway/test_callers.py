"""Who calls our own API (DESIGN §7): the requestor's own credential."""

from __future__ import annotations

import pytest

from orchestrator.gateway.authentication import Authenticator
from orchestrator.gateway.callers import caller
from orchestrator.gateway.problems import Problem
from orchestrator.gateway.request_jwts import RequestKey
from schemas.irma import JsonObject
from tests.support.jwts import SECRET as HMAC_SECRET
from tests.support.jwts import by_rsa, by_secret, rsa_key
from tests.support.samples import NOW, SECRET

AT = int(NOW.timestamp())
KEYS = {
    "signer": RequestKey(requestor="signer", algorithm="HS256", secret=HMAC_SECRET),
    "rsa": RequestKey(
        requestor="rsa-key", algorithm="RS256", secret=rsa_key("rsa").public_key()
    ),
}
AUTHENTICATOR = Authenticator(tokens={"acme": SECRET, "two": "w ords"}, keys=KEYS)


def claims(**other: str | int) -> JsonObject:
    """What a JWT says that may read chains."""
    return {"iss": "signer", "sub": "chain_request", "iat": AT, **other}


def known(authorization: str) -> str:
    """The requestor that a credential is of."""
    return caller(AUTHENTICATOR, {"authorization": authorization}, NOW)


def unknown(
    headers: dict[str, str], authenticator: Authenticator = AUTHENTICATOR
) -> None:
    """Nobody: 401 with the challenge, and without the credential."""
    with pytest.raises(Problem) as caught:
        caller(authenticator, headers, NOW)
    assert caught.value.status == 401
    assert caught.value.headers == {"WWW-Authenticate": 'Bearer realm="chains"'}
    for value in headers.values():
        assert not value or value not in caught.value.detail


@pytest.mark.parametrize(
    "authorization,key",
    [
        (SECRET, "acme"),
        (f"Bearer {SECRET}", "acme"),
        (f"bearer  {SECRET}", "acme"),
        ("w ords", "two"),
    ],
)
def test_a_token_stands_there_raw_or_as_bearer(authorization: str, key: str) -> None:
    """As on the IRMA paths, or as on everybody else's."""
    assert known(authorization) == key


def test_who_signs_requests_signs_these_too() -> None:
    """HS256 or RS256, by the requestor's own key; `kid` names it as well as `iss`."""
    assert known(f"Bearer {by_secret(claims())}") == "signer"
    token = by_rsa(claims(iss="rsa"), owner="rsa")
    assert known(f"Bearer {token}") == "rsa-key"
    token = by_rsa(claims(iss="signer"), owner="rsa", kid="rsa")
    assert known(f"Bearer {token}") == "rsa-key"


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "wrong",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Basic {SECRET}",
        f"{SECRET} ",
        "caf\u00e9",
        "Bearer a.b.c",
        pytest.param(f"Bearer {by_secret(claims(sub='verification_request'))}", id="sub"),
        pytest.param(f"Bearer {by_secret(claims(iat=AT - 301))}", id="too old"),
        pytest.param(f"Bearer {by_secret(claims(iat=AT + 1))}", id="from the future"),
        pytest.param(f"Bearer {by_secret(claims(exp=AT))}", id="expired"),
        pytest.param(f"Bearer {by_secret(claims(iss='acme'))}", id="another's name"),
        pytest.param(f"Bearer {by_secret(claims(), b'x' * 32)}", id="another secret"),
        pytest.param(f"Bearer {by_rsa(claims(), owner='rsa')}", id="another method"),
    ],
)
def test_who_is_not_known_is_nobody(authorization: str) -> None:
    """401, without saying which part was wrong."""
    unknown({"authorization": authorization})


def test_a_credential_is_needed() -> None:
    """Where requestors have to say who they are."""
    unknown({})


@pytest.mark.parametrize("headers", [{}, {"authorization": "anything"}])
def test_with_no_auth_everybody_is_irmas_nobody(headers: dict[str, str]) -> None:
    """There is nothing to show."""
    assert caller(Authenticator(no_auth=True), headers, NOW) == "anonymous"
