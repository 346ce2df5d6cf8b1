"""`chainctl demo`: one whole chain on real processes, with every step checked."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
from pydantic import TypeAdapter
from rich.console import Console

from orchestrator.cli.running import INTERRUPTED, installation, until_signal
from orchestrator.cli.timeline import plain, timeline
from orchestrator.domain.chain import Chain, ChainState
from orchestrator.local.endpoint import FULLNAME, MEMBERSHIP, Claims
from orchestrator.local.stack import Plan, Stack
from orchestrator.ports import Store
from orchestrator.sandbox.wallet import Outcome, StepStatus, Wallet
from orchestrator.store import open_store
from schemas.events import EndpointChanged, Event
from schemas.irma import SessionPackage, SessionType, parse_session_package

#: A chain takes a second; the rest is for a busy machine.
CHAIN_TIMEOUT_S: Final = 30.0

#: How long the history may lag behind the end of a chain, on a busy machine.
HISTORY_TIMEOUT_S: Final = 10.0

#: Between two looks at the database.
LOOK_S: Final = 0.05

#: What the wallet plays, in one flow.
PLAYED: Final = (
    (SessionType.DISCLOSING, StepStatus.SUCCESS),
    (SessionType.ISSUING, StepStatus.SUCCESS),
)

#: Where the endpoint gets results.
VERIFIED: Final = ("/", "/done")

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
#: These come when the clock has looked at the sessions once more: any time after them.
FINISHED: Final = ((1, "session.finished"), (2, "session.finished"))

#: Whether something has come true.
Look = Callable[[], Awaitable[bool]]

_JOURNAL: Final = TypeAdapter(list[Claims])


class StepMissingError(Exception):
    """The chain could not even be started; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What everybody saw of the chain.

    Attributes:
        outcome: the wallet's own journal.
        verified: where the endpoint verified a result, in order; None: no answer.
        chain: the chain's row.
        events: its history.
    """

    outcome: Outcome
    verified: Sequence[str] | None
    chain: Chain
    events: Sequence[Event]


async def run_demo(run_dir: Path, environ: Mapping[str, str]) -> int:
    """Run the demonstration; the exit code says whether every step happened."""
    return await until_signal(_demo(run_dir, environ), interrupted=INTERRUPTED)


async def _demo(run_dir: Path, environ: Mapping[str, str]) -> int:
    began = time.monotonic()
    print("starting broker, sandbox, endpoint, gateway and workers …", flush=True)
    async with installation(run_dir, Plan(), environ) as (stack, rabbitmq):
        took = time.monotonic() - began
        print(f"ready after {took:.1f} s on RabbitMQ {rabbitmq.version}", flush=True)
        missing = await _chain(stack)
    for step in missing:
        print(f"FAILED: {step}")
    print(f"all stopped; {time.monotonic() - began:.1f} s in all")
    return 1 if missing else 0


async def _chain(stack: Stack) -> tuple[str, ...]:
    """Start the chain, let the wallet play it, show it; what of it did not happen."""
    try:
        package, chain_id = await _start(stack)
    except StepMissingError as error:
        return (str(error),)
    outcome = await Wallet().run(package.session_ptr)
    async with open_store(stack.database_url) as store:
        # A flow that broke off ends soon or, with tries in the background, in hours.
        is_whole = _played(outcome) == PLAYED
        await _settle(store, chain_id, CHAIN_TIMEOUT_S if is_whole else HISTORY_TIMEOUT_S)
        chain = await store.chain(chain_id)
        events = await store.events(chain_id)
        steps = await store.steps(chain_id)
    if chain is None:
        return (f"start: there is no chain {chain_id}",)
    Console().print(timeline(chain, steps, events))
    verified = await _verified(stack)
    seen = Seen(outcome=outcome, verified=verified, chain=chain, events=events)
    missing = missing_steps(seen)
    if not missing:
        print("every step happened: disclosed, verified, issued in the same flow, ended")
    return missing


async def _start(stack: Stack) -> tuple[SessionPackage, str]:
    request = {
        "request": {
            "@context": "https://irma.app/ld/request/disclosure/v2",
            "disclose": [[[FULLNAME]]],
        },
        "nextSession": {"url": f"{stack.endpoint_url}/"},
    }
    headers = {"Authorization": stack.requestor_key}
    try:
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.post(f"{stack.gateway_url}/session", json=request) as response,
        ):
            body = await response.read()
    except aiohttp.ClientError as error:
        msg = f"start: the gateway does not answer ({type(error).__name__})"
        raise StepMissingError(msg) from None
    if not response.ok:
        msg = f"start: the gateway answered {response.status}"
        raise StepMissingError(msg)
    return parse_session_package(body), response.headers["Chain-Id"]


async def _settle(store: Store, chain_id: str, timeout_s: float) -> None:
    """Wait until the chain is over and then until the history has it all, if they are."""

    async def over() -> bool:
        chain = await store.chain(chain_id)
        return chain is not None and chain.state is not ChainState.RUNNING

    async def told() -> bool:
        chain = await store.chain(chain_id)
        return chain is not None and is_told(chain, await store.events(chain_id))

    if await _comes(over, timeout_s):
        await _comes(told, HISTORY_TIMEOUT_S)


async def _comes(look: Look, timeout_s: float) -> bool:
    """Whether it comes true in time; nobody announces it, so we look again and again."""
    try:
        async with asyncio.timeout(timeout_s):
            while not await look():  # noqa: ASYNC110 - rows make no noise
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        return False
    return True


async def _verified(stack: Stack) -> tuple[str, ...] | None:
    """Where the endpoint verified a result, in order; None if it does not answer."""
    try:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{stack.endpoint_url}/journal") as response,
        ):
            journal = _JOURNAL.validate_json(await response.read())
    except aiohttp.ClientError:
        return None
    return tuple(str(entry["path"]) for entry in journal if entry["verified"])


def is_told(chain: Chain, events: Sequence[Event]) -> bool:
    """Whether nothing more is to come of a chain that has ended."""
    happened = set(_steps(events))
    if chain.state is ChainState.COMPLETED:
        return happened.issuperset((*EXPECTED, *FINISHED))
    return any(event_type == f"chain.{chain.state}" for _, event_type in happened)


def missing_steps(seen: Seen) -> tuple[str, ...]:
    """What did not happen as it should, in the words of who should have seen it."""
    return (
        *_not_played(seen.outcome),
        *_not_verified(seen.verified),
        *_not_completed(seen.chain),
        *_not_told(seen.events),
    )


def _played(outcome: Outcome) -> tuple[tuple[SessionType, StepStatus], ...]:
    return tuple((step.type, step.status) for step in outcome.steps)


def _not_played(outcome: Outcome) -> list[str]:
    """The wallet disclosed, then received, in one flow."""
    played = _played(outcome)
    if played != PLAYED:
        told = ", ".join(f"{kind} {status}" for kind, status in played) or "nothing"
        return [f"wallet: expected a disclosure and an issuance in one flow, saw: {told}"]
    if MEMBERSHIP not in json.dumps(outcome.steps[1].requested):
        return [f"wallet: {MEMBERSHIP} was not issued"]
    return []


def _not_verified(verified: Sequence[str] | None) -> list[str]:
    """The endpoint verified both results."""
    if verified is None:
        return ["endpoint: it does not answer"]
    missing = [path for path in VERIFIED if path not in verified]
    if missing:
        return [f"endpoint: no verified result at {path}" for path in missing]
    if tuple(verified) != VERIFIED:
        return [f"endpoint: expected results at {_list(VERIFIED)}, saw {_list(verified)}"]
    return []


def _not_completed(chain: Chain) -> list[str]:
    if chain.state is ChainState.RUNNING:
        return ["chain: it has not ended"]
    if chain.state is not ChainState.COMPLETED:
        why = f": {plain(chain.reason)}" if chain.reason else ""
        return [f"chain: it ended as {chain.state}{why}"]
    return []


def _steps(events: Sequence[Event]) -> list[tuple[int, str]]:
    """What happened at which step; a chain's history has no endpoint's events."""
    return [
        (event.step, event.type)
        for event in events
        if not isinstance(event, EndpointChanged)
    ]


def _not_told(events: Sequence[Event]) -> list[str]:
    """Every event is in the history once, numbered without a gap, causes first."""
    happened = _steps(events)
    missing = [wanted for wanted in (*EXPECTED, *FINISHED) if wanted not in happened]
    if missing:
        return [f"history: step {step} has no {name}" for step, name in missing]
    if [event.sequence for event in events] != list(range(1, len(events) + 1)):
        return ["history: the sequence of events has a gap"]
    main = tuple(told for told in happened if told not in FINISHED)
    if main != EXPECTED or len(happened) != len(EXPECTED) + len(FINISHED):
        told = _list(f"{step} {name}" for step, name in happened)
        return [f"history: events are doubled or out of order: {told}"]
    return []


def _list(words: Iterable[str]) -> str:
    return ", ".join(words) or "nothing"
