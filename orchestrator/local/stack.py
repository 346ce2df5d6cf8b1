"""The whole product on one machine: every process of it, real, around one broker.

Serves `chainctl up`, `chainctl demo`, the tests and the proofs.
"""

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from pydantic import JsonValue

from orchestrator.local import tether
from orchestrator.local.keys import LocalSecrets, local_secrets
from orchestrator.local.ports import LOOPBACK, free_ports
from orchestrator.local.processes import READY_TIMEOUT_S, Exited, Processes
from orchestrator.local.together import together
from orchestrator.store.schema import migrate
from schemas.messages import Lane

#: The only requestor of a local installation.
REQUESTOR = "demo"

#: What we are called at the IRMA server, whose requestor we are.
OURSELVES = "orchestrator"

#: How nice workers are to the gateway, whose answers users wait for: those that it needs
#: for them, those that may lag, and the one that begins replays, which has all the time
#: there is. Not their callbacks: who is starved takes an answer for none.
_IN_FLOW = 5
_BEHIND = 10
_LAST = tether.IDLE

#: How long an idle worker may take to start, where others want the processors.
STARVED_S = 300.0

#: Between two looks whether a server answers already.
LOOK_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to run.

    Attributes:
        callbacks: how many callback workers of the live lane.
        lanes: the other lanes that have one; what waits in the rest waits on.
        replays: whether a replay worker runs too.
        endpoint: whether the example endpoint runs too.
        database_url: an SQLite file in the run folder if not given.
        overrides: settings that differ, as in the configuration file.
        sandbox: options of the sandbox that differ.
    """

    callbacks: int = 1
    lanes: Sequence[Lane] = ()
    replays: bool = False
    endpoint: bool = True
    database_url: str | None = None
    overrides: Mapping[str, JsonValue] = field(default_factory=dict)
    sandbox: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A running installation.

    Attributes:
        processes: gateway and workers.
        around: the sandbox, and the endpoint if it runs.
    """

    gateway_url: str
    irma_server_url: str
    endpoint_url: str | None
    requestor_key: str = field(repr=False)
    database_url: str
    broker_url: str = field(repr=False)
    config_file: Path
    processes: Processes
    around: Processes

    async def start_worker(
        self, kind: str, name: str | None = None, *, lane: str | None = None
    ) -> int:
        """Start one more worker of a kind, or one that was ended; its process id."""
        argv = worker_argv(kind, self.config_file, lane)
        shared = not self.database_url.startswith("sqlite")
        niceness = niceness_of(kind, lane, shared=shared)
        return await self.processes.start(
            name or kind,
            argv,
            niceness=niceness,
            ready_timeout_s=STARVED_S if niceness == tether.IDLE else READY_TIMEOUT_S,
        )

    async def start_gateway(self) -> int:
        """Start the gateway again after it was ended; its process id."""
        argv = _argv("gateway", "--config", str(self.config_file))
        return await self.processes.start("gateway", argv)


@asynccontextmanager
async def sandbox_and_endpoint(
    run_dir: Path,
    plan: Plan,
    *,
    on_exit: Callable[[Exited], None] | None = None,
) -> AsyncIterator["Surroundings"]:
    """What does not need a broker: the sandbox, the endpoint, the database's schema."""
    secrets = local_secrets(run_dir / "secrets")
    gateway, irma, endpoint = free_ports(3, random.SystemRandom())
    database = plan.database_url or _private_database(run_dir / "chains.db")
    async with Processes(run_dir / "around", on_exit=on_exit) as processes:
        around = Surroundings(
            run_dir=run_dir,
            plan=plan,
            secrets=secrets,
            gateway_url=f"http://{LOOPBACK}:{gateway}",
            irma_server_url=f"http://{LOOPBACK}:{irma}",
            endpoint_url=f"http://{LOOPBACK}:{endpoint}" if plan.endpoint else None,
            database_url=database,
            processes=processes,
            on_exit=on_exit,
        )
        await together(migrate(database), _start_sandbox(around), _start_endpoint(around))
        yield around


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """Everything around the broker, ready for the processes that need one."""

    run_dir: Path
    plan: Plan
    secrets: LocalSecrets
    gateway_url: str
    irma_server_url: str
    endpoint_url: str | None
    database_url: str
    processes: Processes
    on_exit: Callable[[Exited], None] | None

    @asynccontextmanager
    async def started(
        self, broker_url: str, management_url: str | None = None
    ) -> AsyncIterator[Stack]:
        """Gateway and workers around this broker, stopped before it is."""
        async with Processes(self.run_dir / "stack", on_exit=self.on_exit) as processes:
            settings = self._settings(broker_url)
            if management_url is not None:
                settings["management_url"] = management_url
            yield await self._start(broker_url, settings, processes)
            await processes.stop_all()

    async def _start(
        self, broker_url: str, settings: Mapping[str, JsonValue], processes: Processes
    ) -> Stack:
        """Start them all at once; ready when all are."""
        config_file = self.run_dir / "orchestrator.json"
        _write_private(config_file, settings)
        stack = Stack(
            gateway_url=self.gateway_url,
            irma_server_url=self.irma_server_url,
            endpoint_url=self.endpoint_url,
            requestor_key=self.secrets.requestor_key,
            database_url=self.database_url,
            broker_url=broker_url,
            config_file=config_file,
            processes=processes,
            around=self.processes,
        )
        workers = _workers(self.plan)
        await together(
            stack.start_gateway(),
            *(stack.start_worker(kind, name, lane=lane) for name, kind, lane in workers),
        )
        return stack

    def _settings(self, broker_url: str) -> dict[str, JsonValue]:
        secrets = self.secrets
        settings: dict[str, JsonValue] = {
            "broker_url": broker_url,
            "database_url": self.database_url,
            "public_url": self.gateway_url,
            "listen": {"host": LOOPBACK, "port": int(self.gateway_url.split(":")[-1])},
            "irma_server": {
                "url": self.irma_server_url,
                "key": secrets.irma_server_key,
            },
            "sealing": {"key": secrets.sealing_key, "hash_key": secrets.hash_key},
            "requestors": {REQUESTOR: {"key": secrets.requestor_key}},
            # Endpoints of one machine: neither TLS nor public addresses.
            "egress": {
                "allow_http": True,
                "allowed_networks": ["127.0.0.0/8", "::1/128"],
            },
            "jwt_privkey_file": str(secrets.jwt_key_file),
            # The page's link opens the sandbox's wallet, as the app's link would the app.
            "universal_link": f"{self.irma_server_url}/wallet#",
        }
        return _merged(settings, self.plan.overrides)


def _merged(
    settings: Mapping[str, JsonValue], overrides: Mapping[str, JsonValue]
) -> dict[str, JsonValue]:
    """The settings with others in their place, section by section."""
    merged = {**settings}
    for name, value in overrides.items():
        match merged.get(name), value:
            case dict(own), dict(others):
                merged[name] = _merged(own, others)
            case _:
                merged[name] = value
    return merged


def _workers(plan: Plan) -> list[tuple[str, str, str | None]]:
    """Name, kind and lane of all workers."""
    live = [(f"callback-{number + 1}", Lane.LIVE) for number in range(plan.callbacks)]
    lanes = [*live, *((f"callback-{lane}", lane) for lane in plan.lanes)]
    kinds = ["session", "history", "clock", *(["replay"] if plan.replays else [])]
    return [
        *((name, "callback", lane) for name, lane in lanes),
        *((kind, kind, None) for kind in kinds),
    ]


def niceness_of(kind: str, lane: str | None, *, shared: bool = True) -> int:
    """Whom users wait for goes before: the gateway, then what its answers need.

    All share one machine. After an outage there is a backlog, and whoever works it off
    as fast as it can would take the time of those who come now.

    Args:
        kind: of worker.
        lane: a callback worker's.
        shared: whether the database takes several writers; where it takes one (SQLite),
            one that is starved in a transaction would hold up everybody.
    """
    if kind == "replay" and shared:
        return _LAST
    in_flow = kind == "session" or (kind == "callback" and lane in {None, Lane.LIVE})
    return _IN_FLOW if in_flow else _BEHIND


def worker_argv(kind: str, config_file: Path, lane: str | None = None) -> list[str]:
    """The command line of a worker process; the lane is a callback worker's."""
    argv = _argv("worker", kind, "--config", str(config_file))
    return argv if lane is None else [*argv, "--lane", lane]


def _argv(*words: str) -> list[str]:
    return [sys.executable, "-m", "orchestrator.cli.main", *words]


def _write_private(file: Path, content: Mapping[str, JsonValue]) -> None:
    """For nobody else's eyes: there are keys in it."""
    file.touch(mode=0o600)
    file.write_text(json.dumps(content, indent=2))


def _private_database(file: Path) -> str:
    """The URL of an SQLite file; what SQLite lays beside it takes over its mode."""
    file.touch(mode=0o600)
    return f"sqlite:///{file}"


async def _start_sandbox(around: Surroundings) -> None:
    # Not on the command line: that is for everybody to see.
    requestors: JsonValue = {OURSELVES: {"key": around.secrets.irma_server_key}}
    config_file = around.run_dir / "sandbox.json"
    _write_private(config_file, {"requestors": requestors, **around.plan.sandbox})
    port = around.irma_server_url.split(":")[-1]
    argv = [sys.executable, "-m", "orchestrator.sandbox", "--port", port]
    argv += ["--jwt-privkey", str(around.secrets.irma_key_file)]
    argv += ["--config", str(config_file)]
    await around.processes.start(
        "sandbox", argv, ready=_answering(f"{around.irma_server_url}/health")
    )


async def _start_endpoint(around: Surroundings) -> None:
    url = around.endpoint_url
    if url is None:
        return
    argv = [sys.executable, "-m", "orchestrator.local.endpoint"]
    argv += ["--port", url.split(":")[-1]]
    argv += ["--public-key-url", f"{around.gateway_url}/publickey"]
    await around.processes.start("endpoint", argv, ready=_answering(f"{url}/health"))


def _answering(url: str) -> Callable[[], Awaitable[None]]:
    async def until_it_answers() -> None:
        async with aiohttp.ClientSession() as http:
            while True:
                try:
                    async with http.get(url) as response:
                        if response.ok:
                            return
                except aiohttp.ClientConnectionError:
                    pass
                await asyncio.sleep(LOOK_S)

    return until_it_answers
