"""`chainctl demo`: one whole chain on real processes, with every step checked."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
from rich.console import Console

from orchestrator.cli.running import installation, until_signal
from orchestrator.cli.timeline import timeline
from orchestrator.domain.chain import Chain, ChainState
from orchestrator.local.endpoint import FULLNAME, MEMBERSHIP
from orchestrator.local.stack import Plan, Stack
from orchestrator.ports import Store
from orchestrator.sandbox.wallet import Outcome, StepStatus, Wallet
from orchestrator.store import open_store
from schemas.events import Event
from schemas.irma import SessionPackage, SessionType, parse_session_package

RUNS: Final = Path("run")

#: A chain takes a second; the rest is for a busy machine.
CHAIN_TIMEOUT_S: Final = 30.0

#: Between two looks at the history, which lags a little.
LOOK_S: Final = 0.05

#: The events of this chain, in the order of their causes.
EXPECTED: Final = (
    (1, "chain.started"),
    (1, "session.requested"),
    (1, "session.started"),
    (1, "session.completed"),
    (1, "callback.answered"),
    (2, "session.requested"),
    (2, "session.started"),
    (2, "session.completed"),
    (2, "callback.answered"),
    (2, "chain.completed"),
)
FINISHED: Final = {(1, "session.finished"), (2, "session.finished")}


class StepMissingError(Exception):
    """A step of the demonstration did not happen; the text says which."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the history has of the chain."""

    chain: Chain
    events: list[Event]


async def run_demo(run_dir: Path, environ: Mapping[str, str]) -> int:
    """Run the demonstration; the exit code says whether every step happened."""
    return await until_signal(_demo(run_dir, environ))


async def _demo(run_dir: Path, environ: Mapping[str, str]) -> int:
    began = time.monotonic()
    print("starting broker, sandbox, endpoint, gateway and workers …", flush=True)
    try:
        async with installation(run_dir, Plan(), environ) as (stack, rabbitmq):
            took = time.monotonic() - began
            print(f"ready after {took:.1f} s on RabbitMQ {rabbitmq.version}", flush=True)
            await _chain(stack)
    except StepMissingError as missing:
        print(f"FAILED: {missing}")
        return 1
    print(f"all stopped; {time.monotonic() - began:.1f} s in all")
    return 0


async def _chain(stack: Stack) -> None:
    """Start the chain, let the wallet play it, and check what everybody saw."""
    package, chain_id = await _start(stack)
    outcome = await Wallet().run(package.session_ptr)
    async with open_store(stack.database_url) as store:
        told = await _told(store, chain_id)
        steps = await store.steps(chain_id)
    Console().print(timeline(told.chain, steps, told.events))
    _check_wallet(outcome)
    await _check_endpoint(stack)
    _check_history(told)
    print("every step happened: disclosed, verified, issued in the same flow, ended")


async def _start(stack: Stack) -> tuple[SessionPackage, str]:
    request = {
        "request": {
            "@context": "https://irma.app/ld/request/disclosure/v2",
            "disclose": [[[FULLNAME]]],
        },
        "nextSession": {"url": f"{stack.endpoint_url}/"},
    }
    headers = {"Authorization": stack.requestor_key}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(f"{stack.gateway_url}/session", json=request) as response,
    ):
        body = await response.read()
        if not response.ok:
            msg = f"start: the gateway answered {response.status}"
            raise StepMissingError(msg)
        return parse_session_package(body), response.headers["Chain-Id"]


async def _told(store: Store, chain_id: str) -> Told:
    """The chain once it is over and its last sessions are final in the history."""
    try:
        async with asyncio.timeout(CHAIN_TIMEOUT_S):
            while True:
                chain = await store.chain(chain_id)
                events = await store.events(chain_id)
                seen = {(event.step, event.type) for event in events}
                if chain and chain.state is not ChainState.RUNNING and seen >= FINISHED:
                    return Told(chain=chain, events=events)
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        msg = f"the chain did not end within {CHAIN_TIMEOUT_S:g} s"
        raise StepMissingError(msg) from None


def _check_wallet(outcome: Outcome) -> None:
    """The wallet disclosed, then received, in one flow."""
    played = [(step.type, step.status) for step in outcome.steps]
    wanted = [
        (SessionType.DISCLOSING, StepStatus.SUCCESS),
        (SessionType.ISSUING, StepStatus.SUCCESS),
    ]
    if played != wanted:
        told = ", ".join(f"{kind} {status}" for kind, status in played)
        msg = f"wallet: expected a disclosure and an issuance in one flow, saw: {told}"
        raise StepMissingError(msg)
    issued = json.dumps(outcome.steps[1].requested)
    if MEMBERSHIP not in issued:
        msg = f"wallet: {MEMBERSHIP} was not issued"
        raise StepMissingError(msg)


async def _check_endpoint(stack: Stack) -> None:
    """The endpoint verified both results, each under an id of its own."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{stack.endpoint_url}/journal") as response,
    ):
        journal = await response.json()
    paths = [entry["path"] for entry in journal if entry["verified"]]
    if paths != ["/", "/done"]:
        msg = f"endpoint: expected verified results at / and /done, saw {paths}"
        raise StepMissingError(msg)


def _check_history(told: Told) -> None:
    """Every event is there once, numbered without a gap, causes first."""
    if told.chain.state is not ChainState.COMPLETED:
        msg = f"chain: it ended {told.chain.state}: {told.chain.reason}"
        raise StepMissingError(msg)
    if [event.sequence for event in told.events] != list(range(1, len(told.events) + 1)):
        msg = "history: the sequence of events has a gap"
        raise StepMissingError(msg)
    happened = [(event.step, event.type) for event in told.events]
    main = [step for step in happened if step not in FINISHED]
    for wanted in EXPECTED:
        if wanted not in main:
            msg = f"history: step {wanted[0]} has no {wanted[1]}"
            raise StepMissingError(msg)
    if main != list(EXPECTED):
        msg = f"history: expected {EXPECTED}, saw {main}"
        raise StepMissingError(msg)
