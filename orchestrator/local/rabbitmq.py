"""A RabbitMQ to work with: the one that was named, or a private node of this run."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import aio_pika
from yarl import URL

from orchestrator.broker.management import Management
from orchestrator.local import node
from orchestrator.local.ports import LOOPBACK, free_ports, taken
from orchestrator.local.processes import Exited, ProcessError, Processes

#: Two idle cores boot a node in about 8 s; the rest is for a machine that is not idle.
BOOT_TIMEOUT_S = 60.0
#: Between two looks whether a booting node answers already.
LOOK_S = 0.05
#: One attempt to connect.
ATTEMPT_S = 10.0
#: A port may be taken between choosing and binding; thrice in a row is something else.
TRIES = 3


class BrokerError(Exception):
    """No broker to work with; the text says why and what to do."""


@dataclass(frozen=True)
class Broker:
    """A running RabbitMQ and the credentials to use and manage it."""

    amqp_url: str = field(repr=False)
    user: str
    password: str = field(repr=False)
    version: str
    management: Management
    #: The process behind it, if it is ours to stop and start.
    node: "PrivateNode | None" = field(default=None, repr=False)

    @property
    def management_url(self) -> str:
        """Where the management API is, without credentials."""
        return self.management.url

    @asynccontextmanager
    async def vhost(self, name: str) -> AsyncIterator[str]:
        """The URL of a fresh vhost, which is removed afterwards."""
        try:
            await self.management.make_vhost(name, for_user=self.user)
        except asyncio.CancelledError:  # it may be there all the same
            await self.management.remove_vhost(name)
            raise
        path = f"/{quote(name, safe='')}"
        try:
            yield str(URL(self.amqp_url).with_path(path, encoded=True))
        finally:
            await self.management.remove_vhost(name)


class PrivateNode:
    """A RabbitMQ node and its epmd in their own folder; may be stopped and started."""

    def __init__(self, folder: Path, processes: Processes) -> None:
        self._folder = folder
        self._processes = processes
        self._secrets = node.kept_secrets(folder)
        self._ports = _choose_ports()

    @property
    def amqp_url(self) -> str:
        """Where the node speaks AMQP, with the credentials of its only user."""
        login = f"{node.USER}:{self._secrets.password}"
        return f"amqp://{login}@{LOOPBACK}:{self._ports.amqp}/"

    async def boot(self) -> None:
        """Start the node the first time, on other ports if some were snatched away."""
        for tries_left in reversed(range(TRIES)):
            try:
                await self.start()
            except ProcessError:
                await self.end()
                if not tries_left or not taken(self._ports.numbers):
                    raise
                self._ports = _choose_ports()
            else:
                return

    async def start(self) -> None:
        """Start what of the node does not run; ready when it speaks AMQP."""
        node.write_files(self._folder, self._ports, self._secrets.password)
        env = node.environment(self._folder, self._ports)
        if not self._processes.runs("epmd"):
            await self._processes.start(
                "epmd", node.epmd_argv(self._ports), env=env, ready=self._epmd_listens
            )
        await self._processes.start(
            "rabbitmq",
            [str(node.SERVER)],
            env=env,
            ready=self._amqp_answers,
            ready_timeout_s=BOOT_TIMEOUT_S,
        )

    async def stop(self) -> None:
        """Stop the broker in order, as an operator would; what is durable stays."""
        await self._processes.stop("rabbitmq")

    async def kill(self) -> None:
        """End the broker by kill -9."""
        await self._processes.kill("rabbitmq")

    async def end(self) -> None:
        """Kill what runs: what was confirmed is on disk, an orderly stop takes 6 s."""
        for name in ("rabbitmq", "epmd"):
            if self._processes.runs(name):
                await self._processes.kill(name)

    async def describe(self) -> Broker:
        """The running node as a broker to work with."""
        url = f"http://{LOOPBACK}:{self._ports.management}"
        management = Management(url, node.USER, self._secrets.password)
        return Broker(
            amqp_url=self.amqp_url,
            user=node.USER,
            password=self._secrets.password,
            version=await management.version(),
            management=management,
            node=self,
        )

    async def _epmd_listens(self) -> None:
        await _until_listening(self._ports.epmd)

    async def _amqp_answers(self) -> None:
        await _until_listening(self._ports.amqp)
        async with amqp_connection(self.amqp_url):
            pass


@asynccontextmanager
async def broker(
    run_dir: Path,
    url: str | None,
    management_url: str | None,
    *,
    on_exit: Callable[[Exited], None] | None = None,
) -> AsyncIterator[Broker]:
    """The broker at `url`; without one, a private node under `run_dir`.

    Raises:
        BrokerError: there is none to work with.
        ManagementError: it cannot be managed.
    """
    if url is not None:
        yield await given_broker(url, management_url)
        return
    async with private_rabbitmq(run_dir, on_exit=on_exit) as private:
        yield private


@asynccontextmanager
async def private_rabbitmq(
    run_dir: Path, *, on_exit: Callable[[Exited], None] | None = None
) -> AsyncIterator[Broker]:
    """A private node under `run_dir`, stopped in the end; its data stay in the folder.

    Raises:
        BrokerError: it did not start.
    """
    if not node.SERVER.exists():
        raise BrokerError(
            f"no RabbitMQ: {node.SERVER} is missing. Run deploy/local/setup.sh (as make"
            " does), or name a running one in RABBITMQ_URL"
        )
    folder = run_dir / "rabbitmq"
    async with Processes(folder, on_exit=on_exit) as processes:
        private = PrivateNode(folder, processes)
        try:
            await private.boot()
        except (ProcessError, aio_pika.exceptions.AMQPError) as error:
            raise BrokerError(
                f"the private RabbitMQ did not start: {error}\nRemove {folder} to start"
                " afresh, or name a running one in RABBITMQ_URL"
            ) from error
        try:
            yield await private.describe()
        finally:
            await private.end()


async def given_broker(url: str, management_url: str | None) -> Broker:
    """The broker that someone named, once both its sides have answered.

    Raises:
        BrokerError: it does not speak AMQP with us.
        ManagementError: it cannot be managed.
    """
    amqp = URL(url)
    if amqp.scheme not in {"amqp", "amqps"} or not amqp.host:
        raise BrokerError(
            "RABBITMQ_URL: expected amqp://USER:PASSWORD@HOST:PORT/ (or amqps://);"
            " correct it, or unset it for a private node"
        )
    user, password = amqp.user or "guest", amqp.password or "guest"
    management = Management.beside(url, management_url, setting="RABBITMQ_MANAGEMENT_URL")
    try:
        async with amqp_connection(url):
            pass
    except (OSError, aio_pika.exceptions.AMQPError) as error:
        raise BrokerError(
            f"RABBITMQ_URL: {amqp.origin()} does not speak AMQP with us"
            f" ({type(error).__name__}); correct it, or unset it for a private node"
        ) from error
    return Broker(
        amqp_url=url,
        user=user,
        password=password,
        version=await management.version(),
        management=management,
    )


async def _until_listening(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, port)
        except OSError:
            await asyncio.sleep(LOOK_S)
        else:
            writer.close()
            return await writer.wait_closed()


@asynccontextmanager
async def amqp_connection(url: str | URL) -> AsyncIterator[aio_pika.Connection]:
    """A plain connection, closed in every case.

    `aio_pika.connect` leaves one that failed to the garbage collector, which closes it at
    any later moment, also where no event loop runs.

    Raises:
        OSError, aio_pika.exceptions.AMQPError: nothing answers, or it refuses us.
    """
    connection = aio_pika.Connection(URL(url))
    try:
        await connection.connect(timeout=ATTEMPT_S)
        yield connection
    finally:
        await connection.close()


def _choose_ports() -> node.NodePorts:
    return node.NodePorts(*free_ports(4, random.SystemRandom()))
