"""SIGTERM and SIGKILL on a worker in a process of its own (guarantees G1 and G9)."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aio_pika import RobustConnection

from orchestrator.broker.publishing import BrokerPublisher
from tests.broker import worker_process
from tests.broker.support import is_empty, soon, take, work

pytestmark = pytest.mark.broker

Launch = Callable[..., Awaitable["WorkerProcess"]]

#: Twice as many messages as the worker takes at once, and one.
MESSAGES = 2 * worker_process.CONCURRENCY + 1


class WorkerProcess:
    """A worker process and what it says."""

    def __init__(self, process: Process) -> None:
        """Listen to this process."""
        self._process = process
        self.said: list[str] = []

    @classmethod
    @asynccontextmanager
    async def launched(
        cls, url: str, drain_timeout_s: float
    ) -> AsyncIterator[WorkerProcess]:
        """A worker that is ready; whatever happens, it does not outlive the context."""
        program = worker_process.__name__
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            program,
            url,
            str(drain_timeout_s),
            stdin=PIPE,
            stdout=PIPE,
        )
        worker = cls(process)
        try:
            await worker.hears("ready")
            yield worker
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def hears(self, beginning: str, times: int = 1) -> list[str]:
        """Wait until it has said this so many times; the words after it."""
        assert self._process.stdout is not None
        while len(found := self._matching(beginning)) < times:
            line = await soon(self._process.stdout.readline())
            assert line, f"the worker ended after saying {self.said}"
            self.said.append(line.decode().strip())
        return found

    def go_on(self) -> None:
        """Let every message in hand be finished."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")

    def terminate(self) -> None:
        """SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()

    async def exit_code(self) -> int:
        """How it ended."""
        return await soon(self._process.wait())

    def _matching(self, beginning: str) -> list[str]:
        return [
            line.removeprefix(beginning).strip()
            for line in self.said
            if line.startswith(beginning)
        ]


@pytest.fixture
async def waiting(publisher: BrokerPublisher) -> None:
    """More messages than the worker takes at once."""
    await publisher.publish(*(work(number) for number in range(MESSAGES)))


async def test_sigterm_finishes_what_is_in_hand_and_leaves_the_rest(
    vhost_url: str, waiting: None, connection: RobustConnection
) -> None:
    """What was begun is finished and done, the rest is there untouched, exit code 0."""
    async with WorkerProcess.launched(vhost_url, 25) as worker:
        begun = await worker.hears("begun", worker_process.CONCURRENCY)
        worker.terminate()
        await worker.hears("draining")
        worker.go_on()

        assert await worker.exit_code() == 0
        finished = await worker.hears("finished", worker_process.CONCURRENCY)
        await worker.hears("stopped")

    assert sorted(finished) == sorted(begun)
    left = [await take(connection, "callbacks") for _ in range(MESSAGES - len(begun))]
    assert not any(message.redelivered for message in left)
    assert await is_empty(connection, "callbacks")


async def test_sigterm_hands_back_what_is_not_finished_in_time(
    vhost_url: str, waiting: None, connection: RobustConnection
) -> None:
    """A message that takes too long does not keep the process; it is delivered again."""
    async with WorkerProcess.launched(vhost_url, 0.2) as worker:
        await worker.hears("begun", worker_process.CONCURRENCY)
        worker.terminate()

        assert await worker.exit_code() == 0
        await worker.hears("stopped")

    left = [await take(connection, "callbacks") for _ in range(MESSAGES)]
    again = [message for message in left if message.redelivered]
    assert len(again) == worker_process.CONCURRENCY
    assert await is_empty(connection, "callbacks")


async def test_a_killed_workers_messages_go_to_another(
    vhost_url: str, waiting: None, connection: RobustConnection
) -> None:
    """After SIGKILL everything it had in hand is delivered again."""
    async with WorkerProcess.launched(vhost_url, 25) as worker:
        begun = await worker.hears("begun", worker_process.CONCURRENCY)
        worker.kill()
        await worker.exit_code()

    left = {
        str(m.message_id): m
        for m in [await take(connection, "callbacks") for _ in range(MESSAGES)]
    }
    assert len(left) == MESSAGES
    assert sorted(id_ for id_, m in left.items() if m.redelivered) == sorted(begun)
