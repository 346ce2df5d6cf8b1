"""The pretend IRMA server answers requestors as a real one 1.3.0 did: recorded probes."""

import time

import aiohttp
import pytest

from tests.contract.probing import (
    OUR_WORDS,
    PROBES,
    WE_ANSWER,
    Addresses,
    Prober,
    configuration,
)
from tests.contract.request_jwts import Keys
from tests.contract.sandbox_lab import sandbox_at_work

pytestmark = pytest.mark.contract


@pytest.fixture(scope="module")
def keys() -> Keys:
    """The keys of JWTs, made for this run."""
    return Keys()


@pytest.mark.parametrize("name", sorted(PROBES))
async def test_recorded_probe(name: str, keys: Keys, jwt_privkey: str) -> None:
    """Every step is answered as the real server did, or as we said we would."""
    probe = PROBES[name]
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
    assert PROBES.keys() >= OUR_WORDS | WE_ANSWER.keys()
    assert WE_ANSWER.keys() == {
        name for name, probe in PROBES.items() if "we_answer" in probe
    }
