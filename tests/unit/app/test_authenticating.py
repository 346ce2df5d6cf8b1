"""The configured requestors as those who ask: keys that work, mistakes explained."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import (
    generate_private_key as generate_ec_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import JsonValue, ValidationError
from structlog.testing import capture_logs

from orchestrator.app.authenticating import make_authenticator, make_operators
from orchestrator.domain.errors import NotConfigured
from orchestrator.gateway.authentication import Authenticator
from orchestrator.gateway.operators import Operators
from orchestrator.settings import Settings
from tests.support import jwts

Entry = dict[str, JsonValue]

#: The recorded server's key of its requestor `hmreq`, and others of the same bytes.
BASE64 = "c2VjcmV0LWtleS1mb3ItaG1hYy0xMjM0NTY3ODkwYWJjZGVm"
HIGH = b"\xfb\xff" * 16


def made(**requestors: Entry) -> Authenticator:
    """What is made of these requestors."""
    return make_authenticator(configured(requestors))


def configured(requestors: dict[str, Entry], **more: JsonValue) -> Settings:
    """Settings with these requestors."""
    return Settings.model_validate(
        {
            "broker_url": "amqp://mq.example/",
            "database_url": "sqlite:///chains.db",
            "public_url": "https://chains.example",
            "irma_server": {"url": "https://irma.example"},
            "sealing": {"key": "A" * 43, "hash_key": "B" * 42 + "A"},
            "requestors": requestors,
            **more,
        }
    )


def refused(**requestors: Entry) -> str:
    """Why they cannot be admitted; no key is in it."""
    with pytest.raises(NotConfigured) as caught:
        made(**requestors)
    assert "MARKER" not in str(caught.value)
    return str(caught.value)


def hmac(key: str) -> Entry:
    """A requestor that shares a secret."""
    return {"auth_method": "hmac", "key": key}


def publickey(key: str) -> Entry:
    """A requestor with a key pair."""
    return {"auth_method": "publickey", "key": key}


def certificate() -> str:
    """The shop's public key in a certificate."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shop")])
    key = jwts.rsa_key("shop")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, SHA256())
    )
    return signed.public_bytes(Encoding.PEM).decode()


def test_tokens_are_by_routing_key(tmp_path: Path) -> None:
    """A token comes from text or file, and names whom it belongs to on the broker."""
    file = tmp_path / "token"
    file.write_text("from-a-file\n")
    authenticator = made(
        Acme={"key": "text"}, other={"key_file": str(file), "routing_key": "o"}
    )
    assert authenticator.tokens == {"acme": "text", "o": "from-a-file"}
    assert authenticator.keys == {}


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(HIGH).decode(),
        base64.b64encode(HIGH).decode().rstrip("="),
        base64.urlsafe_b64encode(HIGH).decode(),
        base64.urlsafe_b64encode(HIGH).decode().rstrip("="),
        base64.b64encode(HIGH).decode()[:20]
        + "\n"
        + base64.b64encode(HIGH).decode()[20:],
    ],
)
def test_secrets_are_base64_of_any_alphabet(text: str) -> None:
    """Padded or not, in lines or not: the same secret."""
    (key,) = made(bank=hmac(text)).keys.values()
    assert (key.algorithm, key.secret) == ("HS256", HIGH)


def test_the_recorded_secret() -> None:
    """The key of the recorded server's requestor is read as that server reads it."""
    assert made(hmreq=hmac(BASE64)).keys["hmreq"].secret == jwts.SECRET


@pytest.mark.parametrize("form", ["spki", "pkcs1", "certificate"])
def test_public_keys_in_every_pem(form: str) -> None:
    """The three forms in which an IRMA server takes a public key."""
    public = jwts.rsa_key("shop").public_key()
    pem = {
        "spki": jwts.public_pem(public),
        "pkcs1": public.public_bytes(Encoding.PEM, PublicFormat.PKCS1).decode(),
        "certificate": certificate(),
    }[form]
    (key,) = made(shop=publickey(f"\n{pem}\n")).keys.values()
    assert (key.algorithm, key.secret) == ("RS256", public)


def test_names_in_jwts_are_in_lower_case() -> None:
    """As the IRMA server's library has them; the own spelling is meant all the same."""
    keys = made(Shop=hmac(BASE64)).keys
    assert set(keys) == {"Shop", "shop"}
    assert {key.requestor for key in keys.values()} == {"shop"}


def test_names_that_differ_by_case_alone_are_refused() -> None:
    """They are one name at an IRMA server, so a JWT would not say which of them it is."""
    entries = {"Shop": hmac(BASE64), "shop": hmac(BASE64) | {"routing_key": "b"}}
    with pytest.raises(NotConfigured, match=r"'Shop' and 'shop'.*lower case"):
        make_authenticator(configured(entries))


def test_no_auth_and_age_are_configured() -> None:
    """What else the authenticator knows."""
    settings = configured({}, no_auth=True, max_request_age=7)
    authenticator = make_authenticator(settings)
    assert authenticator.no_auth
    assert authenticator.request_age_max_s == 7


@pytest.mark.parametrize(
    "entry,why",
    [
        ({"key": ""}, "empty"),
        ({"key": "  "}, "empty"),
        (hmac(""), "empty"),
        (hmac("=="), "empty"),
        (hmac("MARKER!"), "not base64"),
        (hmac("+/-_"), "not base64"),
        (hmac("MARKERMAR"), "base64 that is cut off"),
        (hmac("-----BEGIN PUBLIC KEY-----MARKER"), "a PEM"),
        (publickey("MARKER"), "no public key in PEM"),
        (
            publickey("-----BEGIN PUBLIC KEY-----\nMARKER\n-----END PUBLIC KEY-----"),
            "no public key in PEM",
        ),
        (
            publickey("-----BEGIN CERTIFICATE-----\nMARKER\n-----END CERTIFICATE-----"),
            "no public key in PEM",
        ),
        (publickey(jwts.private_pem(jwts.rsa_key("shop"))), "a private key"),
        (
            publickey(
                generate_ec_key(SECP256R1())
                .public_key()
                .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
                .decode()
            ),
            "not an RSA key",
        ),
    ],
)
def test_keys_that_cannot_work_stop_the_start(entry: Entry, why: str) -> None:
    """Whose key it is and what is wrong with it is said, and never the key."""
    said = refused(acme=entry)
    assert said.startswith("requestors.acme.key: ")
    assert why in said


def test_two_requestors_may_not_share_a_token_from_files(tmp_path: Path) -> None:
    """Who sends it is known by it, wherever it was read from."""
    file = tmp_path / "token"
    file.write_text("MARKER")
    said = refused(a={"key": "MARKER"}, b={"key_file": str(file)})
    assert "a and b have the same key" in said


@pytest.mark.parametrize(
    "entry,found",
    [
        (hmac(base64.b64encode(b"x" * 31).decode()), {"secret_bytes": 31}),
        (publickey(jwts.public_pem(jwts.rsa_key("weak", 1024))), {"key_bits": 1024}),
    ],
)
def test_weak_keys_are_logged(entry: Entry, found: dict[str, int]) -> None:
    """An IRMA server takes them, so they are no reason to refuse its configuration."""
    with capture_logs() as logs:
        made(acme=entry)
    (entry_of_log,) = logs
    assert entry_of_log["event"] == "key.weak"
    assert found.items() <= entry_of_log.items()


def test_strong_keys_are_not() -> None:
    """A log without a reason is read by nobody."""
    with capture_logs() as logs:
        made(bank=hmac(BASE64), shop=publickey(jwts.public_pem(jwts.rsa_key("shop"))))
    assert logs == []


ACME: Entry = {"key": "the-token-of-acme-which-is-long"}


def operators(**entries: Entry) -> Operators:
    """What is made of these operators, beside a requestor."""
    settings = configured({"acme": ACME}, operators={**entries})
    return make_operators(settings, make_authenticator(settings))


def test_operators_are_known_by_hashes_of_their_tokens(tmp_path: Path) -> None:
    """The token itself, its hash, or either in a file."""
    token = "a-token-that-is-long-enough"
    digest = hashlib.sha256(token.encode()).digest()
    file = tmp_path / "token"
    file.write_text(f"{token}2\n")
    found = operators(
        anna={"key": token},
        bob={"key": f"sha256:{hashlib.sha256(b'bob').hexdigest().upper()}"},
        carl={"key_file": str(file)},
    )
    assert found.digests["anna"] == digest
    assert found.digests["bob"] == hashlib.sha256(b"bob").digest()
    assert found.caller({"authorization": f"bearer {token}2"}) == "carl"
    assert operators().digests == {}


@pytest.mark.parametrize(
    "key, why",
    [
        ("", "operators.anna.key: empty"),
        ("MARKER", "operators.anna.key: a token needs at least 24 visible ASCII"),
        ("MARKER with blanks in it, long", "operators.anna.key: a token needs at least"),
        ("sha256:MARKER", "operators.anna.key: no SHA-256 hash, which has 64"),
        (ACME["key"], "operators.anna and requestors.acme have the same key"),
    ],
)
def test_a_token_that_cannot_be_an_operators_is_told(key: JsonValue, why: str) -> None:
    """Whose it is and what is wrong; it is not repeated."""
    with pytest.raises(NotConfigured) as caught:
        operators(anna={"key": key})
    assert str(caught.value).startswith(why)
    assert "MARKER" not in str(caught.value)


def test_operators_are_told_apart_by_their_tokens() -> None:
    """Also where one is given as its hash."""
    token = "a-token-that-is-long-enough"
    hashed = f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"
    with pytest.raises(NotConfigured, match=r"operators.bob and operators.anna have"):
        operators(anna={"key": token}, bob={"key": hashed})


@pytest.mark.parametrize(
    "name, entry",
    [("cli:anna", {"key": "k"}), ("", {"key": "k"}), ("anna", {}), ("a", {"tokn": "x"})],
)
def test_an_operator_has_a_name_and_one_key(name: str, entry: Entry) -> None:
    """Nobody can be taken for a user of the command line."""
    with pytest.raises(ValidationError):
        configured({"acme": ACME}, operators={name: entry})
