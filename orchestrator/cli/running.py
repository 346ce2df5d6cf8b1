"""`chainctl up`: everything on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

from orchestrator.domain.errors import OrchestratorError
from orchestrator.local.processes import Exited, ProcessError
from orchestrator.local.rabbitmq import Broker, BrokerError, broker
from orchestrator.local.stack import Plan, Stack, sandbox_and_endpoint
from orchestrator.stopping import on_signals

#: The exit code of what Ctrl-C cut short, as shells have it.
INTERRUPTED: Final = 130

A = TypeVar("A")
B = TypeVar("B")


async def run_up(run_dir: Path, plan: Plan, environ: Mapping[str, str]) -> int:
    """Run everything until Ctrl-C or SIGTERM, and say where it is."""
    return await until_signal(_up(run_dir, plan, environ), interrupted=0)


async def _up(run_dir: Path, plan: Plan, environ: Mapping[str, str]) -> int:
    print("starting …", flush=True)
    async with installation(run_dir, plan, environ) as (stack, rabbitmq):
        _say_where(stack, rabbitmq)
        await asyncio.Event().wait()
    return 0


@asynccontextmanager
async def installation(
    run_dir: Path, plan: Plan, environ: Mapping[str, str]
) -> AsyncIterator[tuple[Stack, Broker]]:
    """A whole installation: the broker boots while what needs none is started."""
    url, management = environ.get("RABBITMQ_URL"), environ.get("RABBITMQ_MANAGEMENT_URL")
    async with AsyncExitStack() as contexts:
        around, rabbitmq = await _both(
            contexts.enter_async_context(
                sandbox_and_endpoint(run_dir, plan, on_exit=_report)
            ),
            contexts.enter_async_context(
                broker(run_dir, url, management, on_exit=_report)
            ),
        )
        vhost = await contexts.enter_async_context(_vhost(rabbitmq))
        started = around.started(vhost, rabbitmq.management.login_url)
        yield await contexts.enter_async_context(started), rabbitmq


async def _both(
    one: Coroutine[object, object, A], other: Coroutine[object, object, B]
) -> tuple[A, B]:
    """Both at once; when one fails, the other is cancelled and undone."""
    try:
        async with asyncio.TaskGroup() as group:
            first, second = group.create_task(one), group.create_task(other)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return first.result(), second.result()


@asynccontextmanager
async def _vhost(rabbitmq: Broker) -> AsyncIterator[str]:
    """A private node is ours alone; on a given broker we stay in a vhost of our own."""
    if rabbitmq.node is not None:
        yield rabbitmq.amqp_url
        return
    async with rabbitmq.vhost(f"session-chain-{secrets.token_hex(6)}") as url:
        yield url


async def until_signal(work: Coroutine[object, object, int], *, interrupted: int) -> int:
    """Run to the end or to the first signal; either way everything is stopped.

    Args:
        work: what to run; its result is the exit code.
        interrupted: the exit code after a signal.
    """
    running = asyncio.ensure_future(work)
    with on_signals(lambda: _cancel(running)):
        try:
            return await running
        except asyncio.CancelledError:
            print("\nstopped")
            return interrupted
        except (BrokerError, ProcessError, OrchestratorError) as error:
            print(f"chainctl: {error}", file=sys.stderr)
            return 1


def _cancel(running: asyncio.Future[int]) -> None:
    running.cancel()


def _report(news: Exited) -> None:
    print(f"chainctl: {news}", flush=True)


def _say_where(stack: Stack, rabbitmq: Broker) -> None:
    lines = {
        "gateway": stack.gateway_url,
        "IRMA sandbox": stack.irma_server_url,
        "its wallet": f"{stack.irma_server_url}/wallet",
        "endpoint": stack.endpoint_url or "-",
        "RabbitMQ": f"{rabbitmq.version}, {rabbitmq.management_url}",
        "configuration": str(stack.config_file),
        "logs": str(stack.processes.log("gateway").parent),
    }
    for name, value in lines.items():
        print(f"  {name:<14} {value}")
    print("running; Ctrl-C stops it", flush=True)
