"""Settings become objects: who we are at the IRMA server, and what requestors may."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from pydantic import JsonValue

from orchestrator.app.tools import default_host, make_requestors, server_key
from orchestrator.backends.irma import RequestKey
from orchestrator.domain.errors import NotConfigured
from orchestrator.domain.permissions import Refusal
from orchestrator.settings import IrmaServer, Settings
from schemas.irma import revocation_request_from
from tests.support import jwts

URL = "https://irma.example:8088/prefix"


def server(**fields: JsonValue) -> IrmaServer:
    """The section of the IRMA server."""
    return IrmaServer.model_validate({"url": URL, **fields})


def settings(**fields: JsonValue) -> Settings:
    """Settings of one requestor."""
    return Settings.model_validate(
        {
            "broker_url": "amqp://mq.example/",
            "database_url": "sqlite:///chains.db",
            "public_url": "https://chains.example",
            "irma_server": {"url": URL},
            "sealing": {"key": "A" * 43, "hash_key": "B" * 42 + "A"},
            "requestors": {"acme": {"key": "k", "revoke_perms": ["a.b.*"]}},
            **fields,
        }
    )


def test_a_token_or_nothing() -> None:
    """Without a key the server has to run with `no_auth`."""
    assert server_key(server()) is None
    assert server_key(server(key="token")) == "token"


def test_a_secret() -> None:
    """HS256 with the secret that the configured base64 means."""
    text = base64.b64encode(jwts.SECRET).decode()
    key = server_key(server(auth_method="hmac", key=text, requestor="us"))
    assert key == RequestKey(requestor="us", secret=jwts.SECRET)
    assert jwts.SECRET.decode() not in repr(key)


def test_a_key_pair() -> None:
    """RS256 with our private key."""
    pem = jwts.private_pem(jwts.rsa_key("us"))
    key = server_key(server(auth_method="publickey", key=pem))
    assert isinstance(key, RequestKey)
    assert isinstance(key.secret, RSAPrivateKey)
    assert key.requestor == "orchestrator"


@pytest.mark.parametrize(
    "method,key,why",
    [
        ("token", "", "empty"),
        ("hmac", "MARKER!", "not base64"),
        ("hmac", base64.b64encode(b"short").decode(), "5 bytes; HS256 needs 32"),
        ("publickey", "MARKER", "not a private key in PEM"),
        ("publickey", jwts.public_pem(jwts.rsa_key("us")), "not a private key in PEM"),
    ],
)
def test_keys_of_ours_that_cannot_work(method: str, key: str, why: str) -> None:
    """The setting is named, and the key is not repeated."""
    with pytest.raises(NotConfigured) as caught:
        server_key(server(auth_method=method, key=key))
    assert str(caught.value).startswith("irma_server.key: ")
    assert why in str(caught.value)
    assert "MARKER" not in str(caught.value)


def test_the_default_host_is_where_apps_reach_the_server() -> None:
    """Sessions are there, whatever way we take to the server ourselves."""
    assert default_host(settings()) == "irma.example:8088"
    elsewhere: JsonValue = {"url": URL, "client_url": "https://irma.example.org/x"}
    assert default_host(settings(irma_server=elsewhere)) == "irma.example.org"


def test_permissions_to_revoke() -> None:
    """The requestor's own list and the common one."""
    requestors = make_requestors(settings(revoke_perms=["c.d.e"]))

    def refusal(type_: str) -> Refusal | None:
        request = {
            "@context": "https://irma.app/ld/request/revocation/v1",
            "type": type_,
            "revocationKey": "k",
        }
        return requestors.revocation_refusal("acme", revocation_request_from(request))

    assert refusal("a.b.c") is None
    assert refusal("c.d.e") is None
    assert refusal("x.y.z") == Refusal("x.y.z")
