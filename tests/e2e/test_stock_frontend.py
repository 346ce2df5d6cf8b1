"""The stock Yivi frontend, from npm in Node, follows a chain through our gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import JsonValue

from orchestrator.domain.chain import ChainState
from orchestrator.proof.endpoints import Received, endpoint_at_work
from orchestrator.proof.lab import BOUND_S, Json, Lab, disclosure, issuance
from orchestrator.sandbox.user import share, unseen
from orchestrator.sandbox.wallet import StepStatus, Wallet
from schemas.irma import SessionPointer

pytestmark = pytest.mark.e2e

FOLLOW = Path(__file__).with_name("frontend") / "follow.mjs"

#: What a browser shows, in order, once it has the session.
WITHOUT_PAIRING = ["PreparingQRCode", "ShowingQRCode", "ContinueOn2ndDevice"]
WITH_PAIRING = [
    "PreparingQRCode",
    "ShowingQRCode",
    "EnterPairingCode",
    "Pairing",
    "ContinueOn2ndDevice",
]


@dataclass
class Frontend:
    """The frontend's process and the lines it writes."""

    process: asyncio.subprocess.Process

    async def tell(self, what: Json) -> None:
        """One line for it to read."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what).encode() + b"\n")
        await self.process.stdin.drain()

    async def next(self, name: str) -> list[dict[str, JsonValue]]:
        """All it says until something of this name, inclusive."""
        assert self.process.stdout is not None
        said: list[dict[str, JsonValue]] = []
        async with asyncio.timeout(BOUND_S):
            while not said or name not in said[-1]:
                line = await self.process.stdout.readline()
                assert line, f"it ended and said: {said}"
                said.append(json.loads(line))
        return said


@asynccontextmanager
async def frontend() -> AsyncIterator[Frontend]:
    """The frontend at work, gone afterwards."""
    process = await asyncio.create_subprocess_exec(
        "node",
        str(FOLLOW),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Frontend(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def states(said: list[dict[str, JsonValue]]) -> list[JsonValue]:
    """The states among what it said."""
    return [line["state"] for line in said if "state" in line]


@pytest.mark.trap("T19")
@pytest.mark.trap("T21")
@pytest.mark.parametrize("pairing", [False, True], ids=["no pairing", "pairing"])
async def test_it_follows_a_chain_of_three_steps(lab: Lab, *, pairing: bool) -> None:
    """In flow to the end, then it fetches the first session's result.

    The next pointers are followed with the first session's frontend token.
    """

    async def script(n: int, _: Received) -> web.StreamResponse:
        following = [issuance(f"{endpoint.url}/2"), disclosure(f"{endpoint.url}/3")]
        if n < len(following):
            return web.json_response(following[n])
        return web.Response(status=204)

    async with endpoint_at_work(script) as endpoint, frontend() as page:
        await page.tell(
            {
                "url": lab.stack.gateway_url,
                "headers": {
                    "Authorization": lab.stack.requestor_key,
                    "Content-Type": "application/json",
                },
                "request": disclosure(f"{endpoint.url}/1"),
                "pairing": pairing,
            }
        )
        mappings = (await page.next("mappings"))[-1]["mappings"]
        assert isinstance(mappings, dict)
        while "ShowingQRCode" not in states(said := await page.next("state")):
            pass
        assert said
        pointer = SessionPointer.model_validate(mappings["sessionPtr"])

        async def typed(code: str) -> None:
            """The user reads the code in the app and types it into the page."""
            await page.tell({"pairingCode": code})

        outcome = await Wallet().run(pointer, share, paired=typed if pairing else unseen)
        end = await page.next("result")

    assert [step.status for step in outcome.steps] == [StepStatus.SUCCESS] * 3
    expected = WITH_PAIRING if pairing else WITHOUT_PAIRING
    assert states(end) == [*expected[2:], "PreparingResult", "Success"]
    result = end[-1]["result"]
    assert isinstance(result, dict)
    assert (result["status"], result["proofStatus"]) == ("DONE", "VALID")
    assert result["token"] == mappings["sessionToken"]
    assert result["nextSession"]
    assert [received.path for received in endpoint.received] == ["/1", "/2", "/3"]
    status, text = await lab.get(f"/session/{mappings['sessionToken']}/status")
    assert (status, json.loads(text)) == (200, "DONE")
    token_hash = lab.rows.sealer.token_hash(str(result["token"]))
    row = await lab.store.step_by_token(token_hash)
    assert row is not None
    assert (await lab.ended(row.slot.chain_id)).state is ChainState.COMPLETED
