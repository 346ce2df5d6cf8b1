"""Who hears the signals that end a process."""

import asyncio
import signal

import pytest

from orchestrator.stopping import on_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_is_heard_once_it_is_listened_for(number: signal.Signals) -> None:
    """Both ways of asking a process to end, and the handlers are put back."""
    before = signal.getsignal(number)
    stop = asyncio.Event()
    with on_signals(stop.set):
        signal.raise_signal(number)
        async with asyncio.timeout(5):
            await stop.wait()
    assert signal.getsignal(number) in {before, signal.default_int_handler}
