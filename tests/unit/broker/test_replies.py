"""Wake-ups that come too late for their waiter, or to one that fails."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from orchestrator.broker.replies import ReplyQueue
from orchestrator.domain.errors import StoreUnavailable
from schemas.messages import Wake, WakeUp, dump
from tests.unit.broker.delivered import delivered

OFFERED = WakeUp(
    wake=Wake.OFFERED, chain_id="01C", step=2, generation=0, requestor="acme", cause="e1"
)


async def test_a_wake_up_left_by_its_waiter_is_told_to_the_gateway() -> None:
    """What arrives in the instant in which the waiter gives up is not swallowed."""
    unclaimed: asyncio.Queue[WakeUp] = asyncio.Queue()
    replies = ReplyQueue("gateway.1", unclaimed.put)

    async with replies.waiter("a"):
        await replies.receive(delivered(dump(OFFERED), correlation_id="a"))
        assert unclaimed.empty()
    await replies.drain()

    assert unclaimed.get_nowait() == OFFERED


async def test_a_waiter_that_is_cancelled_leaves_its_wake_ups_too() -> None:
    """An HTTP client that hangs up is no different from a deadline."""
    unclaimed: asyncio.Queue[WakeUp] = asyncio.Queue()
    replies = ReplyQueue("gateway.1", unclaimed.put)
    entered = asyncio.Event()

    async def wait() -> None:
        async with replies.waiter("a"):
            entered.set()
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait())
    await entered.wait()
    await replies.receive(delivered(dump(OFFERED), correlation_id="a"))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await replies.drain()

    assert unclaimed.get_nowait() == OFFERED


async def test_the_time_of_a_waiter_ends_with_nothing() -> None:
    """None means that the bridge answers without us."""

    async def nobody(wake_up: WakeUp) -> None:
        raise AssertionError(wake_up)

    async with ReplyQueue("gateway.1", nobody).waiter("a") as waiter:
        assert await waiter.wake_up(0.01) is None
        assert await waiter.wake_up(-1) is None


async def test_two_cannot_wait_for_the_same() -> None:
    """A correlation id is one bridge POST's; the first one stays."""

    async def nobody(wake_up: WakeUp) -> None:
        raise AssertionError(wake_up)

    replies = ReplyQueue("gateway.1", nobody)
    async with replies.waiter("a") as waiter:
        with pytest.raises(ValueError, match="waits under this correlation id"):
            async with replies.waiter("a"):
                raise AssertionError

        await replies.receive(delivered(dump(OFFERED), correlation_id="a"))
        assert await waiter.wake_up(1) == OFFERED


async def test_a_gateway_that_cannot_settle_a_late_wake_up_goes_on() -> None:
    """The row's own deadline decides then; the log has the type and no text."""

    async def away(_: WakeUp) -> None:
        raise StoreUnavailable("the-text")

    with capture_logs() as logs:
        await ReplyQueue("gateway.1", away).receive(delivered(dump(OFFERED)))

    assert logs == [
        {
            "event": "reply.unclaimed_failed",
            "error": "StoreUnavailable",
            "log_level": "warning",
        }
    ]


async def test_what_is_no_wake_up_is_logged_without_its_content() -> None:
    """The log says which fields are wrong, not what stood in them."""

    async def nobody(wake_up: WakeUp) -> None:
        raise AssertionError(wake_up)

    with capture_logs() as logs:
        await ReplyQueue("gateway.1", nobody).receive(delivered(b'{"wake": "the-value"}'))

    assert [log["event"] for log in logs] == ["reply.undecodable"]
    assert "wake: " in logs[0]["why"]
    assert "the-value" not in repr(logs)
