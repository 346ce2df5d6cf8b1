"""Which POSTed results are believed, and when the server's key is looked up."""

from __future__ import annotations

import asyncio
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.backends.irma.results import ResultReader, ServerKey
from orchestrator.domain.errors import BackendUnavailable, Undecodable
from schemas.irma import SessionResult

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
IAT = int(NOW.timestamp())
JSON = "application/json; charset=UTF-8"
TEXT = "text/plain; charset=UTF-8"
RESULT = {"token": "Ht5cJ0pWq7ZbXk2mNv8R", "status": "DONE", "type": "issuing"}
SERVER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


#: What a look-up of the server's key brings.
Key = rsa.RSAPrivateKey | BackendUnavailable | None


@dataclass
class World:
    """An IRMA server's key, how often it was looked up, and the passing time."""

    keys: list[Key]
    now_s: float = 1000.0
    look_ups: int = 0
    reader: ResultReader = field(init=False)

    async def fetch(self) -> rsa.RSAPublicKey | None:
        """The next key in the list; the last one stays."""
        self.look_ups += 1
        await asyncio.sleep(0)
        key = self.keys.pop(0) if len(self.keys) > 1 else self.keys[0]
        if isinstance(key, BackendUnavailable):
            self.now_s += 10.0
            raise key
        return None if key is None else key.public_key()


def world(
    *keys: Key,
    require_signed: bool | None = None,
) -> World:
    """A reader for a server that has these keys, one after another."""
    made = World(list(keys))
    key = ServerKey(made.fetch, refresh_s=60.0, monotonic=lambda: made.now_s)
    made.reader = ResultReader(
        key, require_signed=require_signed, leeway_s=30.0, clock=lambda: NOW
    )
    return made


def signed(key: rsa.RSAPrivateKey = SERVER, /, **changes: object) -> bytes:
    """A result JWT of this key; claims that are None are left out."""
    claims = {
        "iss": "irmaserver",
        "sub": "issuing_result",
        "iat": IAT,
        "exp": IAT + 120,
        **RESULT,
        **changes,
    }
    present = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(present, key, algorithm="RS256").encode()


def unsigned(**changes: object) -> bytes:
    """A result as JSON."""
    return json.dumps(RESULT | changes).encode()


async def refusal(at: World, body: bytes, content_type: str = TEXT) -> str:
    """Why the body is refused."""
    with pytest.raises(Undecodable) as caught:
        await at.reader.read(body, content_type)
    assert caught.value.__cause__ is None
    return str(caught.value)


def encoded(data: bytes) -> bytes:
    """Base64url as in JWTs."""
    return urlsafe_b64encode(data).rstrip(b"=")


def part(value: object) -> bytes:
    """One part of a JWT."""
    return encoded(json.dumps(value).encode())


def told(result: SessionResult) -> Mapping[str, object]:
    """The result's fields as they came."""
    return result.to_wire()


@pytest.mark.parametrize("content_type", [TEXT, "text/plain", "Text/Plain;charset=x"])
async def test_a_signed_result_is_read(content_type: str) -> None:
    """A JWT of the server's key, however its type is written, is the result in it."""
    at = world(SERVER)
    assert told(await at.reader.read(signed(), content_type)) == RESULT


async def test_an_unsigned_result_of_a_server_without_key_is_read() -> None:
    """Where nothing can be signed, JSON is what the server posts."""
    at = world(None)
    assert told(await at.reader.read(unsigned(), JSON)) == RESULT


async def test_an_unsigned_result_of_a_server_that_signs_is_refused() -> None:
    """Who has a key signs, so unsigned JSON is somebody else's."""
    assert "not signed" in await refusal(world(SERVER), unsigned(), JSON)


async def test_signatures_can_be_required_or_waived() -> None:
    """The flag goes before what the server does, and then its key does not matter."""
    strict, lax = world(None, require_signed=True), world(SERVER, require_signed=False)
    assert "not signed" in await refusal(strict, unsigned(), JSON)
    assert told(await lax.reader.read(unsigned(), JSON)) == RESULT
    assert (strict.look_ups, lax.look_ups) == (0, 0)


async def test_another_keys_signature_is_refused() -> None:
    """A JWT that the server's key does not verify is not the server's."""
    assert "signature" in await refusal(world(SERVER), signed(OTHER))


async def test_a_signature_without_any_key_is_refused() -> None:
    """A server that does not sign cannot have signed this."""
    assert "signature" in await refusal(world(None), signed())


@pytest.mark.parametrize("offset_s,believed", [(-30, True), (-31, False), (0, True)])
async def test_expiry_has_a_leeway(offset_s: int, believed: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Clocks may differ a little; beyond that an old JWT is not believed."""
    at, body = world(SERVER), signed(exp=IAT + offset_s)
    if believed:
        assert told(await at.reader.read(body, TEXT)) == RESULT
    else:
        assert "expired" in await refusal(at, body)


@pytest.mark.parametrize(
    "changes,why",
    [
        ({"exp": None}, "MissingRequiredClaimError"),
        ({"exp": "soon"}, "expired"),
        ({"exp": True}, "expired"),
        ({"sub": "disclosing_result"}, "sub"),
        ({"sub": None}, "sub"),
        ({"token": None}, "token"),
        ({"status": "MARKER"}, "status"),
    ],
)
async def test_claims_must_be_those_of_a_result(
    changes: dict[str, object], why: str
) -> None:
    """A true signature over something else is refused, without its values."""
    text = await refusal(world(SERVER), signed(**changes))
    assert why in text
    assert "MARKER" not in text


async def test_only_rs256_counts() -> None:
    """The algorithm is ours to choose: neither none nor an HMAC with the public key."""
    public = SERVER.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    claims = {"sub": "issuing_result", "exp": IAT + 9, **RESULT}
    body = part(claims)
    hs256, none = part({"alg": "HS256", "typ": "JWT"}), part({"alg": "none"})
    mac = hmac.digest(public, hs256 + b"." + body, "sha256")
    for token in (
        b".".join((none, body, b"")),
        jwt.encode(claims, SERVER, algorithm="RS512").encode(),
        b".".join((hs256, body, encoded(mac))),
    ):
        assert "InvalidAlgorithmError" in await refusal(world(SERVER), token)


@given(st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
def test_no_body_raises_anything_else(body: bytes) -> None:
    """Whatever is posted, signed or not, it is refused as undecodable."""
    for content_type, key in ((TEXT, SERVER), (JSON, None)):
        asyncio.run(refusal(world(key), body, content_type))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"MARKER",
        b"a.b.c",
        signed()[:-1],
        encoded(b"[" * 100_000) + b".e30.e30",
        part({"alg": "RS256", "crit": ["x"]}) + b".e30.e30",
    ],
)
async def test_malformed_tokens_are_refused(body: bytes) -> None:
    """What is no JWT is refused without looking at it any further."""
    assert "MARKER" not in await refusal(world(SERVER), body)


@pytest.mark.parametrize("content_type", ["", "text/html", "application/jwt", "json"])
async def test_other_content_types_are_refused(content_type: str) -> None:
    """An IRMA server posts JSON or plain text, and nothing else is guessed at."""
    assert "neither" in await refusal(world(None), unsigned(), content_type)


async def test_the_key_is_looked_up_once() -> None:
    """Results that fit cost no look-up but the first."""
    at = world(SERVER)
    for _ in range(3):
        await at.reader.read(signed(), TEXT)
    assert at.look_ups == 1


async def test_a_renewed_key_is_found() -> None:
    """A signature of a new key makes us ask again, and then it is believed."""
    at = world(SERVER, OTHER)
    await at.reader.read(signed(), TEXT)
    at.now_s += 60
    assert told(await at.reader.read(signed(OTHER), TEXT)) == RESULT
    assert "signature" in await refusal(at, signed())


async def test_a_lost_or_found_key_is_noticed() -> None:
    """A server that begins or ceases to sign is believed after one look-up."""
    begins, ceases = world(None, SERVER), world(SERVER, None)
    await begins.reader.read(unsigned(), JSON)
    await ceases.reader.read(signed(), TEXT)
    begins.now_s = ceases.now_s = 2000
    assert told(await begins.reader.read(signed(), TEXT)) == RESULT
    assert told(await ceases.reader.read(unsigned(), JSON)) == RESULT


async def test_bad_results_cannot_make_us_ask_all_the_time() -> None:
    """Between two look-ups there is a pause, whatever is posted."""
    at = world(SERVER)
    for _ in range(5):
        await refusal(at, signed(OTHER))
        await refusal(at, unsigned(), JSON)
    assert at.look_ups == 1
    at.now_s += 60
    await refusal(at, signed(OTHER))
    await refusal(at, signed(OTHER))
    assert at.look_ups == 2


async def test_results_that_come_together_share_a_look_up() -> None:
    """However many results wait for the key, the server is asked once."""
    at = world(SERVER)
    await asyncio.gather(*(at.reader.read(signed(), TEXT) for _ in range(10)))
    assert at.look_ups == 1


async def test_a_failed_look_up_is_shared_and_tried_again() -> None:
    """Who waited for a look-up shares its failure; who comes later makes another."""
    at = world(BackendUnavailable("gone"), SERVER)
    reads = [at.reader.read(signed(), TEXT) for _ in range(5)]
    outcomes = await asyncio.gather(*reads, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["gone"] * 5
    assert all(isinstance(outcome, BackendUnavailable) for outcome in outcomes)
    assert at.look_ups == 1
    assert told(await at.reader.read(signed(), TEXT)) == RESULT
