"""Keys and secrets in the configuration that sign what we POST."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from pydantic import JsonValue

from orchestrator.domain.errors import NotConfigured
from orchestrator.settings import load_settings

Json = dict[str, JsonValue]

LEAST: Json = {
    "broker_url": "amqp://mq.example/",
    "database_url": "sqlite:///chains.db",
    "public_url": "https://chains.example",
    "irma_server": {"url": "https://irma.example"},
    "sealing": {"key": "A" * 43, "hash_key": "B" * 42 + "A"},
    "requestors": {"acme": {"key": "k"}},
}


def whsec(secret: bytes) -> str:
    """An HMAC secret as text."""
    return f"whsec_{base64.b64encode(secret).decode()}"


def refused(tmp_path: Path, changes: Json) -> str:
    """What is said of a configuration that cannot be used; never a secret."""
    file = tmp_path / "orchestrator.json"
    file.write_text(json.dumps(LEAST | changes))
    with pytest.raises(NotConfigured) as caught:
        load_settings(file, {})
    assert "MARKER" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "secret,why",
    [
        ("MARKER", "must begin with whsec_ (HMAC) or whsk_ (ed25519)"),
        ("whpk_MARKER", "a whpk_ key is the public half"),
        ("whsec_MARKER!", "what follows whsec_ is not base64"),
        (whsec(b"MARKER"), "too short: 6 bytes, at least 24 are needed"),
        (whsec(b"MARKER" * 11), "too long: 66 bytes, at most 64 are allowed"),
        ("whsk_MARKERMARKER", "9 bytes: an ed25519 key has 32"),
    ],
)
def test_a_secret_that_cannot_sign_is_named(
    tmp_path: Path, secret: str, why: str
) -> None:
    """The requestor, the place in its list and the reason; the secret is not repeated."""
    acme: Json = {"key": "k", "webhook_secrets": [whsec(bytes(24)), secret]}
    text = refused(tmp_path, {"requestors": {"acme": acme}})
    assert f"requestors.acme.webhook_secrets.1: {why}" in text
    assert secret not in text


def test_two_requestors_with_one_secret_are_refused(tmp_path: Path) -> None:
    """Each could sign in our name for the other, however the secret is padded."""
    secret = whsec(b"MARKER" * 5 + b"M")
    requestors: Json = {
        "acme": {"key": "k", "webhook_secrets": [whsec(bytes(24)), secret]},
        "shop": {"key": "l", "webhook_secrets": [secret.rstrip("=")]},
    }
    text = refused(tmp_path, {"requestors": requestors})
    assert "webhook_secrets: acme and shop have the same one" in text


def test_a_key_that_is_published_is_given_once(tmp_path: Path) -> None:
    """Its text or its file, one of the two."""
    both: Json = {"key": "MARKER", "key_file": "old.pem"}
    text = refused(tmp_path, {"jwt_previous_keys": [both]})
    assert "jwt_previous_keys.0: key: give it or key_file" in text


@pytest.mark.parametrize("kid", ["", "two words", "a" * 201])
def test_a_name_that_is_none_is_refused(tmp_path: Path, kid: str) -> None:
    """It stands in the header of every JWT."""
    assert "jwt_kid: " in refused(tmp_path, {"jwt_kid": kid})


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    """Whoever prints the settings prints none of them."""
    secret = whsec(b"MARKER" * 5)
    acme: Json = {"key": "k", "webhook_secrets": [secret]}
    changes: Json = {
        "requestors": {"acme": acme},
        "jwt_previous_keys": [{"key": "MARKER"}],
    }
    file = tmp_path / "orchestrator.json"
    file.write_text(json.dumps(LEAST | changes))
    shown = repr(load_settings(file, {}))
    assert "MARKER" not in shown
    assert secret not in shown


@pytest.mark.parametrize(
    "own,why",
    [
        ({"events_url": "MARKER"}, "events_url: must look like https://HOST/PATH"),
        ({"events_url": "ftp://a/MARKER"}, "events_url: must look like https://HOST"),
        (
            {"events_url": "https://a", "events_types": ["session.begun"]},
            "events_types.0: there is no event type session.begun: chain.started,",
        ),
        (
            {"events_url": "https://a", "events_types": ["endpoint.*"]},
            "events_types.0: there is no event type endpoint.*",
        ),
        ({"events_types": ["chain.*"]}, "events_types: there is no events_url"),
    ],
)
def test_a_url_for_events_that_cannot_work_is_named(
    tmp_path: Path, own: Json, why: str
) -> None:
    """The requestor, the option and the reason; the URL is a secret."""
    text = refused(tmp_path, {"requestors": {"acme": {"key": "k", **own}}})
    assert why in text
    assert "MARKER" not in text
