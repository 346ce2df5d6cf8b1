"""All recorded chains run through gateway and sandbox as they did at a real IRMA server.

Where the design promises better, the difference is named in `differences.py` and asserted
as well: it is part of what is expected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import pytest

from orchestrator.proof.lab import eventually
from tests.contract.gateway.differences import DIFFERENCES
from tests.contract.gateway.flows import (
    ENDS,
    WAITING,
    Flow,
    comparable,
    configuration_of,
    expectation,
    flow_at_work,
    recorded_expectation,
)
from tests.contract.gateway.installations import Installation
from tests.contract.test_sandbox import FLOWS

pytestmark = [pytest.mark.contract, pytest.mark.broker, pytest.mark.e2e]

#: The rules that single chains prove.
PROVED: Final[Mapping[str, tuple[str, ...]]] = {
    "issue (no chain)": ("T26",),
    "three steps: disclose, issue, disclose": (
        *("T1", "T5", "T6", "T19", "T22", "T23", "T25"),
    ),
    "204 at once": ("T8",),
    "endpoint answers 201 with a request": ("T8",),
    "endpoint answers 202": ("T8",),
    "endpoint answers after 5 s": ("T38",),
    "result read inside the handlers": ("T10",),
    "timeout 5 s with callbackUrl": ("T9",),
    "user declines": ("T30",),
    "unsigned: two steps": ("T7",),
}


def flow_parameter(name: str) -> object:
    """A recorded chain with its configuration and the rules it proves."""
    rules = PROVED.get(name, ())
    marks = [pytest.mark.trap(*rules)] if rules else []
    return pytest.param(configuration_of(name), name, marks=marks, id=name)


@pytest.mark.parametrize("configuration,name", [flow_parameter(name) for name in FLOWS])
async def test_recorded_chain(
    name: str, configuration: str, wallet_server: Installation
) -> None:
    """POSTs, the app's experience and results are a real server's, or better."""
    async with flow_at_work(name, wallet_server) as flow:
        expected = expectation(flow)
        if name.startswith("timeout"):
            await _repeatedly_timed_out(flow)
            outcomes = []
        else:
            outcomes = await flow.play(await flow.start())
        happened = await flow.happened(outcomes, expected)
    assert comparable(happened) == comparable(expected)


async def _repeatedly_timed_out(flow: Flow) -> None:
    """The IRMA server announces TIMEOUT at every access, and our workers hear of it."""
    flow.recorded["request"]["timeout"] = 1  # nobody waits for five seconds
    installation, log = flow.installation, flow.lab.stack.processes.log("session")
    async with installation.faults(repeated_timeout={}):
        await flow.start()
        chain_id = flow.begun.chain_id
        await flow.lab.ended(chain_id)

        def heard() -> int:
            lines = log.read_text().splitlines()
            return sum("intake.settled" in one and chain_id in one for one in lines)

        before = heard()
        for _ in range(2):
            assert await installation.frontend(flow.begun) == {"status": "TIMEOUT"}

        async def look() -> bool | None:
            return heard() >= before + 2 or None

        await eventually(look)


async def test_slow_endpoint_within_the_budget(
    wallet_server: Installation,
) -> None:
    """While the endpoint thinks, the session is CONNECTED; then the app goes on."""
    async with flow_at_work("endpoint answers after 3.5 s", wallet_server) as flow:
        pointer = await flow.start()
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            run = tasks.create_task(flow.wallet.run(pointer))

            async def asked() -> bool | None:
                return bool(flow.endpoint.received) or None

            await eventually(asked)
            result = await flow.installation.result(flow.begun.token)
            assert result["status"] == "CONNECTED"
            flow.released.set()
        expected = recorded_expectation(flow)
        happened = await flow.happened([run.result()], expected)
    assert comparable(happened) == comparable(expected)


def test_every_recorded_chain_is_played() -> None:
    """All 21 are, and no difference is named for a chain that does not exist."""
    named = [flow for difference in DIFFERENCES for flow in difference.flows]
    assert len(FLOWS) == 21
    assert FLOWS.keys() >= {*named, *ENDS, *WAITING, *PROVED}
