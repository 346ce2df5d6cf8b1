"""The pretend IRMA server answers requestors as a real one 1.3.0 did: recorded probes."""

import time

import aiohttp
import pytest

from tests.contract.probing import (
    MORE,
    OUR_WORDS,
    PROBES,
    WE_ANSWER,
    Addresses,
    Prober,
    configuration,
)
from tests.contract.request_jwts import Json, Keys
from tests.contract.sandbox_lab import sandbox_at_work

pytestmark = pytest.mark.contract


@pytest.fixture(scope="module")
def keys() -> Keys:
    """The keys of JWTs, made for this run."""
    return Keys()


#: Where the sandbox's JWT library, or its lack of permissions, stops it short.
NOT_PLAYED = frozenset({"kid is no string", "signature with padding"})


@pytest.mark.parametrize("name", sorted(PROBES))
async def test_recorded_probe(name: str, keys: Keys, jwt_privkey: str) -> None:
    """Every step is answered as the real server did, or as we said we would."""
    await play(PROBES[name], keys, jwt_privkey)


@pytest.mark.parametrize("name", sorted(MORE.keys() - NOT_PLAYED))
async def test_further_probe(name: str, keys: Keys, jwt_privkey: str) -> None:
    """Every step is answered as the server's source says."""
    await play(MORE[name], keys, jwt_privkey)


async def play(probe: Json, keys: Keys, jwt_privkey: str) -> None:
    """Play a probe at a sandbox of its configuration."""
    options = configuration(
        probe["config"],
        keys=keys,
        jwt_privkey=jwt_privkey,
        addresses=Addresses("http://irma.example"),
    )
    async with (
        sandbox_at_work(clock=time.time, **options) as (_, server),
        aiohttp.ClientSession() as http,
    ):
        prober = Prober(http, lambda _: server, addresses=Addresses(server), keys=keys)
        await prober.play(probe)


def test_nothing_is_left_out_by_mistake() -> None:
    """All recorded probes are played, and every exception is that of one of them."""
    assert len(PROBES) == 108
    assert MORE.keys() >= NOT_PLAYED
    assert MORE.keys().isdisjoint(PROBES)
    assert PROBES.keys() >= OUR_WORDS | WE_ANSWER.keys()
    assert WE_ANSWER.keys() == {
        name for name, probe in PROBES.items() if "we_answer" in probe
    }
