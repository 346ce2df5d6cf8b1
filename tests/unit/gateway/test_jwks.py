"""The keys that verify result JWTs, for receivers that choose by `kid`."""

from __future__ import annotations

from dataclasses import replace

import jwt
from cryptography.hazmat.primitives.asymmetric import ed25519

from orchestrator.callbacks import PublishedKey, open_signer
from tests.support.asgi import call
from tests.support.jwts import rsa_key
from tests.support.samples import NOW, result_of
from tests.support.workshop import Workshop


async def test_the_key_set_verifies_what_was_signed(workshop: Workshop) -> None:
    """A receiver takes the key that the JWT names; an earlier one is there as well."""
    key = ed25519.Ed25519PrivateKey.generate()
    before = PublishedKey(key=rsa_key("before").public_key(), kid="2025")
    async with open_signer(key, published=[before]) as signer:
        app = workshop.shared.at(replace(workshop.desk(), signer=signer))
        answer = await call(app, "GET", "/.well-known/jwks.json")
        token = str(
            await signer.sign(result_of("T" * 20).to_wire(), validity_s=60, now=NOW)
        )
    keys = jwt.PyJWKSet.from_dict(answer.fields)
    assert [one.key_id for one in keys.keys][1] == "2025"
    found = keys[jwt.get_unverified_header(token)["kid"]]
    jwt.decode(token, found, options={"verify_exp": False})


async def test_caches_may_keep_the_key_set_for_a_while(workshop: Workshop) -> None:
    """Anybody may; five minutes are shorter than any announcement."""
    answer = await call(workshop.gateway, "GET", "/.well-known/jwks.json")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/jwk-set+json"
    assert answer.headers["cache-control"] == "public, max-age=300"


async def test_without_keys_the_set_is_empty(workshop: Workshop) -> None:
    """Nothing is signed then, so there is nothing to trust."""
    workshop.signer.public_keys = ()
    answer = await call(workshop.gateway, "GET", "/.well-known/jwks.json")
    assert (answer.status, answer.json) == (200, {"keys": []})
