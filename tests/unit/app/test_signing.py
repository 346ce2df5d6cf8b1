"""The configured keys become the signer of a process."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from pydantic import JsonValue

from orchestrator.app.signing import previous_keys, signing, webhook_secrets
from orchestrator.domain.errors import NotConfigured
from orchestrator.settings import Settings
from tests.support import jwts
from tests.support.samples import NOW

SECRET = f"whsec_{base64.b64encode(bytes(32)).decode()}"


def settings(**fields: JsonValue) -> Settings:
    """Settings of one requestor, whose routing key is not its name."""
    acme: JsonValue = {"key": "k", "routing_key": "a-c", "webhook_secrets": [SECRET]}
    return Settings.model_validate(
        {
            "broker_url": "amqp://mq.example/",
            "database_url": "sqlite:///chains.db",
            "public_url": "https://chains.example",
            "irma_server": {"url": "https://irma.example"},
            "sealing": {"key": "A" * 43, "hash_key": "B" * 42 + "A"},
            "requestors": {"Acme": acme, "shop": {"key": "l"}},
            **fields,
        }
    )


async def test_everything_that_is_configured_signs(tmp_path: Path) -> None:
    """The key by its name, earlier ones beside it, and each requestor's secrets."""
    file = tmp_path / "old.pem"
    file.write_text(jwts.public_pem(jwts.rsa_key("old")))
    configured = settings(
        jwt_privkey=jwts.private_pem(jwts.rsa_key("new")),
        jwt_kid="2026",
        jwt_previous_keys=[
            {"key_file": str(file), "kid": "2025"},
            {"key": jwts.public_pem(jwts.rsa_key("next"))},
        ],
    )
    async with signing(configured) as signer:
        kids = [jwk["kid"] for jwk in signer.public_keys]
        assert kids[:2] == ["2026", "2025"]
        assert len(kids) == 3
        assert signer.public_key_pem == jwts.public_pem(jwts.rsa_key("new"))
        assert await signer.sign_webhook("a-c", "id", b"", now=NOW) is not None
        assert await signer.sign_webhook("shop", "id", b"", now=NOW) is None


def test_secrets_belong_to_the_requestors_key() -> None:
    """Work names requestors by it."""
    found = webhook_secrets(settings())
    assert {key: len(secrets) for key, secrets in found.items()} == {"a-c": 1, "shop": 0}


@pytest.mark.parametrize(
    "entry,said",
    [
        ({"key": "MARKER"}, "jwt_previous_keys.0.key: no public key in PEM"),
        ({"key": " "}, "jwt_previous_keys.0.key: empty"),
        (
            {"key": jwts.private_pem(jwts.rsa_key("old"))},
            "jwt_previous_keys.0.key: a private key, which is not for publishing",
        ),
        (
            {"key_file": "/nowhere/gone.pem"},
            "jwt_previous_keys.0: key_file: gone.pem: No such file",
        ),
    ],
)
def test_a_key_that_cannot_be_published_is_named(
    entry: dict[str, JsonValue], said: str
) -> None:
    """The place in the configuration and the reason, not the key."""
    with pytest.raises(NotConfigured) as refusal:
        previous_keys(settings(jwt_previous_keys=[entry]))
    assert str(refusal.value).startswith(said)
    assert "MARKER" not in str(refusal.value)
