"""Settings become objects: who we are at the IRMA server, and what requestors may."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from pydantic import JsonValue

from orchestrator.app.irma_server import server_key
from orchestrator.app.lifetimes import longest_lifetime
from orchestrator.app.tools import (
    default_host,
    make_event_urls,
    make_requestors,
    make_retention,
    make_sealer,
)
from orchestrator.backends.irma import RequestKey
from orchestrator.domain.errors import NotConfigured
from orchestrator.domain.permissions import Refusal
from orchestrator.domain.telling import EventUrl, Wanted
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


def test_urls_for_events_are_those_of_requestors_by_their_keys() -> None:
    """With the types that are wanted; who has none is not among them."""
    acme: JsonValue = {
        "key": "k",
        "routing_key": "acme",
        "events_url": "https://acme.example/x",
        "events_types": ["chain.*"],
    }
    found = settings(requestors={"Acme Shop": acme, "other": {"key": "l"}})
    assert make_event_urls(found) == {
        "acme": EventUrl(url="https://acme.example/x", wanted=Wanted(("chain.*",)))
    }
    assert "example/x" not in repr(make_event_urls(found))


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


def test_the_sealer_has_all_keys() -> None:
    """The current one seals, the older ones open."""
    key, older = "A" * 43, "C" * 42 + "A"
    keys = {"key": key, "key_id": "k2", "hash_key": "B" * 42 + "A"}
    before = make_sealer(settings(sealing={**keys, "key": older, "key_id": "k1"}))
    after = make_sealer(settings(sealing={**keys, "older_keys": {"k1": older}}))
    sealed = before.seal(b"x", bound_to="a")
    assert after.open(sealed, bound_to="a") == b"x"
    assert after.key_id == "k2"
    assert after.token_hash("t") == before.token_hash("t")


def test_retention_is_known_by_the_requestors_key() -> None:
    """As chains know their requestor by it."""
    own: JsonValue = {"Acme": {"key": "k", "routing_key": "a1", "results_kept_s": 3_600}}
    kept = make_retention(settings(requestors=own, results_kept_s=7_200))
    assert kept.of("a1") == timedelta(hours=1)
    assert kept.of("Acme") == timedelta(hours=2)


@pytest.mark.parametrize(
    "fields,longest",
    [
        ({}, timedelta(days=7, hours=1)),
        ({"chain": {"wall_time_s": 3_600}}, timedelta(days=7, seconds=960)),
        ({"callbacks": {"reply_s": 700_000}}, timedelta(seconds=700_000)),
        (
            {"retry": {"background_delays_s": [500_000, 5], "jitter": 0.5}},
            timedelta(seconds=750_000 + 3_600 + 20),
        ),
        (
            {
                "requestors": {
                    "a": {"key": "k", "retry": {"background_delays_s": [900_000]}}
                }
            },
            timedelta(seconds=1_080_020),
        ),
    ],
)
def test_the_longest_life_of_what_was_sealed(
    fields: dict[str, JsonValue], longest: timedelta
) -> None:
    """URLs for IRMA servers and endpoints, retries and cancellations: the longest."""
    assert longest_lifetime(settings(**fields)) == longest


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
