"""Our gateway answers requestors as a real IRMA server 1.3.0 did: recorded probes.

Each is played against a whole installation: gateway, workers, broker and, behind them,
the sandbox or the IRMA server named by `IRMA_SERVER_URL`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import aiohttp
import pytest

from tests.contract.gateway.installations import Installation
from tests.contract.probing import MORE, PROBES, Addresses, Prober, for_irma_server
from tests.contract.request_jwts import Json, Keys

pytestmark = [pytest.mark.contract, pytest.mark.broker]

#: The rules that single probes prove.
PROVED: Final[Mapping[str, tuple[str, ...]]] = {
    "disclosure extended": ("T34",),
    "disclosure with nextSession: pairing hint": ("T6",),
    "nextSession empty object": ("T14",),
    "labels with a bad key": ("T33",),
    "validity as string": ("T33",),
    "timeout as fraction": ("T33",),
    "issuance validity string": ("T33",),
    "token with Bearer": ("T11",),
    "no auth with Authorization header": ("T11",),
    "token missing": ("T12",),
    "jwt from the future": ("T13",),
    "kid beats iss": ("T15",),
    "jwt issue request": ("T34",),
    "permissions: every alternative needs permission": ("T16",),
    "permissions: issue with disclose not permitted": ("T17",),
    "permissions: default host with host_perms": ("T18",),
    "permissions: host not in list": ("T18",),
    "delete": ("T30", "T32"),
    "no auth": ("T35",),
    "static session": ("T35",),
    "unknown route": ("T36",),
}


def probe_parameter(name: str) -> object:
    """A probe with its configuration and the rules it proves."""
    rules = PROVED.get(name, ())
    marks = [pytest.mark.trap(*rules)] if rules else []
    return pytest.param(PROBES[name]["config"], name, marks=marks, id=name)


@pytest.mark.parametrize(
    "configuration,name", [probe_parameter(name) for name in sorted(PROBES)]
)
async def test_recorded_probe(
    name: str, configuration: str, installation: Installation, keys: Keys
) -> None:
    """Every step is answered as the real server did, or as we said we would."""
    await play(PROBES[name], installation, keys)


@pytest.mark.parametrize(
    "configuration,name",
    [pytest.param(MORE[name]["config"], name, id=name) for name in sorted(MORE)],
)
async def test_further_probe(
    name: str, configuration: str, installation: Installation, keys: Keys
) -> None:
    """Every step is answered as the server's source says."""
    await play(MORE[name], installation, keys)


async def play(probe: Json, installation: Installation, keys: Keys) -> None:
    """Play a probe: its steps for the IRMA server there, all others at our gateway."""
    addresses = Addresses(installation.irma_server_url)

    def server_for(step: Json) -> str:
        return (
            installation.irma_server_url
            if for_irma_server(step)
            else installation.gateway_url
        )

    async with aiohttp.ClientSession() as http:
        prober = Prober(http, server_for, addresses=addresses, keys=keys)
        await prober.play(probe)


def test_every_named_probe_is_recorded() -> None:
    """All 108 are played, and no rule is claimed by a probe that does not exist."""
    assert len(PROBES) == 108
    assert PROBES.keys() >= PROVED.keys()
