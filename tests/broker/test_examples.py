"""The examples for subscribers, run as an integrator runs them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aio_pika import RobustConnection

from orchestrator.broker.grants import connection_url, user_of
from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.broker.topology import declare, own_log
from orchestrator.local.wire import Wire
from orchestrator.ports import EVENTS_EXCHANGE, Message
from tests.broker.integrators import BOUNDS, Integrators
from tests.broker.support import soon

pytestmark = pytest.mark.broker

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
EVENT = json.loads(
    (ROOT / "schemas/generated/examples/session.completed.json").read_bytes()
)

SUBSCRIBERS = (
    [sys.executable, "subscribe_aio_pika.py"],
    [sys.executable, "subscribe_faststream.py"],
    ["node", "subscribe_amqplib.mjs"],
)
READER = [sys.executable, "read_stream.py"]


@dataclass(frozen=True)
class Subscriber:
    """A running example."""

    process: asyncio.subprocess.Process

    async def subscribed(self) -> None:
        """From now on it misses nothing."""
        assert self.process.stderr is not None
        said: list[bytes] = []
        while not said or b"subscribed" not in said[-1]:
            said.append(await soon(self.process.stderr.readline()))
            assert said[-1], b"".join(said).decode()

    async def ids(self, count: int) -> list[str]:
        """The ids of the next events that it prints."""
        assert self.process.stdout is not None
        ids: list[str] = []
        while len(ids) < count:
            line = await soon(self.process.stdout.readline())
            assert line, "it ended"
            if line.startswith(b"{"):  # FastStream logs there, too
                ids.append(json.loads(line)["id"])
        return ids


@asynccontextmanager
async def running(
    command: Sequence[str], *arguments: str, url: str, folder: Path
) -> AsyncIterator[Subscriber]:
    """An example at work, gone afterwards."""
    program, file = command
    process = await asyncio.create_subprocess_exec(
        program,
        str(EXAMPLES / file),
        "acme",
        *arguments,
        env={"PATH": os.environ["PATH"], "AMQP_URL": url},
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Subscriber(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def publish(publisher: BrokerPublisher, *ids: str, key: str = "acme") -> None:
    """Publish events of a requestor, one after the other."""
    for id_ in ids:
        body = json.dumps(EVENT | {"id": id_, "time": datetime.now(UTC).isoformat()})
        await publisher.publish(
            Message(
                id=id_,
                exchange=EVENTS_EXCHANGE,
                routing_key=f"session.completed.{key}",
                body=body.encode(),
                content_type="application/cloudevents+json",
            )
        )


@pytest.fixture
async def url(integrators: Integrators, wire: Wire, connection: RobustConnection) -> str:
    """What acme was given, by a wire that can be cut; it has a stream, too."""
    await declare(connection, own_log("acme", age_max_s=3_600, bytes_max=10_000_000))
    password = await integrators.grants.give("acme", BOUNDS)
    vhost = integrators.grants.vhost
    return connection_url(wire.url, user_of("acme", vhost), password or "", vhost)


@pytest.mark.parametrize("command", SUBSCRIBERS, ids=lambda command: command[1])
async def test_a_subscriber_has_every_event_once(
    command: list[str], url: str, wire: Wire, publisher: BrokerPublisher, tmp_path: Path
) -> None:
    """In their order, also those of while it was cut off; repeats are passed over."""
    async with running(command, url=url, folder=tmp_path) as subscriber:
        await subscriber.subscribed()
        await publish(publisher, "e1", "e1", "e2")
        assert await subscriber.ids(2) == ["e1", "e2"]
        wire.cut()
        await publish(publisher, "e2", "e3")
        await publish(publisher, "of another", key="globex")
        wire.mend()
        await publish(publisher, "e4")
        assert await subscriber.ids(2) == ["e3", "e4"]


async def test_a_reader_of_the_stream_goes_on_where_it_was(
    url: str, wire: Wire, publisher: BrokerPublisher, tmp_path: Path
) -> None:
    """After a cut and after its own end; what it had is not printed again."""
    await publish(publisher, "e1")
    async with running(READER, url=url, folder=tmp_path) as reader:
        assert await reader.ids(1) == ["e1"]
        await publish(publisher, "e2")
        assert await reader.ids(1) == ["e2"]
        wire.cut()
        await publish(publisher, "e3")
        wire.mend()
        assert await reader.ids(1) == ["e3"]
        await publish(publisher, "e4")
        assert await reader.ids(1) == ["e4"]
    kept = int((tmp_path / "acme.offset").read_text())
    async with running(READER, url=url, folder=tmp_path) as reader:
        await publish(publisher, "e5")
        # Killed between printing and noting, it prints that one again.
        again = ["e4"] if kept == 2 else []
        assert await reader.ids(len(again) + 1) == [*again, "e5"]


async def test_a_stream_is_read_from_a_time_or_an_offset(
    url: str, publisher: BrokerPublisher, tmp_path: Path
) -> None:
    """What happened before is left out, though the broker sends some of it."""
    await publish(publisher, "e0")
    between = datetime.now(UTC) + timedelta(microseconds=1)
    await publish(publisher, "e1", "e2")
    for number, (begin, ids) in enumerate(
        [(between.isoformat(), ["e1", "e2"]), ("2", ["e2"]), ("first", ["e0", "e1"])]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with running(READER, begin, url=url, folder=folder) as reader:
            assert await reader.ids(len(ids)) == ids


async def test_a_reader_without_a_stream_ends_and_says_who_makes_one(
    url: str, connection: RobustConnection, tmp_path: Path
) -> None:
    """It does not ask for ever; nothing was kept of where it is."""
    async with connection.channel() as channel:
        await channel.queue_delete("acme.log")
    async with running(READER, url=url, folder=tmp_path) as reader:
        assert await soon(reader.process.wait()) == 1
        assert reader.process.stderr is not None
        said = await reader.process.stderr.read()
    assert said.decode().splitlines()[-1] == (
        "there is no stream acme.log: the operator makes one with"
        " `chainctl requestors grant acme --stream`"
    )
    assert list(tmp_path.iterdir()) == []
