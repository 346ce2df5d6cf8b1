"""Signatures look like the IRMA server's, unless a key or a name says otherwise."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import ParamSpec, TypeVar

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from orchestrator.callbacks import (
    PrivateKey,
    PublishedKey,
    ThreadedSigner,
    open_signer,
    thumbprint,
)
from orchestrator.callbacks.signing import IN_PLACE_BYTES_MAX, JwtKey
from orchestrator.domain.errors import NotConfigured
from orchestrator.domain.webhooks import Ed25519Secret, HmacSecret, WebhookSecret
from orchestrator.ports import Signer
from schemas.irma import parse_session_result

P = ParamSpec("P")
T = TypeVar("T")

NOW = datetime(2026, 1, 2, 3, 4, 5, 999_999, tzinfo=UTC)
IAT = 1_767_323_045
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
EDWARDS = ed25519.Ed25519PrivateKey.generate()
FIELDS = {
    "token": "Ht5cJ0pWq7ZbXk2mNv8R",
    "status": "CONNECTED",
    "type": "disclosing",
    "proofStatus": "VALID",
    "disclosed": [
        [
            {
                "rawvalue": "456",
                "value": {"": "456", "en": "456", "nl": "456"},
                "id": "irma-demo.RU.studentCard.studentID",
                "status": "PRESENT",
                "issuancetime": 1792627200,
            }
        ],
        [],
    ],
}
RESULT = parse_session_result(json.dumps(FIELDS))
WIRE = RESULT.to_wire()


@pytest.fixture
async def signer() -> AsyncIterator[Signer]:
    """A signer with a key of its own."""
    async with open_signer(KEY) as opened:
        yield opened


async def test_jwt_is_the_irma_servers(signer: Signer) -> None:
    """Header, claims and their values are those of a recorded result JWT."""
    token = await signer.sign(WIRE, validity_s=120, now=NOW)
    assert token is not None
    assert jwt.get_unverified_header(token) == {"alg": "RS256", "typ": "JWT"}
    claims = jwt.decode(
        token, KEY.public_key(), algorithms=["RS256"], options={"verify_exp": False}
    )
    assert claims == {
        "exp": IAT + 120,
        "iat": IAT,
        "iss": "irmaserver",
        "sub": "disclosing_result",
        **FIELDS,
    }


async def test_issuer_is_as_configured() -> None:
    """Another issuer is named, and an empty one is left out."""
    async with (
        open_signer(KEY, issuer="acme") as named,
        open_signer(KEY, issuer="") as no,
    ):
        for signer, issuer in ((named, "acme"), (no, None)):
            token = await signer.sign(WIRE, validity_s=-5, now=NOW)
            claims = jwt.decode(str(token), options={"verify_signature": False})
            assert claims.get("iss") == issuer
            assert claims["exp"] == IAT - 5


@pytest.mark.parametrize("key", [KEY, CURVE, EDWARDS], ids=["RSA", "EC", "Ed25519"])
async def test_public_key_verifies(key: PrivateKey) -> None:
    """The public key is told in the form that IRMA's `/publickey` has, of any kind."""
    async with open_signer(key) as signer:
        text = str(signer.public_key_pem)
    assert text.startswith("-----BEGIN PUBLIC KEY-----\n")
    assert load_pem_public_key(text.encode()) == key.public_key()


@pytest.mark.parametrize(
    "key,algorithm", [(CURVE, "ES256"), (EDWARDS, "EdDSA")], ids=["EC", "Ed25519"]
)
async def test_other_keys_are_always_named(key: PrivateKey, algorithm: str) -> None:
    """No IRMA server has such a key, so the header says which it is; claims stay."""
    async with open_signer(key) as signer:
        token = str(await signer.sign(WIRE, validity_s=120, now=NOW))
    assert jwt.get_unverified_header(token) == {
        "alg": algorithm,
        "typ": "JWT",
        "kid": thumbprint(key.public_key()),
    }
    options: jwt.types.Options = {"verify_exp": False}
    claims = jwt.decode(token, key.public_key(), algorithms=[algorithm], options=options)
    assert claims["disclosed"] == FIELDS["disclosed"]


@pytest.mark.parametrize("key", [KEY, CURVE, EDWARDS], ids=["RSA", "EC", "Ed25519"])
async def test_a_configured_name_is_told(key: PrivateKey) -> None:
    """With `jwt_kid` every JWT names its key, that of `/getproof` as well."""
    async with open_signer(key, kid="2026-01") as signer:
        for token in (
            await signer.sign(WIRE, validity_s=120, now=NOW),
            await signer.sign_legacy(RESULT, validity_s=120, now=NOW),
        ):
            assert jwt.get_unverified_header(str(token))["kid"] == "2026-01"
        assert [jwk["kid"] for jwk in signer.public_keys] == ["2026-01"]


@pytest.mark.parametrize("key", [KEY, CURVE, EDWARDS], ids=["RSA", "EC", "Ed25519"])
async def test_a_receiver_verifies_by_the_key_set(key: PrivateKey) -> None:
    """It finds the key by the `kid`, whether it signs now, did before, or will."""
    before = rsa.generate_private_key(65537, 2048)
    old = PublishedKey(key=before.public_key(), kid="2025")
    new = PublishedKey(key=ec.generate_private_key(ec.SECP256R1()).public_key())
    async with (
        open_signer(before, kid="2025") as earlier,
        open_signer(key, kid="2026", published=[old, new]) as signer,
    ):
        keys = jwt.PyJWKSet.from_dict({"keys": list(signer.public_keys)})
        assert len(keys.keys) == 3
        for by in (earlier, signer):
            token = str(await by.sign(WIRE, validity_s=120, now=NOW))
            found = keys[jwt.get_unverified_header(token)["kid"]]
            jwt.decode(token, found, options={"verify_exp": False})


async def test_the_key_set_names_a_key_that_jwts_do_not() -> None:
    """An RSA key without a name has its thumbprint there."""
    async with open_signer(KEY) as signer:
        (jwk,) = signer.public_keys
    assert jwk["kid"] == thumbprint(KEY.public_key())


async def test_two_keys_of_one_name_are_refused() -> None:
    """No receiver could tell which of them it should take."""
    other = PublishedKey(key=CURVE.public_key(), kid="2026")
    with pytest.raises(NotConfigured, match="two JWT keys have the same kid '2026'"):
        async with open_signer(KEY, kid="2026", published=[other]):
            pass


async def test_without_a_key_nothing_is_signed() -> None:
    """There is neither a JWT nor a key to verify it with."""
    async with open_signer(None) as signer:
        assert signer.public_key_pem is None
        assert signer.public_keys == []
        assert await signer.sign(WIRE, validity_s=120, now=NOW) is None
        assert await signer.sign_legacy(RESULT, validity_s=120, now=NOW) is None


async def test_each_signature_is_fresh(signer: Signer) -> None:
    """A later attempt has its own times and the same result (G3)."""
    later = NOW.replace(hour=4)
    first, second = [
        jwt.decode(
            str(await signer.sign(WIRE, validity_s=9, now=now)),
            options={"verify_signature": False},
        )
        for now in (NOW, later)
    ]
    assert second["iat"] - first["iat"] == 3600
    for claims in (first, second):
        del claims["iat"], claims["exp"]
    assert first == second


class Counting(ThreadPoolExecutor):
    """Counts what its threads were given."""

    count = 0

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """Take one more thing to do."""
        self.count += 1
        return super().submit(fn, *args, **kwargs)


async def test_whatever_takes_long_is_done_by_a_thread() -> None:
    """Every JWT, every ed25519 signature, and HMAC over a long body."""
    short, long = HmacSecret(bytes(24)), b"x" * (IN_PLACE_BYTES_MAX // 2 + 1)
    webhooks: dict[str, list[WebhookSecret]] = {
        "one": [short],
        "two": [short, short],
        "ed": [Ed25519Secret(EDWARDS)],
    }
    with Counting(1) as threads:
        signer = ThreadedSigner(
            JwtKey(key=EDWARDS),
            published=(),
            webhooks=webhooks,
            executor=threads,
            issuer="",
        )
        for expected, requestor, body in (
            (0, "nobody", long),
            (0, "one", long),
            (0, "two", b"short"),
            (1, "two", long),
            (2, "ed", b"short"),
        ):
            await signer.sign_webhook(requestor, "id", body, now=NOW)
            assert threads.count == expected, requestor
        await signer.sign(WIRE, validity_s=1, now=NOW)
        await signer.sign_legacy(RESULT, validity_s=1, now=NOW)
        assert threads.count == 4


async def test_only_who_has_secrets_gets_webhook_signatures() -> None:
    """Each requestor's body is signed with its own secrets, or not at all."""
    webhooks = {"acme": [HmacSecret(b"a" * 24)], "shop": [HmacSecret(b"b" * 24)]}
    async with open_signer(None, webhooks=webhooks) as signer:
        acme, shop, nobody = [
            await signer.sign_webhook(name, "id", b"{}", now=NOW)
            for name in ("acme", "shop", "nobody")
        ]
    assert nobody is None
    assert acme != shop
    assert str(acme).startswith("v1,")
