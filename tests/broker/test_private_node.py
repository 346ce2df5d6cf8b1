"""A private RabbitMQ node, and the broker that someone named."""

import asyncio
import subprocess
import uuid
from pathlib import Path

import aio_pika
import pytest
from aio_pika.exceptions import AMQPError
from yarl import URL

from orchestrator.domain.errors import ManagementError
from orchestrator.local import node
from orchestrator.local.rabbitmq import (
    Broker,
    BrokerError,
    amqp_connection,
    given_broker,
    private_rabbitmq,
)
from tests.broker.local_support import (
    IPV4,
    IPV6,
    ended,
    listening_addresses,
    processes_of,
    python,
)
from tests.broker.support import eventually

pytestmark = pytest.mark.broker

#: Two boots of a node on a busy machine.
TWO_BOOTS_S = 180


async def test_a_vhost_is_fresh_and_removed_afterwards(broker: Broker) -> None:
    """A vhost of any name takes connections while it is used, and none afterwards."""
    name = f"a/b c-{uuid.uuid4()}"
    async with broker.vhost(name) as url, amqp_connection(url) as connection:
        assert not connection.is_closed
    with pytest.raises(AMQPError):
        await amqp_connection(url).__aenter__()


async def test_a_vhost_that_was_there_is_left_alone(broker: Broker) -> None:
    """A taken name is an error, and the vhost stays with whoever made it."""
    name = str(uuid.uuid4())
    async with broker.vhost(name) as url:
        with pytest.raises(ManagementError, match=f"{name} is there already"):
            await broker.vhost(name).__aenter__()
        async with amqp_connection(url):
            pass


async def test_a_named_broker_is_used_as_it_is(broker: Broker) -> None:
    """Given its URL, a broker is found with its version, and its vhosts can be made."""
    named = await given_broker(broker.amqp_url, broker.management_url)
    assert named.version == broker.version
    async with named.vhost(str(uuid.uuid4())) as url, amqp_connection(url):
        pass


async def test_a_named_broker_that_is_not_there_is_an_error() -> None:
    """The error names the variable and the origin, never the credentials."""
    with pytest.raises(
        BrokerError, match=r"RABBITMQ_URL: amqp://127\.0\.0\.1:1 "
    ) as error:
        await given_broker("amqp://user:s3cret@127.0.0.1:1/", None)
    assert "s3cret" not in str(error.value)


async def test_a_missing_management_api_is_an_error(broker: Broker) -> None:
    """The error says what to enable and which variable to set."""
    with pytest.raises(ManagementError, match=r"rabbitmq_management.*MANAGEMENT_URL"):
        await given_broker(broker.amqp_url, "http://127.0.0.1:1")


async def test_a_wrong_password_for_management_is_an_error(broker: Broker) -> None:
    """The error says what the API answered and what the user needs."""
    manager = URL(broker.management_url).with_user("nobody").with_password("s3cret")
    with pytest.raises(ManagementError, match=r"answered 401.*administrator") as error:
        await given_broker(broker.amqp_url, str(manager))
    assert "s3cret" not in str(error.value)


async def test_a_machine_without_rabbitmq_is_told_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the server is not installed, the error says how to install or name one."""
    monkeypatch.setattr(node, "SERVER", tmp_path / "none")
    with pytest.raises(BrokerError, match=r"setup\.sh.*RABBITMQ_URL"):
        await private_rabbitmq(tmp_path).__aenter__()


async def test_a_node_that_does_not_boot_is_told_with_its_log(tmp_path: Path) -> None:
    """A node that refuses its start is an error that quotes what it said."""
    folder = tmp_path / "rabbitmq"
    folder.mkdir()
    (folder / "data").write_text("not a folder")
    with pytest.raises(BrokerError, match=r"did not start(?s:.)*rabbitmq\.log:") as error:
        await private_rabbitmq(tmp_path).__aenter__()
    assert str(folder) in str(error.value)
    assert processes_of(tmp_path) == {}


@pytest.mark.timeout(TWO_BOOTS_S)
async def test_a_killed_node_comes_back_with_its_data(tmp_path: Path) -> None:
    """A node listens on loopback only, refuses guest, and keeps data through kill -9."""
    async with private_rabbitmq(tmp_path) as private:
        assert private.node is not None
        assert {IPV4} <= listening_addresses(processes_of(tmp_path)) <= {IPV4, IPV6}
        guest = URL(private.amqp_url).with_user("guest").with_password("guest")
        with pytest.raises(AMQPError):
            await amqp_connection(guest).__aenter__()
        await put(private.amqp_url, b"kept")
        await eventually(lambda: knows_queue(tmp_path, b"_kept"))
        await private.node.kill()
        await private.node.start()
        assert await get(private.amqp_url) == b"kept"
    assert processes_of(tmp_path) == {}


SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from orchestrator.local.rabbitmq import private_rabbitmq

async def main(run_dir: Path) -> None:
    async with private_rabbitmq(run_dir):
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.timeout(TWO_BOOTS_S)
async def test_a_node_does_not_outlive_a_killed_supervisor(tmp_path: Path) -> None:
    """After kill -9 of the supervisor, broker, its helpers and epmd are gone."""
    supervisor = await asyncio.create_subprocess_exec(
        *python(SUPERVISOR, str(tmp_path)), stdout=subprocess.PIPE
    )
    assert supervisor.stdout is not None
    await supervisor.stdout.readuntil(b"ready")
    running = processes_of(tmp_path)
    assert {"beam.smp", "epmd", "erl_child_setup", "inet_gethost"} <= set(
        running.values()
    )
    supervisor.kill()
    await supervisor.wait()
    await ended(running)
    assert processes_of(tmp_path) == {}


async def knows_queue(run_dir: Path, name: bytes) -> bool:
    """Whether the node has written which quorum queues it has.

    It does so half a second later; killed before (seen on 3.10.8), it comes back with a
    queue that has no leader and never will (rabbitmq-server issue 15725).
    """
    (names,) = run_dir.glob("rabbitmq/data/*/quorum/*/names.dets")
    return name in names.read_bytes()


async def put(url: str, body: bytes) -> None:
    """Publish one message to a quorum queue and have it confirmed."""
    async with amqp_connection(url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(
            "kept", durable=True, arguments={"x-queue-type": "quorum"}
        )
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, routing_key=queue.name)


async def get(url: str) -> bytes:
    """Take one message from that queue, once its leader is there again."""
    async with amqp_connection(url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue("kept")
        async with queue.iterator(timeout=20) as messages:
            async for message in messages:
                await message.ack()
                return message.body
    raise AssertionError("the queue was empty")
